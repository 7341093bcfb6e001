# Makes LLVM's assembly for the LX106 smaller: reads it, writes it, and changes nothing that it does.
# LLVM knows neither that the linker shortens long calls nor the forms with an immediate operand,
# and leaves a move behind where a result could go to its place at once. What is done here:
#
#   l32r a8, SYMBOL ... callx0 a8     call0 SYMBOL (as --longcalls makes it reach any place)
#   addi a8, a1, -64; mov a1, a8      addi a1, a1, -64
#   addi a8, a9, 0                    mov a8, a9
#   movi a8, 255; and a2, a2, a8      extui a2, a2, 0, 8
#   movi a8, 4; beq a2, a8, L         beqi a2, 4, L
#   beq a2, a3, M; j L; M:            bne a2, a3, L
#
# Literals that nobody is left to load go, and the others come to the section of their function.
#
# A register that is left out is one of a8 to a11, which no call keeps and no call reads, and each
# path that leads on from there is followed until one writes it, calls or returns.

# Whether r is read by instruction k.
function reads(k, r,    first) {
    first = writes(k) == "" || op[k] ~ /^mov(eqz|nez|ltz|gez)/ ? 1 : 2
    return first == 1 && x[k] == r || y[k] == r || z[k] == r
}

# The register that instruction k writes, "" if none.
function writes(k) {
    return is_jump[op[k]] || is_branch(k) || op[k] in only_reads ? "" : x[k]
}

function is_branch(k) { return op[k] in inverse }

function is_scratch(r) { return r == "a8" || r == "a9" || r == "a10" || r == "a11" }

# Whether nobody reads the scratch register r from instruction k on. `steps` bounds the search.
function is_dead(k, r, steps,    target) {
    for (; k <= count && steps > 0; steps--) {
        if (gone[k]) {
            k++
            continue
        }
        if (!(op[k] in known) || op[k] == "jx" || reads(k, r))
            return 0
        if (op[k] ~ /^(ret|callx?0)$/ || writes(k) == r)
            return 1
        if (op[k] == "j") {
            if (!(x[k] in at))
                return 0
            k = at[x[k]]
        } else if (is_branch(k)) {
            target = last(k)
            if (!(target in at) || !is_dead(at[target], r, int(steps / 2)))
                return 0
            k++
        } else
            k++
    }
    return 0
}

# The last operand of instruction k: of a branch its target.
function last(k) { return z[k] != "" ? z[k] : y[k] != "" ? y[k] : x[k] }

function set(k, name, first, second, third, fourth) {
    op[k] = name; x[k] = first; y[k] = second; z[k] = third; w[k] = fourth
    changed[k] = 1
}

# The next instruction behind k in the same run of code, 0 if a label or nothing comes first.
function follower(k) {
    do k++
    while (k <= count && gone[k] && !labelled[k])
    return k <= count && !labelled[k] ? k : 0
}

# The callee's address is loaded nowhere else than for this call.
function direct_call(k,    j, symbol) {
    for (j = k - 1; j > 0 && !labelled[j + 1]; j--) {
        if (gone[j])
            continue
        if (!(op[j] in known) || is_jump[op[j]] || is_branch(j) || reads(j, x[k]))
            return
        if (writes(j) == x[k]) {
            symbol = literal[y[j]]
            if (op[j] == "l32r" && symbol ~ /^[A-Za-z_][A-Za-z0-9_.$]*$/) {
                gone[j] = 1
                uses[y[j]]--
                set(k, "call0", symbol)
            }
            return
        }
    }
}

# A constant for a mask or a comparison, which the instruction behind may hold itself.
function immediate(k, n,    r, value, other, bits) {
    r = x[k]; value = y[k]
    if (y[n] == r && x[n] != r && op[n] != "and" && z[n] != "")
        other = x[n] # branch other, r, target
    else if (op[n] ~ /^(and|beq|bne)$/ && (op[n] == "and" ? y[n] : x[n]) == r)
        other = op[n] == "and" ? z[n] : y[n]
    else if (op[n] == "and" && z[n] == r)
        other = y[n]
    else
        return
    if (other == r)
        return
    if (op[n] == "and") {
        for (bits = 1; bits <= 16 && 2 ^ bits - 1 != value; bits++);
        if (bits > 16 || x[n] != r && !(is_scratch(r) && is_dead(n + 1, r, 64)))
            return
        set(n, "extui", x[n], other, 0, bits)
    } else {
        if (!(op[n] in with_immediate) || !is_scratch(r))
            return
        if (op[n] ~ /u$/ ? !(value in unsigned) : !(value in signed) && !(value == 0 && op[n] ~ /^b(eq|ne)$/))
            return
        if (!is_dead(n + 1, r, 64) || !(z[n] in at) || !is_dead(at[z[n]], r, 64))
            return
        if (value == 0)
            set(n, op[n] "z", other, z[n])
        else
            set(n, with_immediate[op[n]], other, value, z[n])
    }
    gone[k] = 1
}

# OP r, ...; mov other, r: the result goes to its place at once.
function result(k, n,    r) {
    r = writes(k)
    if (!is_scratch(r) || op[k] ~ /^mov(eqz|nez|ltz|gez)/ || op[n] != "mov")
        return
    if (y[n] != r || x[n] == r || !is_dead(n + 1, r, 64))
        return
    set(k, op[k], x[n], y[k], z[k], w[k])
    gone[n] = 1
}

# A branch over a jump: the opposite branch, to where the jump goes.
function over_jump(k, n,    behind, j) {
    if (op[n] != "j" || !(last(k) in at))
        return
    behind = at[last(k)]
    for (j = n + 1; j < behind; j++)
        if (!gone[j])
            return
    if (behind <= n)
        return
    if (z[k] != "")
        set(k, inverse[op[k]], x[k], y[k], x[n])
    else
        set(k, inverse[op[k]], x[k], x[n])
    gone[n] = 1
}

function fill(table, words,    word, n, i) {
    n = split(words, word, " ")
    for (i = 1; i <= n; i++)
        table[word[i]] = 1
}

function opposite(words,    word, n, i) {
    n = split(words, word, " ")
    for (i = 1; i <= n; i += 2) {
        inverse[word[i]] = word[i + 1]
        inverse[word[i + 1]] = word[i]
        known[word[i]] = known[word[i + 1]] = 1
    }
}

BEGIN {
    opposite("beq bne beqz bnez beqi bnei blt bge bltu bgeu blti bgei bltui bgeui bltz bgez")
    fill(is_jump, "j jx ret callx0 call0")
    fill(only_reads, "s32i s16i s8i ssl ssr memw")
    fill(known, "or and xor add sub neg addi addmi addx2 addx4 addx8 subx2 subx4 subx8 mull mul16u")
    fill(known, "mul16s movi mov l32r l32i l16ui l16si l8ui slli srli srai sll srl sra src extui")
    fill(known, "s32i s16i s8i ssl ssr memw j jx ret callx0 call0")
    with_immediate["beq"] = "beqi"; with_immediate["bne"] = "bnei"
    with_immediate["blt"] = "blti"; with_immediate["bge"] = "bgei"
    with_immediate["bltu"] = "bltui"; with_immediate["bgeu"] = "bgeui"
    fill(signed, "-1 1 2 3 4 5 6 7 8 10 12 16 32 64 128 256")
    fill(unsigned, "2 3 4 5 6 7 8 10 12 16 32 64 128 256 32768 65536")
}

{ line[NR] = $0 }

/^\t\.literal[ \t]/ {
    split($0, word, /[ \t,]+/)
    literal[word[3]] = word[4]
    literal_line[NR] = word[3]
}

/^\t[a-z]/ {
    count++
    is_instruction[NR] = count
    split($0, field, "\t")
    op[count] = field[2]
    n = split(field[3], operand, ", ")
    x[count] = n > 0 ? operand[1] : ""
    y[count] = n > 1 ? operand[2] : ""
    z[count] = n > 2 ? operand[3] : ""
    w[count] = n > 3 ? operand[4] : ""
    if (op[count] == "l32r")
        uses[y[count]]++
}

# Those for the debugger are no places that code goes to.
/^[^ \t#].*:/ && !/^\.L(tmp|func_|info|line_|debug)/ {
    labelled[count + 1] = 1
    at[substr($0, 1, index($0, ":") - 1)] = count + 1
}

END {
    for (k = 1; k <= count; k++) {
        if (op[k] == "addi" && z[k] == 0 || op[k] == "or" && y[k] == z[k])
            set(k, "mov", x[k], y[k])
        if (op[k] == "mov" && x[k] == y[k])
            gone[k] = 1
    }
    for (k = 1; k <= count; k++)
        if (op[k] == "callx0" && is_scratch(x[k]))
            direct_call(k)
    for (k = 1; k <= count; k++)
        if (!gone[k] && op[k] in known && (n = follower(k))) {
            if (is_branch(k))
                over_jump(k, n)
            else if (op[k] == "movi")
                immediate(k, n)
            if (!gone[k] && !is_jump[op[k]] && (n = follower(k)))
                result(k, n)
        }
    for (i = 1; i <= NR; i++) {
        k = is_instruction[i]
        if (i in literal_line) {
            # LLVM writes them before it has turned to the section of their function.
            if (uses[literal_line[i]] > 0)
                waiting = waiting line[i] "\n"
            continue
        }
        if (k && gone[k])
            continue
        if (line[i] !~ /^(\t\.(text|section|literal_position).*)?$/) {
            printf "%s", waiting
            waiting = ""
        }
        if (!(k && changed[k]))
            print line[i]
        else
            print "\t" op[k] "\t" x[k] (y[k] "" != "" ? ", " y[k] : "") (z[k] "" != "" ? ", " z[k] : "") (w[k] "" != "" ? ", " w[k] : "")
    }
}

/* memcpy, memmove, memset and memcmp by words, for C and Rust alike.
 *
 * Flash, IRAM and ROM deliver only words: there a byte is loaded as part of its word and
 * stored by changing its word with interrupts masked. DRAM has bytes, and must: changing a
 * whole word there would undo what an interrupt did to its other bytes. So each function
 * exists twice, and one test chooses. A word is loaded only if a byte of it is wanted.
 *
 * Where source and destination lie differently in their words, two words loaded one after
 * the other are shifted together (SRC). Nothing here is constant in time: secrets are
 * compared by mbedTLS's own functions.
 *
 * What is nearly always taken, DRAM to DRAM, lies in IRAM, the rest in flash. The C library
 * comes compiled, and its calls reach no farther than flash: hence the two instructions there
 * under each public name. */

/* Bit of an address that is set in the memories that know only words (0x40000000 up), and
 * not in DRAM. */
#define WORD_ONLY_BIT 30

/* Below this many bytes, aligning costs more than it saves. */
#define SMALL 8

/* Load the byte at \from. Changes SAR if \words. */
    .macro  get_byte words, to, from
    .if \words
    ssa8l   \from
    srli    \to, \from, 2
    slli    \to, \to, 2
    l32i    \to, \to, 0
    srl     \to, \to
    .else
    l8ui    \to, \from, 0
    .endif
    .endm

/* Store the lowest byte of a8 at a5. If \words, changes a8, a9, a10, a11 and SAR. */
    .macro  put_byte words
    .if \words
    bbsi    a5, WORD_ONLY_BIT, .Lpart\@
    s8i     a8, a5, 0
    j       .Lput\@
.Lpart\@:
    movi    a9, 255
    and     a8, a8, a9
    ssa8b   a5
    sll     a8, a8
    sll     a9, a9
    srli    a10, a5, 2
    slli    a10, a10, 2
    rsil    a7, 1
    l32i    a11, a10, 0
    or      a11, a11, a9
    xor     a11, a11, a9
    or      a11, a11, a8
    s32i    a11, a10, 0
    wsr     a7, ps
    rsync
.Lput\@:
    .else
    s8i     a8, a5, 0
    .endif
    .endm

/* Copy a4 bytes from a3 to a5, lowest address first, and return. Right for overlaps with the
 * destination below the source: no word is stored before what it covers was loaded. */
    .macro  copy_forward words
    or      a6, a5, a3
    extui   a6, a6, 0, 2
    bnez    a6, .Lunaligned\@

.Laligned\@:
    srli    a7, a4, 4
    beqz    a7, 2f
1:  l32i    a8, a3, 0
    l32i    a9, a3, 4
    s32i    a8, a5, 0
    l32i    a8, a3, 8
    s32i    a9, a5, 4
    l32i    a9, a3, 12
    s32i    a8, a5, 8
    s32i    a9, a5, 12
    addi    a3, a3, 16
    addi    a5, a5, 16
    addi    a7, a7, -1
    bnez    a7, 1b
2:  bbci    a4, 3, 3f
    l32i    a8, a3, 0
    l32i    a9, a3, 4
    s32i    a8, a5, 0
    s32i    a9, a5, 4
    addi    a3, a3, 8
    addi    a5, a5, 8
3:  bbci    a4, 2, .Ltail\@
    l32i    a8, a3, 0
    addi    a3, a3, 4
    s32i    a8, a5, 0
    addi    a5, a5, 4

.Ltail\@:
    extui   a4, a4, 0, 2
.Lbytes\@:
    beqz    a4, 5f
4:  get_byte \words, a8, a3
    addi    a3, a3, 1
    put_byte \words
    addi    a5, a5, 1
    addi    a4, a4, -1
    bnez    a4, 4b
5:  ret

.Lunaligned\@:
    bltui   a4, SMALL, .Lbytes\@
    neg     a6, a5
    extui   a6, a6, 0, 2 /* bytes up to the destination's next word */
    beqz    a6, 7f
    sub     a4, a4, a6
6:  get_byte \words, a8, a3
    addi    a3, a3, 1
    put_byte \words
    addi    a5, a5, 1
    addi    a6, a6, -1
    bnez    a6, 6b
7:  extui   a6, a3, 0, 2
    beqz    a6, .Laligned\@
    ssa8l   a3
    sub     a3, a3, a6
    l32i    a8, a3, 0
    srli    a7, a4, 3
    beqz    a7, 9f
8:  l32i    a9, a3, 4
    src     a10, a9, a8
    s32i    a10, a5, 0
    l32i    a8, a3, 8
    src     a9, a8, a9
    s32i    a9, a5, 4
    addi    a3, a3, 8
    addi    a5, a5, 8
    addi    a7, a7, -1
    bnez    a7, 8b
9:  bbci    a4, 2, 10f
    l32i    a9, a3, 4
    src     a10, a9, a8
    s32i    a10, a5, 0
    addi    a3, a3, 4
    addi    a5, a5, 4
10: add     a3, a3, a6
    j       .Ltail\@
    .endm

/* The same from the highest address down: a3 and a5 are the ends. Right for overlaps with
 * the destination above the source. */
    .macro  copy_backward words
    or      a6, a5, a3
    extui   a6, a6, 0, 2
    bnez    a6, .Lunaligned\@

.Laligned\@:
    srli    a7, a4, 4
    beqz    a7, 2f
1:  addi    a3, a3, -16
    addi    a5, a5, -16
    l32i    a8, a3, 12
    l32i    a9, a3, 8
    s32i    a8, a5, 12
    l32i    a8, a3, 4
    s32i    a9, a5, 8
    l32i    a9, a3, 0
    s32i    a8, a5, 4
    s32i    a9, a5, 0
    addi    a7, a7, -1
    bnez    a7, 1b
2:  bbci    a4, 3, 3f
    addi    a3, a3, -8
    addi    a5, a5, -8
    l32i    a8, a3, 4
    l32i    a9, a3, 0
    s32i    a8, a5, 4
    s32i    a9, a5, 0
3:  bbci    a4, 2, .Ltail\@
    addi    a3, a3, -4
    addi    a5, a5, -4
    l32i    a8, a3, 0
    s32i    a8, a5, 0

.Ltail\@:
    extui   a4, a4, 0, 2
.Lbytes\@:
    beqz    a4, 5f
4:  addi    a3, a3, -1
    addi    a5, a5, -1
    get_byte \words, a8, a3
    put_byte \words
    addi    a4, a4, -1
    bnez    a4, 4b
5:  ret

.Lunaligned\@:
    bltui   a4, SMALL, .Lbytes\@
    extui   a6, a5, 0, 2 /* bytes in the destination's last word */
    beqz    a6, 7f
    sub     a4, a4, a6
6:  addi    a3, a3, -1
    addi    a5, a5, -1
    get_byte \words, a8, a3
    put_byte \words
    addi    a6, a6, -1
    bnez    a6, 6b
7:  extui   a6, a3, 0, 2
    beqz    a6, .Laligned\@
    ssa8l   a3
    sub     a3, a3, a6
    l32i    a8, a3, 0
    srli    a7, a4, 3
    beqz    a7, 9f
8:  addi    a3, a3, -8
    addi    a5, a5, -8
    l32i    a9, a3, 4
    src     a10, a8, a9
    s32i    a10, a5, 4
    l32i    a8, a3, 0
    src     a9, a9, a8
    s32i    a9, a5, 0
    addi    a7, a7, -1
    bnez    a7, 8b
9:  bbci    a4, 2, 10f
    addi    a3, a3, -4
    addi    a5, a5, -4
    l32i    a9, a3, 0
    src     a10, a8, a9
    s32i    a10, a5, 0
10: add     a3, a3, a6
    j       .Ltail\@
    .endm

/* Fill a4 bytes at a5 with a3, a word of equal bytes, and return. */
    .macro  fill words
    bltui   a4, SMALL, .Lbytes\@
    neg     a6, a5
    extui   a6, a6, 0, 2
    sub     a4, a4, a6
    beqz    a6, 2f
1:  mov     a8, a3
    put_byte \words
    addi    a5, a5, 1
    addi    a6, a6, -1
    bnez    a6, 1b
2:  srli    a7, a4, 4
    beqz    a7, 4f
3:  s32i    a3, a5, 0
    s32i    a3, a5, 4
    s32i    a3, a5, 8
    s32i    a3, a5, 12
    addi    a5, a5, 16
    addi    a7, a7, -1
    bnez    a7, 3b
4:  bbci    a4, 3, 5f
    s32i    a3, a5, 0
    s32i    a3, a5, 4
    addi    a5, a5, 8
5:  bbci    a4, 2, 6f
    s32i    a3, a5, 0
    addi    a5, a5, 4
6:  extui   a4, a4, 0, 2
.Lbytes\@:
    beqz    a4, 8f
7:  mov     a8, a3
    put_byte \words
    addi    a5, a5, 1
    addi    a4, a4, -1
    bnez    a4, 7b
8:  ret
    .endm

/* Compare a4 bytes at a2 and a3; return the difference of the first two that differ. */
    .macro  compare words
    bltui   a4, SMALL, .Lbytes\@
    neg     a6, a2
    extui   a6, a6, 0, 2
    beqz    a6, 2f
    sub     a4, a4, a6
1:  get_byte \words, a8, a2
    get_byte \words, a9, a3
    .if \words
    extui   a8, a8, 0, 8
    extui   a9, a9, 0, 8
    .endif
    bne     a8, a9, .Lbyte_differs\@
    addi    a2, a2, 1
    addi    a3, a3, 1
    addi    a6, a6, -1
    bnez    a6, 1b
2:  srli    a7, a4, 2
    extui   a6, a3, 0, 2
    bnez    a6, 4f

3:  l32i    a8, a2, 0
    l32i    a9, a3, 0
    addi    a2, a2, 4
    addi    a3, a3, 4
    bne     a8, a9, .Lword_differs\@
    addi    a7, a7, -1
    bnez    a7, 3b
    j       6f

4:  ssa8l   a3
    sub     a3, a3, a6
    l32i    a10, a3, 0
5:  l32i    a11, a3, 4
    l32i    a8, a2, 0
    src     a9, a11, a10
    addi    a2, a2, 4
    addi    a3, a3, 4
    bne     a8, a9, .Lword_differs\@
    mov     a10, a11
    addi    a7, a7, -1
    bnez    a7, 5b
    add     a3, a3, a6

6:  extui   a4, a4, 0, 2
.Lbytes\@:
    beqz    a4, 8f
7:  get_byte \words, a8, a2
    get_byte \words, a9, a3
    .if \words
    extui   a8, a8, 0, 8
    extui   a9, a9, 0, 8
    .endif
    bne     a8, a9, .Lbyte_differs\@
    addi    a2, a2, 1
    addi    a3, a3, 1
    addi    a4, a4, -1
    bnez    a4, 7b
8:  movi    a2, 0
    ret

    /* The lowest byte comes first. */
.Lword_differs\@:
    extui   a6, a8, 0, 8
    extui   a7, a9, 0, 8
    srli    a8, a8, 8
    srli    a9, a9, 8
    beq     a6, a7, .Lword_differs\@
    sub     a2, a6, a7
    ret
.Lbyte_differs\@:
    sub     a2, a8, a9
    ret
    .endm

/* \name, in flash, goes on in IRAM at \body. */
    .macro  entry name, body
    .section .text.\name, "ax"
    .literal_position
    .balign 4
    .global \name
    .type   \name, @function
\name:
    movi    a5, \body
    jx      a5
    .size   \name, . - \name
    .endm

/* void *memmove(void *a2, const void *a3, size_t a4)
 * void *memcpy(void *a2, const void *a3, size_t a4)
 * void *memset(void *a2, int a3, size_t a4)
 * int memcmp(const void *a2, const void *a3, size_t a4)
 * LLVM calls bcmp where only equality matters. */
    entry   memmove, mem_move
    entry   memcpy, mem_copy
    entry   memset, mem_fill
    entry   memcmp, mem_compare
    entry   bcmp, mem_compare

    .macro  function name
    .balign 4
    .type   \name, @function
\name:
    .endm

/* Go on in flash if an address in a6 is in memory that knows only words. */
    .macro  by_words body
    bbci    a6, WORD_ONLY_BIT, .Lbytes_known\@
    movi    a7, \body
    jx      a7
.Lbytes_known\@:
    .endm

    .section .iram.text.mem, "ax"
    .literal_position
    function mem_move
    sub     a5, a2, a3
    bltu    a5, a4, .Lbackward /* it begins inside the source */
    j       mem_copy
    .size   mem_move, . - mem_move

    function mem_copy
    mov     a5, a2
    or      a6, a2, a3
    by_words mem_copy_words
    copy_forward 0

.Lbackward:
    or      a6, a2, a3
    add     a5, a2, a4
    add     a3, a3, a4
    by_words mem_move_words
    copy_backward 0
    .size   mem_copy, . - mem_copy

    .section .iram.text.mem_fill, "ax"
    .literal_position
    function mem_fill
    mov     a5, a2
    extui   a3, a3, 0, 8
    slli    a6, a3, 8
    or      a3, a3, a6
    slli    a6, a3, 16
    or      a3, a3, a6
    mov     a6, a2
    by_words mem_fill_words
    fill    0
    .size   mem_fill, . - mem_fill

    .section .iram.text.mem_compare, "ax"
    .literal_position
    function mem_compare
    or      a6, a2, a3
    by_words mem_compare_words
    compare 0
    .size   mem_compare, . - mem_compare

    .section .text.mem_copy_words, "ax"
    function mem_copy_words
    copy_forward 1
    .size   mem_copy_words, . - mem_copy_words

    .section .text.mem_move_words, "ax"
    function mem_move_words
    copy_backward 1
    .size   mem_move_words, . - mem_move_words

    .section .text.mem_fill_words, "ax"
    function mem_fill_words
    fill    1
    .size   mem_fill_words, . - mem_fill_words

    .section .text.mem_compare_words, "ax"
    function mem_compare_words
    compare 1
    .size   mem_compare_words, . - mem_compare_words

/* AES for crates/gcm: one block. The same instructions for all keys and data; the addresses of
 * the table's entries depend on them, and the table lies in RAM without a cache. */
#include "registers.h"

/* void aes_encrypt(uint32_t out[4] a2, const uint32_t block[4] a3, const uint32_t *keys a4,
 *                  uint32_t rounds a5, const uint32_t columns[256] a6)
 *
 * A word is a column of the state, row 0 lowest. `columns` holds SubBytes and MixColumns of a
 * byte in row 0; the entry of another row is rotated by that many bytes, which is done to the
 * sum of the rows below it, from row 3 down (SAR = 24: SRC rotates left by 8). */

    /* The entry of a byte of a word. */
    .macro  entry to, word, shift
    extui   \to, \word, \shift, 8
    addx4   \to, \to, a6
    l32i    \to, \to, 0
    .endm

    .macro  column out, c0, c1, c2, c3, key
    entry   \out, \c3, 24
    entry   a3, \c2, 16
    src     \out, \out, \out
    xor     \out, \out, a3
    entry   a3, \c1, 8
    src     \out, \out, \out
    xor     \out, \out, a3
    entry   a3, \c0, 0
    src     \out, \out, \out
    xor     \out, \out, a3
    l32i    a3, a4, \key
    xor     \out, \out, a3
    .endm

    .macro  round o0, o1, o2, o3, i0, i1, i2, i3, key
    column  \o0, \i0, \i1, \i2, \i3, \key
    column  \o1, \i1, \i2, \i3, \i0, \key + 4
    column  \o2, \i2, \i3, \i0, \i1, \key + 8
    column  \o3, \i3, \i0, \i1, \i2, \key + 12
    .endm

    /* The last round has no MixColumns: of an entry it takes the second byte. */
    .macro  last_column out, c0, c1, c2, c3, key
    entry   \out, \c3, 24
    entry   a3, \c2, 16
    extui   \out, \out, 8, 8
    extui   a3, a3, 8, 8
    slli    \out, \out, 8
    or      \out, \out, a3
    entry   a3, \c1, 8
    slli    \out, \out, 8
    extui   a3, a3, 8, 8
    or      \out, \out, a3
    entry   a3, \c0, 0
    slli    \out, \out, 8
    extui   a3, a3, 8, 8
    or      \out, \out, a3
    l32i    a3, a4, \key
    xor     \out, \out, a3
    .endm

    .section .hot.text.aes, "ax"
    .balign 4
    .global aes_encrypt
    .type   aes_encrypt, @function
aes_encrypt:
    addi    a1, a1, -16
    registers s32i, 12, 14, a1, 0
    ssai    24

    registers l32i, 7, 10, a3, 0
    registers l32i, 11, 14, a4, 0
    xor     a7, a7, a11
    xor     a8, a8, a12
    xor     a9, a9, a13
    xor     a10, a10, a14

    /* Two rounds at a time; the one before the last comes behind the loop. */
    addi    a5, a5, -2
1:  round   a11, a12, a13, a14, a7, a8, a9, a10, 16
    round   a7, a8, a9, a10, a11, a12, a13, a14, 32
    addi    a4, a4, 32
    addi    a5, a5, -2
    bnez    a5, 1b
    round   a11, a12, a13, a14, a7, a8, a9, a10, 16

    last_column a7, a11, a12, a13, a14, 32
    last_column a8, a12, a13, a14, a11, 36
    last_column a9, a13, a14, a11, a12, 40
    last_column a10, a14, a11, a12, a13, 44
    registers s32i, 7, 10, a2, 0

    registers l32i, 12, 14, a1, 0
    addi    a1, a1, 16
    ret
    .size   aes_encrypt, . - aes_encrypt

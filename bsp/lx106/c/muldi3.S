/* 64-bit multiplication, which gcc's libgcc for the LX106 leaves out and on which
 * elliptic-curve arithmetic spends its time. The core multiplies 32 x 32 to 32 bits
 * (MULL) and 16 x 16 to 32 bits (MUL16U); it has no MULUH. */

/* a9:a2... the full 64-bit product of a2 and a4: low word in a2, high word added to a6.
 * Clobbers a7-a11. */
    .macro  multiply_add_high
    extui   a7, a2, 16, 16      /* upper half of a2 */
    extui   a8, a4, 16, 16      /* upper half of a4 */
    mul16u  a9, a2, a4          /* low * low */
    mul16u  a10, a2, a8         /* low * high */
    mul16u  a11, a7, a4         /* high * low */
    mul16u  a7, a7, a8          /* high * high */
    add     a6, a6, a7
    add     a10, a10, a11       /* the middle sum may carry out of 32 bits ... */
    bgeu    a10, a11, 1f
    movi    a8, 1
    slli    a8, a8, 16
    add     a6, a6, a8          /* ... which is worth 2^48 */
1:  slli    a11, a10, 16
    extui   a10, a10, 16, 16
    add     a6, a6, a10
    add     a2, a9, a11
    bgeu    a2, a11, 2f
    addi    a6, a6, 1
2:  mov     a3, a6
    .endm

/* uint64_t __muldi3(uint64_t a3:a2, uint64_t a5:a4) */
    .section .text.__muldi3, "ax"
    .balign 4
    .global __muldi3
    .type   __muldi3, @function
__muldi3:
    mull    a6, a3, a4
    mull    a7, a2, a5
    add     a6, a6, a7
    multiply_add_high
    ret
    .size   __muldi3, . - __muldi3

/* uint64_t __umulsidi3(uint32_t a2, uint32_t a3) */
    .section .text.__umulsidi3, "ax"
    .balign 4
    .global __umulsidi3
    .type   __umulsidi3, @function
__umulsidi3:
    mov     a4, a3
    movi    a6, 0
    multiply_add_high
    ret
    .size   __umulsidi3, . - __umulsidi3

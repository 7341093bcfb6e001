/* void victim_wild_stack(void): lose the stack pointer and wait for an interrupt. */
    .section .text.victim_wild_stack, "ax"
    .balign 4
    .global victim_wild_stack
    .type   victim_wild_stack, @function
victim_wild_stack:
    movi    a1, 0x100
1:  j       1b
    .size   victim_wild_stack, . - victim_wild_stack

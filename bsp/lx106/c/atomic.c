/* The __atomic_* library calls that gcc and LLVM make where a CPU has no compare-and-swap
 * instruction: the LX106 lacks S32C1I. With one core, masking the interrupts makes any
 * sequence atomic. (An NMI handler must not use atomics.)
 *
 * The memory order argument is not needed: masking is a full barrier on one core.
 * The functions are defined under other names and renamed with asm labels, because the
 * real names are compiler built-ins that C does not let us redefine. */
#include <stdbool.h>
#include <stdint.h>

#include "lx106.h"

#define FETCH_OP(bits, type, name, expression)                                            \
    type atomic_##name##_##bits(volatile type *object, type operand, int order) __asm__(  \
        "__atomic_" #name "_" #bits);                                                     \
    type atomic_##name##_##bits(volatile type *object, type operand, int order)           \
    {                                                                                     \
        (void)order;                                                                      \
        uint32_t ps = lx106_mask_interrupts();                                            \
        type old = *object;                                                               \
        *object = (expression);                                                           \
        lx106_restore_interrupts(ps);                                                     \
        return old;                                                                       \
    }

#define ATOMICS(bits, type)                                                               \
    type atomic_load_##bits(const volatile type *object, int order) __asm__(              \
        "__atomic_load_" #bits);                                                          \
    type atomic_load_##bits(const volatile type *object, int order)                       \
    {                                                                                     \
        (void)order;                                                                      \
        uint32_t ps = lx106_mask_interrupts();                                            \
        type value = *object;                                                             \
        lx106_restore_interrupts(ps);                                                     \
        return value;                                                                     \
    }                                                                                     \
                                                                                          \
    void atomic_store_##bits(volatile type *object, type value, int order) __asm__(       \
        "__atomic_store_" #bits);                                                         \
    void atomic_store_##bits(volatile type *object, type value, int order)                \
    {                                                                                     \
        (void)order;                                                                      \
        uint32_t ps = lx106_mask_interrupts();                                            \
        *object = value;                                                                  \
        lx106_restore_interrupts(ps);                                                     \
    }                                                                                     \
                                                                                          \
    bool atomic_compare_exchange_##bits(volatile type *object, type *expected,            \
                                        type desired, int success, int failure)           \
        __asm__("__atomic_compare_exchange_" #bits);                                      \
    bool atomic_compare_exchange_##bits(volatile type *object, type *expected,            \
                                        type desired, int success, int failure)           \
    {                                                                                     \
        (void)success;                                                                    \
        (void)failure;                                                                    \
        uint32_t ps = lx106_mask_interrupts();                                            \
        type old = *object;                                                               \
        bool same = old == *expected;                                                     \
        if (same) {                                                                       \
            *object = desired;                                                            \
        } else {                                                                          \
            *expected = old;                                                              \
        }                                                                                 \
        lx106_restore_interrupts(ps);                                                     \
        return same;                                                                      \
    }                                                                                     \
                                                                                          \
    FETCH_OP(bits, type, exchange, operand)                                               \
    FETCH_OP(bits, type, fetch_add, old + operand)                                        \
    FETCH_OP(bits, type, fetch_sub, old - operand)                                        \
    FETCH_OP(bits, type, fetch_and, old & operand)                                        \
    FETCH_OP(bits, type, fetch_or, old | operand)                                         \
    FETCH_OP(bits, type, fetch_xor, old ^ operand)                                        \
    FETCH_OP(bits, type, fetch_nand, ~(old & operand))

ATOMICS(1, uint8_t)
ATOMICS(2, uint16_t)
ATOMICS(4, uint32_t)
ATOMICS(8, uint64_t)

/* FreeRTOS V11 on the LX106 with the call0 ABI. See port.c for how it works. */
#ifndef PORTMACRO_H
#define PORTMACRO_H

#include <stdint.h>

#include "lx106.h"

typedef uint32_t StackType_t;
typedef int32_t BaseType_t;
typedef uint32_t UBaseType_t;
typedef uint32_t TickType_t;
#define portMAX_DELAY ((TickType_t)0xFFFFFFFFU)
#define portTICK_TYPE_IS_ATOMIC 1 /* an aligned 32-bit load is one instruction */

#define portCHAR char
#define portSTACK_TYPE StackType_t
#define portBASE_TYPE BaseType_t
#define portPOINTER_SIZE_TYPE uint32_t

#define portSTACK_GROWTH (-1)
#define portTICK_PERIOD_MS ((TickType_t)(1000 / configTICK_RATE_HZ))
/* What malloc promises (max_align_t is 8). Stacks are aligned to the ABI's 16 by
 * pxPortInitialiseStack. */
#define portBYTE_ALIGNMENT 8

/* A yield is software interrupt 7: inside a critical section it stays pending and takes
 * effect at its end. */
void vPortYield(void);
#define portYIELD() vPortYield()

/* From an interrupt the switch happens once, when all handlers have run. */
extern volatile uint32_t port_switch_wanted;
#define portEND_SWITCHING_ISR(wanted)   \
    do {                                \
        if ((wanted) != pdFALSE) {      \
            port_switch_wanted = 1;     \
        }                               \
    } while (0)
#define portYIELD_FROM_ISR(wanted) portEND_SWITCHING_ISR(wanted)

void vPortEnterCritical(void);
void vPortExitCritical(void);
#define portENTER_CRITICAL() vPortEnterCritical()
#define portEXIT_CRITICAL() vPortExitCritical()

#define portTASK_FUNCTION_PROTO(function, parameters) void function(void *parameters)
#define portTASK_FUNCTION(function, parameters) void function(void *parameters)
#define portNOP() ((void)0)
#define portMEMORY_BARRIER() __asm__ volatile("" : : : "memory")

#ifndef FW_BINDGEN

#define portDISABLE_INTERRUPTS() ((void)lx106_mask_interrupts())
#define portENABLE_INTERRUPTS()                                     \
    do {                                                            \
        uint32_t old_ps;                                            \
        __asm__ volatile("rsil %0, 0" : "=a"(old_ps) : : "memory"); \
        (void)old_ps;                                               \
    } while (0)
#define portSET_INTERRUPT_MASK_FROM_ISR() lx106_mask_interrupts()
#define portCLEAR_INTERRUPT_MASK_FROM_ISR(ps) lx106_restore_interrupts(ps)

#endif

/* One bit per ready priority; NSAU finds the highest. */
#if configUSE_PORT_OPTIMISED_TASK_SELECTION == 1
#define portRECORD_READY_PRIORITY(priority, ready) ((ready) |= (1UL << (priority)))
#define portRESET_READY_PRIORITY(priority, ready) ((ready) &= ~(1UL << (priority)))
#define portGET_HIGHEST_PRIORITY(top, ready) ((top) = 31U - (uint32_t)__builtin_clz(ready))
#endif

/* The words at the top of every stack: the mark and the address of the mark itself. The
 * crash report stops there when it searches a stack of unknown size. */
#define PORT_STACK_END_MARK 0x53454E44U

#endif

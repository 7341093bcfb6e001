/* FreeRTOS V11.2 as this firmware uses it, on the LX106 port in bsp/lx106.
 *
 * Feature switches stay on where an unused feature costs nothing: the linker drops
 * functions that nobody calls. Options that enlarge every task or the code in each
 * context switch give their reason. */
#ifndef FREERTOS_CONFIG_H
#define FREERTOS_CONFIG_H

#include <stdint.h>

#include "crash.h"

/* The frequency is a fact of the board, known at run time (lx106.h). */
extern const uint32_t board_cpu_hz;

/* Scheduler */
#define configCPU_CLOCK_HZ                      board_cpu_hz
/* 5 ms: fine enough for a LED and a QoS 1 round trip; at 1 kHz the tick itself would
 * cost 1 % of a 40 MHz CPU. */
#define configTICK_RATE_HZ                      200
#define configTICK_TYPE_WIDTH_IN_BITS           TICK_TYPE_WIDTH_32_BITS
#define configUSE_PREEMPTION                    1
#define configUSE_TIME_SLICING                  1
#define configUSE_PORT_OPTIMISED_TASK_SELECTION 1 /* NSAU finds the highest ready priority */
#define configMAX_PRIORITIES                    8
#define configIDLE_SHOULD_YIELD                 1
#define configUSE_IDLE_HOOK                     1 /* waiti: the CPU sleeps */
#define configUSE_TICK_HOOK                     0
#define configUSE_TICKLESS_IDLE                 0
#define configMAX_TASK_NAME_LEN                 12
#define configSTACK_DEPTH_TYPE                  uint32_t
/* In words. The idle task needs one 80-byte interrupt frame, the frame of the end of
 * stack and what freeing a deleted task takes. */
#define configMINIMAL_STACK_SIZE                96

/* One errno per task: the kernel defines picolibc's global `errno` itself (tasks.c
 * defines the variable of this name) and swaps its value at every context switch. */
#define configUSE_POSIX_ERRNO                   1
#define FreeRTOS_errno                          errno

/* Memory: one heap (heap_5 over the region that the linker script leaves), shared by
 * the kernel, C and Rust. An exhausted heap is not fatal by itself: lwIP and mbedTLS
 * handle NULL. Rust's allocation error and our own code call crash_out_of_memory. */
#define configSUPPORT_DYNAMIC_ALLOCATION        1
#define configSUPPORT_STATIC_ALLOCATION         1
#define configKERNEL_PROVIDED_STATIC_MEMORY     1
#define configUSE_MALLOC_FAILED_HOOK            0
#define configHEAP_CLEAR_MEMORY_ON_FREE         0

/* Objects */
#define configUSE_MUTEXES                       1
#define configUSE_RECURSIVE_MUTEXES             1
#define configUSE_COUNTING_SEMAPHORES           1
#define configUSE_QUEUE_SETS                    1
#define configQUEUE_REGISTRY_SIZE               0
#define configUSE_TASK_NOTIFICATIONS            1
/* Index 0 belongs to stream buffers and to the application, index 1 to library glue. */
#define configTASK_NOTIFICATION_ARRAY_ENTRIES   2
#define configUSE_EVENT_GROUPS                  1
#define configUSE_STREAM_BUFFERS                1
#define configNUM_THREAD_LOCAL_STORAGE_POINTERS 2
#define configUSE_APPLICATION_TASK_TAG          0
#define configUSE_CO_ROUTINES                   0
#define configENABLE_BACKWARD_COMPATIBILITY     1 /* freertos-rust's shim uses the old names */

/* Software timers */
#define configUSE_TIMERS                        1
#define configTIMER_TASK_PRIORITY               6
#define configTIMER_QUEUE_LENGTH                8
#define configTIMER_TASK_STACK_DEPTH            160
#define configUSE_DAEMON_TASK_STARTUP_HOOK      0

/* Diagnosis */
#define configCHECK_FOR_STACK_OVERFLOW          2
#define configUSE_TRACE_FACILITY                1 /* freertos-rust reads the system state */
#define configUSE_STATS_FORMATTING_FUNCTIONS    0
#define configGENERATE_RUN_TIME_STATS           1
/* Units of 256 CPU cycles in 32 bits: at 40 MHz 6.4 us, and it wraps after 7.6 hours. */
#define configRUN_TIME_COUNTER_TYPE             uint32_t
#define portCONFIGURE_TIMER_FOR_RUN_TIME_STATS() ((void)0)
#define portGET_RUN_TIME_COUNTER_VALUE()        lx106_run_time_counter()
uint32_t lx106_run_time_counter(void);

/* __FILE_NAME__ holds no directory: shorter, and no build path enters the image. */
#define configASSERT(condition) \
    ((condition) ? (void)0 : crash_assert(#condition, __FILE_NAME__, __LINE__))

#define INCLUDE_vTaskPrioritySet                1
#define INCLUDE_uxTaskPriorityGet               1
#define INCLUDE_vTaskDelete                     1
#define INCLUDE_vTaskSuspend                    1
#define INCLUDE_vTaskDelayUntil                 1 /* freertos-rust asks by this name; implies xTaskDelayUntil */
#define INCLUDE_vTaskDelay                      1
#define INCLUDE_xTaskGetIdleTaskHandle          1
#define INCLUDE_xTaskAbortDelay                 1
#define INCLUDE_xQueueGetMutexHolder            1
#define INCLUDE_xSemaphoreGetMutexHolder        1
#define INCLUDE_xTaskGetHandle                  1
#define INCLUDE_uxTaskGetStackHighWaterMark     1
#define INCLUDE_uxTaskGetStackHighWaterMark2    1
#define INCLUDE_eTaskGetState                   1
#define INCLUDE_xTaskResumeFromISR              1
#define INCLUDE_xTimerPendFunctionCall          1
#define INCLUDE_xTaskGetSchedulerState          1
#define INCLUDE_xTaskGetCurrentTaskHandle       1

#endif

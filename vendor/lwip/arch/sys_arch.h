/* lwIP's own FreeRTOS port (contrib/ports/freertos) with one addition: a task gets its
 * socket semaphore when it first needs one, instead of having to ask for it beforehand. */
#ifndef FW_LWIP_ARCH_SYS_ARCH_H
#define FW_LWIP_ARCH_SYS_ARCH_H

#include_next <arch/sys_arch.h>

sys_sem_t *net_thread_semaphore(void);

#undef LWIP_NETCONN_THREAD_SEM_GET
#define LWIP_NETCONN_THREAD_SEM_GET() net_thread_semaphore()

#endif

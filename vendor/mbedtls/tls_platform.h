#ifndef TLS_PLATFORM_H
#define TLS_PLATFORM_H

#include <stdint.h>

/* How many allocations of mbedTLS the heap has refused since boot. */
uint32_t tls_refused_allocations(void);

#endif

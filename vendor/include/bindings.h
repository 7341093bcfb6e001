/* What bindgen reads: everything that the Rust wrappers call. */
#include "FreeRTOS.h"
#include "task.h"

#include "crash.h"
#include "fw_hooks.h"
#include "lx106.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/sockets.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "net_hooks.h"

#include "tls_client.h"

#include "mbedtls/sha256.h"

#include "MQTTClient.h"
#include "paho_port.h"

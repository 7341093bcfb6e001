/* lwIP's own header with shorter times. RFC 5227's would hold back a device for five to
 * nine seconds whenever it joins a network: three probes, then two announcements. RFC 2131
 * asks for one question to the network; whom that misses is found by the announcement, after
 * which lwIP goes on to listen for conflicts. */
#include_next <lwip/prot/acd.h>

#undef PROBE_NUM
#define PROBE_NUM 1
#undef ANNOUNCE_NUM
#define ANNOUNCE_NUM 1
/* Seconds from the probe to the announcement. */
#undef ANNOUNCE_WAIT
#define ANNOUNCE_WAIT 1

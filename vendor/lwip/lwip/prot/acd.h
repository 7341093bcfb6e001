/* lwIP's own header with shorter times. RFC 5227's would hold back a device for five to
 * nine seconds whenever it joins a network: three probes, then two announcements. RFC 2131
 * asks for one question to the network; whom that misses is found by the announcement, after
 * which lwIP goes on to listen for conflicts. */
#include_next <lwip/prot/acd.h>

/* Before the probe, at random: lwIP makes tenths of a second of it by a multiplication, which
 * leaves these three alone. A network's devices rarely start in the same second. */
#undef PROBE_WAIT
#define PROBE_WAIT 3 + 0
#undef PROBE_NUM
#define PROBE_NUM 1
#undef ANNOUNCE_NUM
#define ANNOUNCE_NUM 1
/* Seconds from the probe to the announcement: who sleeps between the beacons of an access point
 * hears the probe, which is a broadcast, within 0.3 s. */
#undef ANNOUNCE_WAIT
#define ANNOUNCE_WAIT 0.4

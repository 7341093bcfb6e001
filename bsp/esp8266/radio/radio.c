/* The station: start, scan, join, the supplicant's table, and lwIP's interface. The only file
 * that calls esp_wifi_*, whose prototypes are facts of the libraries' interface. */
#include "radio.h"

#include <stdlib.h>
#include <string.h>

#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcpip.h"

#include "FreeRTOS.h"
#include "queue.h"
#include "task.h"

#include "board_netif.h"
#include "chip.h"
#include "fw_hooks.h"
#include "lx106.h"

#if ETH_PAD_SIZE != 0
#error "radio.c hands frames on as they are, without padding"
#endif

/* --- The libraries' interface --------------------------------------------------------- */

/* wifi_init_config_t: Espressif's defaults, without its storage of settings. */
struct init_config {
    int (*event_handler)(const void *event);
    void *osi_functions;
    uint8_t qos, ampdu_rx, rx_ba_window, rx_ampdu_buffers;
    uint32_t rx_ampdu_buffer_length, rx_max_single_packet, rx_buffer_length;
    uint8_t amsdu_rx, rx_buffers, rx_packets, left_continuous_rx_buffers, tx_buffers, nvs, nano,
        wpa3;
    uint32_t magic;
};
_Static_assert(sizeof(struct init_config) == 36, "wifi_init_config_t");
#define INIT_MAGIC 0x1F2F3F4FU

/* wifi_sta_config_t. Their union with the access point's settings is larger. */
struct station_config {
    uint8_t ssid[32];
    uint8_t password[64];
    uint32_t scan_method; /* 0: the first that fits */
    uint8_t bssid_set;
    uint8_t bssid[6];
    uint8_t channel;
    uint16_t listen_interval;
    uint32_t sort_method;
    int32_t threshold_rssi;
    uint32_t threshold_security;
    uint8_t rest[36];
};
_Static_assert(sizeof(struct station_config) == 160, "wifi_config_t, with room");
_Static_assert(offsetof(struct station_config, threshold_rssi) == 116, "wifi_sta_config_t");

struct scan_config {
    const uint8_t *ssid;
    const uint8_t *bssid;
    uint8_t channel;
    uint8_t show_hidden;
    uint32_t type;            /* 0: active */
    uint32_t active_min, active_max; /* ms; 0 is their default of 120 */
};

/* wifi_ap_record_t */
struct access_point_record {
    uint8_t bssid[6];
    uint8_t ssid[33];
    uint8_t channel;
    uint32_t second_channel;
    int8_t rssi;
    int16_t frequency_offset;
    uint32_t security, pairwise, group;
    uint32_t antenna, bits;
    uint8_t country[12];
};

/* esp_aio_t */
struct output {
    int32_t interface;
    uint8_t *frame;
    uint16_t length;
    int (*done)(struct output *output);
    void *arg;
    uint32_t result;
};
_Static_assert(offsetof(struct output, done) == 12, "esp_aio_t");

enum {
    EVENT_SCAN_DONE = 1,
    EVENT_CONNECTED = 4,
    EVENT_DISCONNECTED = 5,
    EVENT_REASON = 39, /* offset in a disconnection's data */

    STATION = 0,
    MODE_STATION = 1,
    BUFFERS_IN_DRAM = 1,
    NO_POWER_SAVE = 0,
    MODEM_SLEEP = 1, /* awake for each beacon that may announce broadcasts */
    ELEMENT_WPA = 4,
    EAPOL_TX = 3,
    ALGORITHM_TKIP = 2,
    ALGORITHM_CCMP = 3,
    CIPHER_BIT_TKIP = 1,
    KEY_SEQUENCE_BYTES = 6,
    KEY_PAIRWISE_ENTRY = 5,
};

void rtc_init(void);
void rtc_init_clk(uint8_t *phy_init_data);
int mac_init(void);
int esp_wifi_set_rx_pbuf_mem_type(int type);
int esp_wifi_init_internal(const struct init_config *config);
int esp_wifi_register_wpa_cb_internal(void *table);
int esp_wifi_set_mode(int mode);
int esp_wifi_internal_reg_rxcb(int interface, int (*receive)(void *, uint16_t, void *));
int esp_wifi_start(void);
int esp_wifi_set_ps(int type);
int esp_wifi_set_config(int interface, const struct station_config *config);
int esp_wifi_connect(void);
int esp_wifi_disconnect(void);
int esp_wifi_scan_start(const struct scan_config *config, bool block);
int esp_wifi_scan_get_ap_num(uint16_t *count);
int esp_wifi_scan_get_ap_records(uint16_t *count, struct access_point_record *records);
int esp_wifi_sta_get_ap_info(struct access_point_record *record);
int esp_wifi_register_tx_cb_internal(void (*sent)(void *), int id);
int esp_wifi_set_appie_internal(int type, uint8_t *element, uint16_t length, int flag);
int esp_wifi_set_sta_key_internal(int algorithm, const uint8_t *address, int index, int transmit,
                                  const uint8_t *sequence, size_t sequence_length,
                                  const uint8_t *key, size_t key_length, int entry);
int esp_wifi_auth_done_internal(void);
int esp_wifi_deauthenticate_internal(uint8_t reason);
uint8_t esp_wifi_sta_get_group_cipher_internal(void);
bool esp_wifi_sta_prof_is_wpa2_internal(void);
int esp_wifi_get_mac(int interface, uint8_t mac[6]);
int ieee80211_output_pbuf(struct output *output);

extern const uint8_t radio_phy_init_data[128];
extern uint8_t _dram_start[], _dram_end[];

/* --- State ---------------------------------------------------------------------------- */

static struct radio_figures figures;
static QueueHandle_t events;
static struct netif *interface;
static struct radio_target target;
static uint8_t own_address[ETH_HWADDR_LEN];

/* --- Events: in the libraries' task, or in the caller's ------------------------------- */

static volatile bool is_on;
static volatile bool connected;

static void on_event(uint32_t id, const uint8_t *data)
{
    struct radio_event event = {0, 0};
    switch (id) {
    case EVENT_SCAN_DONE:
        event.id = RADIO_SCANNED;
        break;
    case EVENT_CONNECTED:
        event.id = RADIO_CONNECTED;
        connected = true;
        break;
    case EVENT_DISCONNECTED:
        event.id = RADIO_DISCONNECTED;
        event.reason = data[EVENT_REASON];
        if (target.has_key && radio_wpa_unproven()) {
            event.reason |= RADIO_UNPROVEN;
        }
        connected = false;
        break;
    default:
        return;
    }
    /* Nobody waits in here: the queue has room for what one task can have caused. */
    (void)xQueueSend(events, &event, 0);
}

int esp_event_send(const void *event)
{
    const uint32_t *words = event;
    on_event(words[0], (const uint8_t *)&words[1]);
    return 0;
}

/* --- The supplicant's table: in the libraries' task ------------------------------------ */

#define RSN_LENGTH 22U

static uint8_t access_point[ETH_HWADDR_LEN];
/* The libraries keep it by address. They write two bytes in front. */
static uint8_t rsn_element[2 + RSN_LENGTH];

static void on_eapol_sent(void *frame)
{
    (void)frame;
    struct radio_keys keys;
    radio_wpa_acknowledged(&keys);
    static const uint8_t zero[KEY_SEQUENCE_BYTES];
    if (keys.has_pairwise) {
        (void)esp_wifi_set_sta_key_internal(ALGORITHM_CCMP, access_point, 0, 1, zero,
                                            KEY_SEQUENCE_BYTES, keys.pairwise,
                                            sizeof(keys.pairwise), KEY_PAIRWISE_ENTRY);
    }
    if (keys.group_index != 0) {
        (void)esp_wifi_set_sta_key_internal(
            keys.group_length == 32 ? ALGORITHM_TKIP : ALGORITHM_CCMP, access_point,
            keys.group_index, 0, keys.group_rsc, KEY_SEQUENCE_BYTES, keys.group,
            keys.group_length, keys.group_index);
    }
    if (keys.complete) {
        (void)esp_wifi_auth_done_internal();
    }
    memset(&keys, 0, sizeof(keys));
}

static bool sta_init(void)
{
    return esp_wifi_register_tx_cb_internal(on_eapol_sent, EAPOL_TX) == 0;
}

static bool yes(void)
{
    return true;
}

static void sta_connect(uint8_t *bssid)
{
    memcpy(access_point, bssid, sizeof(access_point));
    if (!target.has_key) {
        return;
    }
    enum { SUITE_TKIP = 2, SUITE_CCMP = 4 };
    uint8_t group = esp_wifi_sta_get_group_cipher_internal() == CIPHER_BIT_TKIP ? SUITE_TKIP
                                                                                : SUITE_CCMP;
    radio_wpa_element(group, &rsn_element[2]);
    (void)esp_wifi_set_appie_internal(ELEMENT_WPA, rsn_element, RSN_LENGTH, 1);
    radio_wpa_begin(target.pmk, own_address, bssid, group);
}

static void sta_disconnected(uint8_t reason)
{
    (void)reason;
}

static int send_eapol(const uint8_t *payload, size_t length);

static int sta_rx_eapol(uint8_t *source, uint8_t *frame, uint32_t length)
{
    if (!target.has_key || memcmp(source, access_point, sizeof(access_point)) != 0) {
        return 1;
    }
    uint8_t reply[RADIO_REPLY_MAX];
    size_t answer = radio_wpa_receive(frame, length, reply);
    if (answer > 0 && send_eapol(reply, answer) != 0) {
        fw_log(FW_LOG_WARN, "radio", "an answer to the access point could not be sent");
    }
    return 1;
}

static bool sta_in_handshake(void)
{
    return target.has_key && radio_wpa_unproven();
}

static void *no_text(const char *text, size_t *length)
{
    (void)text, (void)length;
    return NULL;
}

static int nothing(void)
{
    return 0;
}

/* struct wpa_funcs; the libraries keep it by address. */
static void *const supplicant[19] = {
    [0] = sta_init,
    [1] = yes,
    [2] = sta_connect,
    [3] = sta_disconnected,
    [4] = sta_rx_eapol,
    [5] = sta_in_handshake,
    /* 6 to 11 are an access point's. */
    [6] = nothing,
    [7] = yes,
    [8] = nothing,
    [9] = nothing,
    [10] = nothing,
    [11] = nothing,
    [12] = no_text,
    [13] = radio_wpa_parse,
    [15] = nothing,
};

/* --- Start, scan, join ------------------------------------------------------------------ */

enum { EVENTS_MAX = 8, NMI_STACK_FILL = 0xA5 };

/* Calibrates and starts the libraries with their task: 0.15 s. Returns 0, or the code of the
 * step that failed. */
static int start(void)
{
    configASSERT(events == NULL);
    events = xQueueCreate(EVENTS_MAX, sizeof(struct radio_event));
    if (events == NULL) {
        return -1;
    }
    memset(radio_nmi_stack, NMI_STACK_FILL,
           (size_t)((uint8_t *)radio_nmi_stack_top - (uint8_t *)radio_nmi_stack));

    uint8_t phy_init_data[sizeof(radio_phy_init_data)];
    memcpy(phy_init_data, radio_phy_init_data, sizeof(phy_init_data));
    rtc_init();
    rtc_init_clk(phy_init_data);
    (void)mac_init();
    (void)esp_wifi_set_rx_pbuf_mem_type(BUFFERS_IN_DRAM);
    static const struct init_config config = {
        .event_handler = esp_event_send,
        .rx_ampdu_buffers = 5,
        .rx_ampdu_buffer_length = 256,
        .rx_max_single_packet = 1600 - 524,
        .rx_buffer_length = 524,
        .rx_buffers = 16,
        .rx_packets = 7,
        .left_continuous_rx_buffers = 16,
        .tx_buffers = 6,
        .magic = INIT_MAGIC,
    };
    int code = esp_wifi_init_internal(&config);
    if (code != 0) {
        return code;
    }
    (void)esp_wifi_register_wpa_cb_internal((void *)(uint32_t)supplicant);
    (void)esp_wifi_set_mode(MODE_STATION);
    code = esp_wifi_start();
    if (code != 0) {
        return code;
    }
    (void)esp_wifi_set_ps(NO_POWER_SAVE);
    return 0;
}

bool radio_is_on(void)
{
    return is_on;
}

int radio_scan(void)
{
    const struct scan_config config = {.show_hidden = true};
    return esp_wifi_scan_start(&config, false);
}

static void describe(const struct access_point_record *record, struct radio_access_point *out)
{
    memcpy(out->bssid, record->bssid, sizeof(out->bssid));
    out->ssid_length = (uint8_t)strnlen((const char *)record->ssid, RADIO_SSID_MAX);
    memset(out->ssid, 0, sizeof(out->ssid));
    memcpy(out->ssid, record->ssid, out->ssid_length);
    out->channel = record->channel;
    out->rssi = record->rssi;
    out->security = (uint8_t)record->security;
    out->pairwise = (uint8_t)record->pairwise;
}

void radio_scanned(void (*tell)(void *context, const struct radio_access_point *one),
                   void *context)
{
    /* 76 bytes each, while there is no connection that would want them. */
    enum { SCANNED_MAX = 128 };
    uint16_t count = 0;
    (void)esp_wifi_scan_get_ap_num(&count);
    if (count > SCANNED_MAX) {
        count = SCANNED_MAX;
    }
    struct access_point_record none, *records;
    while ((records = calloc(count, sizeof(*records))) == NULL && count > 0) {
        count /= 2;
    }
    /* Asking for records frees all of them, also those that are not wanted. */
    if (esp_wifi_scan_get_ap_records(&count, records != NULL ? records : &none) != 0) {
        count = 0;
    }
    for (uint16_t i = 0; i < count; i++) {
        struct radio_access_point one;
        describe(&records[i], &one);
        tell(context, &one);
    }
    free(records);
}

int radio_join(const struct radio_target *wanted)
{
    target = *wanted;
    struct station_config config = {0};
    memcpy(config.ssid, wanted->ssid, wanted->ssid_length);
    if (wanted->has_key) {
        /* Not the passphrase, which is not here: any makes the libraries pass by networks
         * without a key. The supplicant has the key. */
        memcpy(config.password, "with a key", sizeof("with a key"));
    }
    config.bssid_set = wanted->has_bssid;
    memcpy(config.bssid, wanted->bssid, sizeof(config.bssid));
    config.channel = wanted->channel;
    config.threshold_rssi = -127;
    (void)esp_wifi_set_ps(wanted->modem_sleep ? MODEM_SLEEP : NO_POWER_SAVE);
    int code = esp_wifi_set_config(STATION, &config);
    return code != 0 ? code : esp_wifi_connect();
}

void radio_leave(void)
{
    (void)esp_wifi_disconnect();
}

static void follow_link(void)
{
    if (interface == NULL) {
        return;
    }
    LOCK_TCPIP_CORE();
    if (connected) {
        netif_set_link_up(interface); /* both do nothing without a change */
    } else {
        netif_set_link_down(interface);
    }
    UNLOCK_TCPIP_CORE();
}

bool radio_next_event(struct radio_event *event, uint32_t milliseconds)
{
    bool got = xQueueReceive(events, event, pdMS_TO_TICKS(milliseconds)) == pdPASS;
    follow_link();
    return got;
}

bool radio_current(struct radio_access_point *current)
{
    struct access_point_record record;
    if (!connected || esp_wifi_sta_get_ap_info(&record) != 0) {
        return false;
    }
    describe(&record, current);
    return true;
}

void radio_get_figures(struct radio_figures *out)
{
    *out = figures;
    out->nmi_allocations = radio_nmi_allocations;
    const uint8_t *byte = (const uint8_t *)radio_nmi_stack;
    while (byte < (const uint8_t *)radio_nmi_stack_top && *byte == NMI_STACK_FILL) {
        byte++;
    }
    out->nmi_stack_free = (uint32_t)(byte - (const uint8_t *)radio_nmi_stack);
}

/* --- Frames out -------------------------------------------------------------------------- */

/* The libraries build their header over the Ethernet header and in front of it: the frame must
 * be in one piece, in DRAM, with that room, and nobody may want its Ethernet header back. lwIP
 * gives the room (PBUF_LINK_ENCAPSULATION_HLEN), and rebuilds the header when it sends again. */
#define HEADROOM 36U
#define FRAME_MAX 1514U
/* Each holds memory until the access point has acknowledged it, or 32 tries have failed. */
#define IN_THE_AIR_MAX 8U

static volatile uint32_t in_the_air;

static void count_in_the_air(int32_t change)
{
    taskENTER_CRITICAL();
    in_the_air += (uint32_t)change;
    taskEXIT_CRITICAL();
}

/* In the libraries' task, exactly once for each frame that they took. */
static int on_sent(struct output *output)
{
    count_in_the_air(-1);
    (void)pbuf_free(output->arg);
    return 0;
}

/* Takes over one reference to `p` when it returns 0. */
static int send_frame(struct pbuf *p)
{
    struct output output = {
        .interface = STATION,
        .frame = p->payload,
        .length = p->len,
        .done = on_sent,
        .arg = p,
    };
    count_in_the_air(1);
    int code = ieee80211_output_pbuf(&output);
    if (code != 0) {
        count_in_the_air(-1);
        figures.send_refused++;
    } else {
        figures.sent++;
    }
    return code;
}

static bool can_be_sent_as_it_is(const struct pbuf *p)
{
    const uint8_t *frame = p->payload;
    /* The room is this pbuf's own when its payload begins that far behind its head. */
    return p->next == NULL && (p->type_internal & PBUF_TYPE_FLAG_STRUCT_DATA_CONTIGUOUS) != 0 &&
           frame >= (const uint8_t *)p + LWIP_MEM_ALIGN_SIZE(sizeof(struct pbuf)) + HEADROOM &&
           frame >= _dram_start && frame < _dram_end;
}

static err_t transmit(struct netif *netif, struct pbuf *p)
{
    (void)netif;
    if (p->tot_len > FRAME_MAX) {
        return ERR_ARG;
    }
    if (in_the_air >= IN_THE_AIR_MAX) {
        figures.send_refused++;
        return ERR_MEM; /* TCP tries again, the rest is as if lost on the way */
    }
    struct pbuf *frame = p;
    if (can_be_sent_as_it_is(p)) {
        pbuf_ref(p);
    } else {
        frame = pbuf_clone(PBUF_RAW_TX, PBUF_RAM, p);
        if (frame == NULL) {
            figures.send_refused++;
            return ERR_MEM;
        }
    }
    if (send_frame(frame) != 0) {
        (void)pbuf_free(frame);
        return ERR_MEM;
    }
    return ERR_OK;
}

/* In the libraries' task. */
static int send_eapol(const uint8_t *payload, size_t length)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW_TX, (u16_t)(SIZEOF_ETH_HDR + length), PBUF_RAM);
    if (p == NULL) {
        return -1;
    }
    uint8_t *frame = p->payload;
    memcpy(frame, access_point, ETH_HWADDR_LEN);
    memcpy(frame + ETH_HWADDR_LEN, own_address, ETH_HWADDR_LEN);
    frame[12] = 0x88;
    frame[13] = 0x8E;
    memcpy(frame + SIZEOF_ETH_HDR, payload, length);
    int code = send_frame(p);
    if (code != 0) {
        (void)pbuf_free(p);
    }
    return code;
}

/* --- Frames in ---------------------------------------------------------------------------- */

void _heap_caps_free(void *block, const char *file, size_t line);

/* A received frame stays in the memory where the libraries have put it until lwIP is done. */
struct received {
    struct pbuf_custom pbuf;
    void *buffer;
};

static void free_received(struct pbuf *p)
{
    struct received *received = (struct received *)p;
    free(received->buffer);
    free(received);
}

/* In the libraries' task. Whatever is returned is ours to free. */
static int on_received(void *buffer, uint16_t length, void *ring_buffer)
{
    configASSERT(ring_buffer == NULL); /* as left_continuous_rx_buffers is set */
    struct received *received = interface != NULL ? malloc(sizeof(*received)) : NULL;
    if (received == NULL) {
        figures.receive_dropped++;
        free(buffer);
        return 0;
    }
    received->buffer = buffer;
    received->pbuf.custom_free_function = free_received;
    struct pbuf *p =
        pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, &received->pbuf, buffer, length);
    /* lwIP's queue is bounded: when it is full, the frame is lost, as a full network loses it. */
    if (p == NULL || interface->input(p, interface) != ERR_OK) {
        figures.receive_dropped++;
        free(buffer);
        free(received);
        return 0;
    }
    figures.received++;
    return 0;
}

/* --- The interface -------------------------------------------------------------------------- */

err_t board_netif_init(struct netif *netif)
{
    LWIP_ASSERT("one interface", interface == NULL);
    chip_mac_address(own_address);
    net_ethernet_interface(netif, transmit);
    memcpy(netif->hwaddr, own_address, ETH_HWADDR_LEN);
    interface = netif;
    int code = start();
    if (code == 0) {
        code = esp_wifi_internal_reg_rxcb(STATION, on_received);
    }
    if (code != 0) {
        fw_log(FW_LOG_ERROR, "radio", "the radio does not start (%d)", code);
        return ERR_IF;
    }
    is_on = true;
    return ERR_OK;
}

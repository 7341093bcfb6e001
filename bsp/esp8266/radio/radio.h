/* The radio: Espressif's libraries as Rust sees them (bsp/esp8266/src/radio.rs), and what the
 * files of this folder tell each other. All calls are for tasks. */
#ifndef RADIO_H
#define RADIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- What Rust calls --------------------------------------------------------------- */

enum radio_event_id {
    RADIO_SCANNED = 1,
    RADIO_CONNECTED = 2,
    RADIO_DISCONNECTED = 3,
};

struct radio_event {
    uint32_t id; /* enum radio_event_id */
    /* Of a disconnection: IEEE 802.11-2020, table 9-49; from 200 on Espressif's. With
     * RADIO_UNPROVEN when the access point had been answered and not proven that it knows the
     * key. */
    uint32_t reason;
};
#define RADIO_UNPROVEN 0x100U

/* Most bytes of a network's name. */
#define RADIO_SSID_MAX 32U

/* An access point that a scan found. */
struct radio_access_point {
    uint8_t bssid[6];
    uint8_t ssid[RADIO_SSID_MAX];
    uint8_t ssid_length; /* 0: it hides its name */
    uint8_t channel;
    int8_t rssi; /* dBm */
    uint8_t security; /* wifi_auth_mode_t of Espressif's esp_wifi_types.h */
    uint8_t pairwise; /* wifi_cipher_type_t */
};

/* What to join. */
struct radio_target {
    uint8_t ssid[RADIO_SSID_MAX];
    uint8_t ssid_length;
    bool has_bssid;
    uint8_t bssid[6];
    uint8_t channel; /* to begin with; 0 when it is not known */
    bool has_key;
    uint8_t pmk[32];
    bool modem_sleep; /* between beacons, once it has joined */
};

/* Whether board_netif_init has started the radio. Nothing else may be called before. */
bool radio_is_on(void);

/* Look for access points on all channels: 2 s. RADIO_SCANNED follows. Returns 0 when it
 * began. */
int radio_scan(void);

/* Tells the access points of the last scan one by one, strongest first: the strongest 128, or as
 * many as there is memory for. Frees the libraries' list of them. */
void radio_scanned(void (*tell)(void *context, const struct radio_access_point *one),
                   void *context);

/* Begin to join. RADIO_CONNECTED or RADIO_DISCONNECTED follows, also when the network is
 * not there. Returns 0 when it began. */
int radio_join(const struct radio_target *target);

/* Leave, or give up joining. RADIO_DISCONNECTED follows when there was something to leave. */
void radio_leave(void);

/* The next event; false when none comes within so many milliseconds. One task calls it, and
 * with it the interface of lwIP learns whether there is a link. */
bool radio_next_event(struct radio_event *event, uint32_t milliseconds);

/* The access point that the station is connected to; false when there is none. */
bool radio_current(struct radio_access_point *current);

/* Figures for tests and status. */
struct radio_figures {
    uint32_t nmi_stack_free;     /* bytes that were never used */
    uint32_t received, sent;     /* frames */
    uint32_t receive_dropped;    /* for want of memory or a full queue */
    uint32_t send_refused;       /* for want of memory, or too many in the air */
    uint32_t nmi_allocations;    /* refused, as they must be */
};
void radio_get_figures(struct radio_figures *figures);

/* --- The supplicant, in Rust ------------------------------------------------------- */

/* Keys to install, now that the last answer was acknowledged. */
struct radio_keys {
    bool has_pairwise;
    uint8_t pairwise[16];
    uint8_t group_index; /* 0: none */
    uint8_t group_length;
    uint8_t group[32];
    uint8_t group_rsc[6];
    bool complete;
};

#define RADIO_REPLY_MAX 121U

/* A new association; `group` is the suite type of the group cipher. */
void radio_wpa_begin(const uint8_t pmk[32], const uint8_t own[6], const uint8_t bssid[6],
                     uint8_t group);
/* An EAPOL frame: the length of the answer in `reply`, or 0. */
size_t radio_wpa_receive(uint8_t *frame, size_t length, uint8_t reply[RADIO_REPLY_MAX]);
void radio_wpa_acknowledged(struct radio_keys *keys);
/* True while the access point has not proven that it knows the key. */
bool radio_wpa_unproven(void);
/* What an RSN or WPA element of a beacon offers: wifi_wpa_ie_t. */
struct radio_offer {
    uint32_t protocol, pairwise, group, key_management, capabilities;
    size_t pmkid_count;
    const uint8_t *pmkid;
    uint32_t management_group;
};
/* 0, or -1 when the element cannot be read. */
int radio_wpa_parse(const uint8_t *element, size_t length, struct radio_offer *offer);

/* The RSN element to send, 22 bytes. */
void radio_wpa_element(uint8_t group, uint8_t element[22]);

/* --- Between the files of this folder ----------------------------------------------- */

/* radio.c; the libraries also know it by name. */
int esp_event_send(const void *event);

/* nmi.S. */
extern uint32_t radio_nmi_stack[], radio_nmi_stack_top[];
void radio_nmi(void);

extern uint32_t radio_nmi_allocations;

#endif

/* hostapd's authenticator alone, between standard input and output: what an access point's side of
 * WPA2-PSK is, written by others (tests/hostapd.rs). It is compiled against the sources of Debian's
 * package `wpa`, which are not in this repository.
 *
 * Each message is a letter, two bytes of length, the higher first, and the contents. In: E an EAPOL
 * frame of the station. Out: E an EAPOL frame, P the pairwise key that is
 * installed, T a group key (index, key), F the station has another key, D it is sent away. */
#include "utils/includes.h"

#include "utils/common.h"
#include "utils/eloop.h"
#include "common/defs.h"
#include "common/ieee802_11_defs.h"
#include "common/wpa_common.h"
#include "ap/wpa_auth.h"

static const u8 bssid[ETH_ALEN] = { 0x02, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE };
static const u8 station[ETH_ALEN] = { 0x18, 0xFE, 0x34, 0x01, 0x02, 0x03 };
static u8 psk[32];
static struct wpa_authenticator *authenticator;
static struct wpa_state_machine *machine;

/* What was standard output at the start. */
static FILE *out;

static void tell(char kind, const u8 *data, size_t length)
{
	putc(kind, out);
	putc((int) (length >> 8), out);
	putc((int) (length & 0xFF), out);
	fwrite(data, 1, length, out);
	fflush(out);
}

static void note(void *ctx, const u8 *addr, logger_level level, const char *txt)
{
	fprintf(stderr, "hostapd: %s\n", txt);
}

static void disconnect(void *ctx, const u8 *addr, u16 reason)
{
	u8 code = (u8) reason;

	tell('D', &code, 1);
}

static void psk_failure(void *ctx, const u8 *addr)
{
	tell('F', NULL, 0);
}

static void set_eapol(void *ctx, const u8 *addr, wpa_eapol_variable var, int value)
{
}

static int get_eapol(void *ctx, const u8 *addr, wpa_eapol_variable var)
{
	return var == WPA_EAPOL_keyRun || var == WPA_EAPOL_keyAvailable;
}

static const u8 *get_psk(void *ctx, const u8 *addr, const u8 *p2p_dev_addr, const u8 *prev_psk,
			 size_t *psk_len, int *vlan_id)
{
	if (vlan_id)
		*vlan_id = 0;
	if (psk_len)
		*psk_len = sizeof(psk);
	return prev_psk ? NULL : psk;
}

static int set_key(void *ctx, int vlan_id, enum wpa_alg alg, const u8 *addr, int idx, u8 *key,
		   size_t key_len, enum key_flag key_flag)
{
	u8 group[33] = { (u8) idx };

	if (alg != WPA_ALG_CCMP)
		return 0;
	if (addr && !is_broadcast_ether_addr(addr)) {
		tell('P', key, key_len);
	} else {
		os_memcpy(group + 1, key, key_len);
		tell('T', group, 1 + key_len);
	}
	return 0;
}

static int get_seqnum(void *ctx, const u8 *addr, int idx, u8 *seq)
{
	os_memset(seq, 0, WPA_KEY_RSC_LEN);
	seq[0] = 7;
	return 0;
}

static int send_eapol(void *ctx, const u8 *addr, const u8 *data, size_t data_len, int encrypt)
{
	tell('E', data, data_len);
	return 0;
}

static int for_each_sta(void *ctx, int (*cb)(struct wpa_state_machine *sm, void *ctx), void *cb_ctx)
{
	return machine ? cb(machine, cb_ctx) : 0;
}

static int for_each_auth(void *ctx, int (*cb)(struct wpa_authenticator *a, void *ctx), void *cb_ctx)
{
	return cb(authenticator, cb_ctx);
}

static void on_input(int fd, void *eloop_ctx, void *user_ctx)
{
	u8 head[3], data[2048];
	size_t length;

	if (fread(head, 1, sizeof(head), stdin) != sizeof(head)) {
		eloop_terminate();
		return;
	}
	length = WPA_GET_BE16(head + 1);
	if (length > sizeof(data) || fread(data, 1, length, stdin) != length) {
		eloop_terminate();
		return;
	}
	wpa_receive(authenticator, machine, data, length);
}

int main(int argc, char *argv[])
{
	/* The station's RSN element, as its association request has it, and the key, in hex; then
	 * the seconds after which the group key is renewed, 0: never. */
	u8 element[64];
	size_t length = argc == 4 ? os_strlen(argv[1]) / 2 : 0;
	struct wpa_auth_config conf;
	static const struct wpa_auth_callbacks callbacks = {
		.logger = note,
		.disconnect = disconnect,
		.psk_failure_report = psk_failure,
		.set_eapol = set_eapol,
		.get_eapol = get_eapol,
		.get_psk = get_psk,
		.set_key = set_key,
		.get_seqnum = get_seqnum,
		.send_eapol = send_eapol,
		.for_each_sta = for_each_sta,
		.for_each_auth = for_each_auth,
	};

	if (length < 2 || length > sizeof(element) || hexstr2bin(argv[1], element, length) ||
	    os_strlen(argv[2]) != 64 || hexstr2bin(argv[2], psk, sizeof(psk)))
		return 2;
	/* hostapd logs to standard output, which is not to be read as messages. */
	out = fdopen(dup(1), "w");
	if (!out || dup2(2, 1) < 0)
		return 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	os_memset(&conf, 0, sizeof(conf));
	conf.wpa = WPA_PROTO_RSN;
	conf.wpa_key_mgmt = WPA_KEY_MGMT_PSK;
	conf.wpa_pairwise = conf.rsn_pairwise = conf.wpa_group = WPA_CIPHER_CCMP;
	conf.wpa_group_update_count = conf.wpa_pairwise_update_count = 4;
	conf.wpa_group_rekey = atoi(argv[3]);
	conf.eapol_version = 2;
	conf.wmm_enabled = 1; /* 16 replay counters, as the beacon of the tests says */
	conf.group_mgmt_cipher = WPA_CIPHER_AES_128_CMAC;
	if (eloop_init())
		return 1;
	authenticator = wpa_init(bssid, &conf, &callbacks, NULL);
	machine = authenticator ? wpa_auth_sta_init(authenticator, station, NULL) : NULL;
	if (!machine || wpa_init_keys(authenticator) ||
	    wpa_validate_wpa_ie(authenticator, machine, 2437, element, length, NULL, 0, NULL, 0, NULL,
				0) != WPA_IE_OK)
		return 3;
	wpa_auth_sm_event(machine, WPA_ASSOC);
	wpa_auth_sta_associated(authenticator, machine);
	eloop_register_read_sock(0, on_input, NULL, NULL);
	eloop_run();
	return 0;
}

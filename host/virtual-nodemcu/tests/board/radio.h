/* A station in C that takes the MAC's interrupt as NMI: the part of the radio that needs the core.
 * Joins an open network on channel 11 and is flooded. */

#define MAC(offset) REG(0x3FF20000 + (offset))
#define EVENTS 0x2C880300u
#define RECEIVED (1u << 8)
#define SENT (1u << 19)
#define RING 8
#define OWNER (1u << 31)
#define END (1u << 30)
#define FLOOD 3000

struct descriptor {
    volatile uint32_t word;
    uint8_t *buffer;
    struct descriptor *next;
};

static struct descriptor ring[RING], outgoing;
static uint8_t buffers[RING][524] __attribute__((aligned(4)));
static uint8_t frame[128] __attribute__((aligned(4)));
static struct descriptor *head = ring;
static volatile uint32_t beacons, answers, status, data, sent, result;
static uint8_t bssid[6], own[6] = { 0x5C, 0xCF, 0x7F };
static volatile uint32_t others;

#define NMI_OPEN "1"
#include "nmi.h"

static void look(const uint8_t *bytes)
{
    if (bytes[0] == 0x80 && bytes[36] == 0 && bytes[37] == 4 && bytes[38] == 'c') {
        beacons++;
        for (int i = 0; i < 6; i++)
            bssid[i] = bytes[16 + i];
    } else if (bytes[0] == 0xB0) {
        status = bytes[28];
        answers++;
    } else if (bytes[0] == 0x10) {
        status = bytes[26];
        answers++;
    } else if (bytes[0] == 0x08) {
        data++;
        if (bytes[21] != own[5] && bytes[30] == 0x12 && bytes[31] == 0x34)
            others++;
    }
}

void nmi_handler(void)
{
    uint32_t events = MAC(0xC20);

    MAC(0xC18) = 0;
    MAC(0xC24) = events;
    if (events & SENT) {
        result = MAC(0xC84) >> 28;
        sent++;
    }
    if (events & RECEIVED) {
        struct descriptor *last = (struct descriptor *)MAC(0x014);

        for (;;) {
            struct descriptor *here = head;

            /* Behind the rx control. */
            look(here->buffer + 12);
            here->word = OWNER | 524u << 12 | 524;
            head = here->next;
            if (here == last)
                break;
        }
    }
    /* Now and then it takes long enough for the next frame to be there at the exit. */
    if (data % 4 == 0)
        for (volatile int i = 0; i < 2000; i++)
            ;
    do
        GATE = 0;
    while (GATE != 0);
    MAC(0xC18) = EVENTS;
}

static void put_header(uint8_t kind)
{
    for (unsigned i = 0; i < sizeof frame; i++)
        frame[i] = 0;
    frame[0] = kind;
    for (int i = 0; i < 6; i++) {
        frame[4 + i] = bssid[i];
        frame[10 + i] = own[i];
        frame[16 + i] = bssid[i];
    }
}

/* Sends the frame by slot 0 at 6 Mbit/s; the NMI tells the end. */
static int send(uint32_t length)
{
    uint32_t before = sent, here = answers;

    outgoing.buffer = frame;
    outgoing.next = 0;
    outgoing.word = OWNER | END | (length + 4) << 12 | (length + 4);
    MAC(0xDC0) = 2u << 12;
    MAC(0xDC8) = 0xBu << 12 | (length + 4);
    MAC(0xDC4) = 3u << 30 | 1u << 24 | 1u << 21 | ((uint32_t)&outgoing & 0x3FFFF);
    for (int i = 0; i < 1000 && (sent == before || (frame[0] != 0x08 && answers == here)); i++)
        ets_delay_us(100);
    return sent == before + 1 && result == 0 && answers > here && status == 0;
}

/* Computes with all registers, again and again; a wrong value is a register that an NMI lost. */
static uint32_t mix(uint32_t seed)
{
    uint32_t a = seed, b = ~seed, c = seed * 3, d = seed ^ 0x5A5A, e = 1, f = 2, g = 3, h = 4;

    for (int i = 0; i < 200; i++) {
        a += b << (c & 7);
        b ^= c + d;
        c = (c << 3 | c >> 29) + e;
        d -= f ^ a;
        e = e * 5 + g;
        f ^= h >> (a & 7);
        g += b ^ d;
        h = (h >> 7 | h << 25) ^ e;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
}

static void test(void)
{
    static const uint8_t request[] = { 1, 4, 3, 0, 0, 4, 'c', 'a', 'f', 'e', 1, 4, 2, 4, 11, 22 };
    uint32_t good, wrong = 0;

    __asm__ volatile("wsr %0, vecbase" : : "a"(&vectors));
    for (int i = 0; i < RING; i++) {
        ring[i].word = OWNER | 524u << 12 | 524;
        ring[i].buffer = buffers[i];
        ring[i].next = &ring[(i + 1) % RING];
    }
    check("the chip is known by its eFuses", (REG(0x3FF00058) & 0x8000) != 0);
    check("half-words of DPORT", *(volatile uint16_t *)0x3FF0005A == REG(0x3FF00058) >> 16);
    *(volatile uint8_t *)0x3FF21405 = 0x77;
    check("bytes of the key table", MAC(0x1404) == 0x7700);
    MAC(0x1404) = 0;
    /* The last three bytes of the address are in the eFuses. */
    own[3] = REG(0x3FF00054) >> 8, own[4] = REG(0x3FF00054), own[5] = REG(0x3FF00050) >> 24;
    MAC(0xC48) = 0x007FCF5C | (uint32_t)own[3] << 24;
    MAC(0xC4C) = own[4] | (uint32_t)own[5] << 8;
    MAC(0xC58) = 0xFFFFFFFF;
    MAC(0xC5C) = 0x1FFFF;
    /* Channel 11: 50 * 2^20 / 2462. */
    REG(0x60009B14) = 21295u << 17;
    MAC(0x008) = (uint32_t)ring;
    MAC(0x004) = 1u << 31;
    MAC(0xC18) = EVENTS;
    ets_delay_us(250000);
    check("the gate holds the NMI", beacons == 0 && (MAC(0xC20) & RECEIVED));
    GATE = 1;
    ets_delay_us(250000);
    check("beacons by NMI", beacons >= 2);
    put_header(0xB0);
    frame[26] = 1;
    check("authentication", send(30));
    put_header(0x00);
    for (unsigned i = 0; i < sizeof request; i++)
        frame[24 + i] = request[i];
    check("association", send(24 + sizeof request));
    say("ready\n");
#ifdef TEST_radio_pair
    /* Calls out until somebody else has been heard calling; goes on, for the other to hear it. The
     * lamp says so. */
    for (;;) {
        put_header(0x08);
        frame[1] = 1;
        for (int i = 0; i < 6; i++)
            frame[16 + i] = 0xFF;
        frame[24] = frame[25] = 0xAA;
        frame[26] = 3;
        frame[30] = 0x12, frame[31] = 0x34;
        answers = 0;
        send(40);
        ets_delay_us(20000);
        if (others >= 10)
            REG(0x60000310) = 1 << 2;
    }
#endif
    good = mix(7);
    while (data < FLOOD)
        wrong += mix(7) != good;
    check("no register was lost", wrong == 0);
    check("the NMI struck at its own exit", nmi_again > 0);
    say("done\n");
}

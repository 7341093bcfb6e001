/* Does on the virtual board what the test asks for (-DTEST_name) and says on UART0 how it went. */
#include <stddef.h>
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define IN_FLASH __attribute__((section(".flash"), aligned(4)))

/* ROM functions, at their published addresses. */
#define ROM(address, result, ...) ((result (*)(__VA_ARGS__))(address))
#define Cache_Read_Enable ROM(0x40004678, void, uint32_t, uint32_t, uint32_t)
#define Cache_Read_Disable ROM(0x400047F0, void, void)
#define SPIEraseSector ROM(0x40004A00, int, uint32_t)
#define SPIWrite ROM(0x40004A4C, int, uint32_t, const void *, uint32_t)
#define SPIRead ROM(0x40004B1C, int, uint32_t, void *, uint32_t)
#define ets_delay_us ROM(0x40002ECC, void, uint32_t)
#define ets_update_cpu_frequency ROM(0x40002F04, void, uint32_t)
#define ets_isr_attach ROM(0x40000F88, void, uint32_t, void (*)(void *), void *)
#define ets_isr_unmask ROM(0x40000FA8, void, uint32_t)
#define rom_memcpy ROM(0x4000DF48, void *, void *, const void *, uint32_t)
#define rom_printf ROM(0x400024CC, int, const char *, ...)

__attribute__((unused)) static const uint32_t constants[2] IN_FLASH = { 0x12345678, 0x9ABCDEF0 };

static void say(const char *text)
{
    while (*text) {
        while ((REG(0x6000001C) >> 16 & 0xFF) >= 126)
            ;
        REG(0x60000000) = *text++;
    }
}

__attribute__((unused)) static void check(const char *what, int good)
{
    say(good ? "ok " : "BAD ");
    say(what);
    say("\n");
}

#ifdef TEST_memory
static void test(void)
{
    static uint32_t buffer[64], other[64];
    uint16_t half[2] = { 0x1111, 0x2222 };
    volatile uint8_t *bytes = (volatile uint8_t *)half;

    bytes[1] = 0x33;
    check("sub-word access to DRAM", half[0] == 0x3311);
    Cache_Read_Enable(0, 0, 1);
    check("flash through the cache", constants[0] == 0x12345678 && constants[1] == 0x9ABCDEF0);
    for (int i = 0; i < 64; i++)
        buffer[i] = 0xA5A50000u + i;
    check("erase", SPIEraseSector(0x30) == 0);
    check("write", SPIWrite(0x30000, buffer, 256) == 0);
    check("read", SPIRead(0x30000, other, 256) == 0 && other[63] == 0xA5A5003F);
    REG(0x40107F04) = 0;
    check("a read of odd length into IRAM ends with a whole word",
        SPIRead(0x30000, (void *)0x40107F00, 7) == 0 && REG(0x40107F04) == 0xA5A50001);
    buffer[0] = 0x0F0F0F0F;
    SPIWrite(0x30000, buffer, 4);
    SPIRead(0x30000, other, 4);
    check("programming only clears bits", other[0] == (0xA5A50000u & 0x0F0F0F0F));
    check("the window shows what was written", REG(0x40230004) == 0xA5A50001);
    check("an unaligned length is refused", SPIWrite(0x30000, buffer, 3) == 1);
    /* Its image's header says 1 MiB. */
    check("the ROM believes in 4 MiB",
        SPIRead(0x3FFF00, other, 256) == 0 && SPIRead(0x400000, other, 256) != 0);
    check("past the end is refused", SPIWrite(0xFFFFF0, buffer, 256) != 0);
    rom_memcpy(other, buffer, 7);
    check("memcpy", other[0] == buffer[0]);
    check("the ROM's digits", REG(0x3FFFD848) == 0x33323130 && REG(0x3FFFD854) == 0x66656463
        && REG(0x3FFFD868) == 0x46454443 && REG(0x3FFFD86C) == 0);
    rom_printf("printf %d %08x %s %c%%\n", -5, 0xBEEF, "text", 'c');
    check("the random source differs", REG(0x3FF20E44) != REG(0x3FF20E44));
    check("RAM is not zero at power-on", REG(0x3FFF0000) == 0xA5A5A5A5);
    REG(0x3FFF0000) = 0;
    say("done\n");
}
#endif

#ifdef TEST_byte_from_iram
static void test(void)
{
    volatile uint8_t *code = (volatile uint8_t *)0x40100000;

    say("before\n");
    (void)*code;
    say("not reached\n");
}
#endif

#ifdef TEST_crash
static void test(void)
{
    /* Nothing is there. Not 0: the compiler would know. */
    (void)REG(0x20000004);
    say("not reached\n");
}
#endif

#ifdef TEST_cache_off
static void test(void)
{
    Cache_Read_Enable(0, 0, 1);
    (void)*(volatile const uint32_t *)constants;
    Cache_Read_Disable();
    say("before\n");
    (void)*(volatile const uint32_t *)constants;
    say("not reached\n");
}
#endif

#ifdef TEST_watchdog
static void test(void)
{
    if (REG(0x60000714) == 4) {
        check("RTC memory survived", REG(0x60001200) == 0xC0FFEE);
        check("the RTC's stores survived",
              REG(0x60000730) == 0xCAFE && REG(0x6000073C) == 0xBEEF);
        check("RAM survived", REG(0x3FFF0000) == 0xC0FFEE);
        REG(0x60000700) = 1u << 31;
        for (;;)
            ;
    }
    if (REG(0x60000714) == 2) {
        check("RTC memory survived the program's reset", REG(0x60001200) == 0xC0FFEE);
        say("done\n");
        return;
    }
    check("power on", REG(0x60000714) == 1);
    check("the RTC's stores are empty", REG(0x60000730) == 0 && REG(0x6000073C) == 0);
    REG(0x60001200) = 0xC0FFEE;
    REG(0x60000730) = 0xCAFE;
    REG(0x6000073C) = 0xBEEF;
    REG(0x3FFF0000) = 0xC0FFEE;
    REG(0x60000904) = 4;
    REG(0x60000908) = 3;
    REG(0x60000900) = 1;
    for (int i = 0; i < 30; i++) {
        ets_delay_us(5000);
        REG(0x60000914) = 0x73;
    }
    say("fed for 150 ms\n");
    for (;;)
        ;
}
#endif

#ifdef TEST_timer
static volatile int ticks;

static void tick(void *argument)
{
    ticks += *(int *)argument;
    REG(0x6000060C) = 1;
}

static void test(void)
{
    int one = 1;

    ets_isr_attach(9, tick, &one);
    REG(0x60000600) = 5200;
    REG(0x60000608) = 1 << 7 | 1 << 6;
    ets_isr_unmask(1 << 9);
    /* 52 MHz: 100 us each. */
    ets_delay_us(10000);
    check("FRC1 ticked a hundred times", ticks >= 99 && ticks <= 101);
    REG(0x60000608) = 0;
    say("done\n");
}
#endif

#ifdef TEST_timer_nmi
#define NMI_OPEN "15"
#include "nmi.h"

static volatile uint32_t ticks, level1, single;

/* As NMI_Handler of Espressif's libraries: it shuts the gate, calls who is to be called, clears the
 * interrupt. */
void nmi_handler(void)
{
    do
        GATE = (GATE & ~31u) | 14;
    while (GATE & 1);
    ticks++;
    if (single)
        REG(0x60000600) = single;
    REG(0x6000060C) &= ~1u;
}

static void tick(void *argument)
{
    (void)argument;
    level1++;
}

/* How often FRC1 interrupts in 10 ms, while interrupts are masked, by the NMI. */
static uint32_t count(uint32_t control)
{
    uint32_t state;

    ticks = 0;
    REG(0x60000600) = 5200;
    REG(0x60000608) = 1 << 7 | control;
    __asm__ volatile("rsil %0, 2" : "=r"(state));
    ets_delay_us(10000);
    __asm__ volatile("wsr %0, ps\n rsync" : : "r"(state));
    REG(0x60000608) = 0;
    return ticks;
}

static void test(void)
{
    __asm__ volatile("wsr %0, vecbase" : : "a"(&vectors));
    count(1 << 6);
    check("the gate holds it", ticks == 0);
    GATE = 1;
    count(1 << 6);
    check("the NMI is the radio's until it is given away", ticks == 0);
    GATE = (GATE & ~31u) | 15;
    check("a hundred edges", count(1 << 6) - 99 < 3);
    check("a hundred times a level", count(1 << 6 | 1) - 99 < 3);
    single = 5200;
    check("a hundred times armed by its handler", count(0) - 97 < 5);
    /* Nothing of what is not known is taken for it. */
    GATE = 11;
    check("somebody else's", count(1 << 6) == 0);
    GATE = 0;
    __asm__ volatile("wsr %0, vecbase" : : "a"(0x40000000));
    ets_isr_attach(9, tick, 0);
    ets_isr_unmask(1 << 9);
    /* Those before wait until then, as one. */
    level1 = 0;
    count(1 << 6);
    check("without the NMI it is level 1", ticks == 0 && level1 == 1);
    say("done\n");
}
#endif

#ifdef TEST_led
static void test(void)
{
    REG(0x60000838) = 0;
    REG(0x60000308) = 1 << 2;
    REG(0x60000310) = 1 << 2;
    REG(0x60000304) = 1 << 2;
    REG(0x60000308) = 1 << 2;
    check("input and straps", (REG(0x60000318) & 0xFFFF0004u) == 3u << 16);
    say("done\n");
}
#endif

#ifdef TEST_speed
#define rom_i2c_writeReg ROM(0x400072D8, void, uint32_t, uint32_t, uint32_t, uint32_t)
#define CODE_IN_FLASH __attribute__((section(".flash.text"), noinline))

static volatile uint32_t ticks;

static void tick(void *argument)
{
    (void)argument;
    ticks++;
    REG(0x6000060C) = 1;
}

/* Shifts, tests, bytes. */
static CODE_IN_FLASH uint32_t crc32(const uint8_t *bytes, uint32_t length)
{
    uint32_t crc = 0xFFFFFFFF;

    while (length--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

/* Loads, stores, branches. */
static CODE_IN_FLASH void sort(uint32_t *words, int count)
{
    for (int i = 1; i < count; i++) {
        uint32_t word = words[i];
        int j = i;

        for (; j > 0 && words[j - 1] > word; j--)
            words[j] = words[j - 1];
        words[j] = word;
    }
}

/* Work without an end, from flash, at 160 MHz and with a timer that interrupts each millisecond. */
static void test(void)
{
    static uint32_t words[256];
    uint32_t seed = 1;

    rom_i2c_writeReg(103, 4, 1, 0x88);
    rom_i2c_writeReg(103, 4, 2, 0x91);
    REG(0x3FF00014) = 1;
    Cache_Read_Enable(0, 0, 1);
    ets_isr_attach(9, tick, 0);
    REG(0x60000600) = 80000;
    REG(0x60000608) = 1 << 7 | 1 << 6;
    ets_isr_unmask(1 << 9);
    for (;;) {
        for (int i = 0; i < 256; i++)
            words[i] = seed = seed * 1664525 + 1013904223;
        seed ^= crc32((const uint8_t *)words, sizeof words);
        sort(words, 256);
        if (ticks >= 100) {
            ticks = 0;
            say("100 ms\n");
        }
    }
}
#endif

#ifdef TEST_debug
volatile uint32_t counter, limit = 5;

__attribute__((noinline)) uint32_t count(uint32_t step)
{
    counter += step;
    return counter * 2;
}

static void test(void)
{
    while (counter < limit)
        if (count(1) == 0)
            return;
    SPIEraseSector(0x30);
    /* The LED, so that the console shows that all this is done. */
    REG(0x60000310) = 1 << 2;
    for (;;)
        REG(0x3FFF0000)++;
}
#endif

#ifdef TEST_network
#define NIC(offset) REG(0x6FF00000 + (offset))

static void test(void)
{
    static volatile uint8_t frame[64];
    static volatile uint8_t answer[64];
    uint32_t low = NIC(4), high = NIC(8);
    static const uint8_t request[] = { 0, 1, 8, 0, 6, 4, 0, 1 };

    check("the port is there", NIC(0) == 0x434E4956);
    check("link", NIC(0xC) & 1);
    for (int i = 0; i < 6; i++)
        frame[i] = 0xFF;
    for (int i = 0; i < 6; i++)
        frame[6 + i] = frame[22 + i] = i < 4 ? low >> (8 * i) : high >> (8 * (i - 4));
    frame[12] = 8;
    frame[13] = 6;
    for (int i = 0; i < 8; i++)
        frame[14 + i] = request[i];
    frame[28] = 10, frame[30] = 2, frame[31] = 15;
    frame[38] = 10, frame[40] = 2, frame[41] = 2;
    NIC(0x1C) = (uint32_t)frame;
    NIC(0x28) = 13;
    NIC(0x28) = 29;
    NIC(0x2C) = 1;
    for (int i = 0; i < 1000 && !(NIC(0xC) & 2); i++)
        ets_delay_us(1000);
    check("an answer came", NIC(0x18) >= 42);
    NIC(0x1C) = (uint32_t)answer;
    NIC(0x20) = sizeof answer;
    check("it is for us", answer[0] == frame[6] && answer[12] == 8 && answer[13] == 6);
    check("it is 10.0.2.2", answer[28] == 10 && answer[31] == 2);
    NIC(0x24) = 1;
    NIC(0x1C) = 0x40100000;
    NIC(0x28) = 4;
    check("memory that is not DRAM is refused", NIC(0x30) == 1);
    say("done\n");
}
#endif

#if defined TEST_radio || defined TEST_radio_pair
#include "radio.h"
#endif

#ifdef TEST_stale_code
/* Two functions of the same length, without literals: their code can be copied. */
__asm__(
    ".text\n.align 4\n.global one, two\n"
    "one: movi.n a2, 1\n ret.n\n nop\n .align 4\n"
    "two: movi.n a2, 2\n ret.n\n nop\n .align 4\n");
extern uint32_t one, two;

static void test(void)
{
    int (*call)(void) = (int (*)(void))&one;
    int before = call();

    rom_memcpy(&one, &two, 4);
    __asm__ volatile("isync");
    check("code that the ROM's memcpy wrote is executed", before == 1 && call() == 2);
    say("done\n");
}
#endif

#ifdef TEST_chip
static volatile int alarms;

static void alarm(void *argument)
{
    (void)argument;
    alarms++;
    /* As the ROM's own handler: the next alarm, and the interrupt's register never. */
    REG(0x60000630) = REG(0x60000624) + 52000;
}

/* What every program of the SDK needs of the chip besides its radio. */
static void test(void)
{
    uint32_t start;

    check("UART0 as the ROM leaves it",
        REG(0x60000020) == 0xC && REG(0x60000024) == 1 && REG(0x6000000C) == 1);
    check("the eFuses say ESP8266", REG(0x3FF00058) & 1 << 15);
    check("half a word of DPORT", *(volatile uint16_t *)0x3FF0005A == REG(0x3FF00058) >> 16);
    REG(0x3FF21400) = 0x11223344;
    *(volatile uint8_t *)0x3FF21401 = 0x55;
    check("a byte of the MAC", REG(0x3FF21400) == 0x11225544);
    ets_isr_attach(10, alarm, 0);
    REG(0x60000630) = REG(0x60000624) + 52000;
    REG(0x60000628) = 1 << 7;
    ets_isr_unmask(1 << 10);
    ets_delay_us(20500);
    check("FRC2 alarms again and again", alarms == 20);
    start = REG(0x3FF20C00);
    ets_delay_us(1000);
    start = REG(0x3FF20C00) - start;
    check("microseconds", start >= 1000 && start < 1010);
    REG(0x6000036C) = 1u << 31 | 100;
    check("the RTC's calibration ends", REG(0x60000370) >> 31);
    check("the RTC's clock is 150 kHz", (REG(0x60000370) & 0xFFFFF) == 17333);
    REG(0x60000708) = 1 << 20;
    check("awake after the PLL settled", REG(0x60000728) & 1);
    REG(0x3FF0000C) |= 1;
    check("the cache is empty after a flush", REG(0x3FF0000C) & 2);
    REG(0x60001000) = 0x12345678;
    check("RTC memory from its start", REG(0x60001000) == 0x12345678);
    REG(0x60000D10) = 1 << 24 | 0x550363;
    REG(0x60000D10) = 0x000363;
    check("an analogue register", REG(0x60000D10) == 0x550363);
    say("done\n");
}
#endif

#ifdef TEST_strays
static void test(void)
{
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 400; i++)
            (void)REG(0x3FF10000 + 4 * i);
    say("done\n");
}
#endif

#ifdef TEST_absent
/* As i2s_begin of Arduino, sigmaDeltaSetup, Serial.swap: first what stops them. */
static void test(void)
{
    for (int on = 0; on < 3; on++) {
        REG(0x60000B24) = (0x3FFE9000 & 0xFFFFF) | (on ? 1 << 29 : 0);
        REG(0x60000E08) = on ? 1 << 8 : 0;
        REG(0x60000368) = on ? 1 << 16 | 128 : 128;
        REG(0x3FF00028) = on ? 1 << 2 : 0;
        if (!on)
            say("stopped\n");
        ets_delay_us(50000);
    }
    say("done\n");
}
#endif

#ifdef TEST_missing
static void test(void)
{
    ROM(0x4000F000, void, void)();
}
#endif

#ifdef TEST_restarts
static void test(void)
{
    ets_delay_us(5000);
    REG(0x60000700) = 1u << 31;
}
#endif

#ifdef TEST_deep_sleep
static void test(void)
{
    if (REG(0x60000714) == 5) {
        check("nothing ran in the sleep", REG(0x60001200) == 0);
        check("and it lasted 10 s", REG(0x6000071C) - REG(0x60001204) >= 1500000);
        say("done\n");
        return;
    }
    REG(0x60001200) = 0;
    REG(0x60001204) = REG(0x6000071C);
    /* Shorter than the sleep. */
    REG(0x60000904) = REG(0x60000908) = 4;
    REG(0x60000900) = 1;
    REG(0x60000740) = 0xFFFFFFFF;
    REG(0x60000718) = 8;
    REG(0x60000704) = REG(0x6000071C) + 1500000;
    REG(0x60000708) |= 1 << 20;
    for (;;)
        REG(0x60001200)++;
}
#endif

#ifdef TEST_doze
/* Stops the chip's clocks; what woke it. */
static uint32_t doze(uint32_t by, uint32_t periods)
{
    REG(0x60000718) = by;
    REG(0x60000704) = REG(0x6000071C) + periods;
    REG(0x60000708) |= 1 << 20;
    while (!(REG(0x60000728) & 3))
        ;
    return REG(0x60000718) >> 8 & 0x3F;
}

static uint32_t cycles(void)
{
    uint32_t count;

    __asm__ volatile("rsr.ccount %0" : "=r"(count));
    return count;
}

static void test(void)
{
    uint32_t count, micro, frc2, slow, by;

    REG(0x60000628) = 1 << 7;
    /* Both stages of the watchdog are shorter than the sleep. */
    REG(0x60000904) = REG(0x60000908) = 4;
    REG(0x60000900) = 1;
    count = cycles(), micro = REG(0x3FF20C00), frc2 = REG(0x60000624), slow = REG(0x6000071C);
    by = doze(8, 15000);
    count = cycles() - count, micro = REG(0x3FF20C00) - micro, frc2 = REG(0x60000624) - frc2;
    slow = REG(0x6000071C) - slow;
    REG(0x60000900) = 0;
    check("the timer woke it", by == 8);
    check("after 100 ms", slow >= 15000 && slow < 15100);
    check("in which CCOUNT and FRC2 stood still, and the microseconds did not",
        count < 5000 && micro >= 100000 && micro < 101000 && frc2 < 5000);
    check("a moment that is over wakes at once", doze(8, -1) == 8);

    check("GPIO16 is high", REG(0x6000078C) & 1);
    REG(0x60000774) = 1;
    REG(0x600007A0) = 1;
    check("as an output low", !(REG(0x6000078C) & 1));
    REG(0x60000768) = 1;
    check("and high", REG(0x6000078C) & 1);
    REG(0x60000774) = 0;

    REG(0x6000033C) = 1 << 10 | 4 << 7;
    say("press\n");
    /* Until it has left: a UART sleeps too. */
    ets_delay_us(30000);
    check("a pin woke it", doze(4, 0) == 4 && !(REG(0x60000318) >> 5 & 1));
    check("GPIO16 is held low", !(REG(0x6000078C) & 1));
    check("a pin that is low wakes at once", doze(4 | 8, 15000) == 4);
    say("done\n");
}
#endif

#include "parts.h"

__attribute__((section(".text.start"))) void start(void)
{
    extern uint32_t bss_start, bss_end;

    for (uint32_t *word = &bss_start; word < &bss_end; word++)
        *(volatile uint32_t *)word = 0;
    /* MHz, as the ROM leaves the clock; it believes in 80. */
    ets_update_cpu_frequency(52);
    test();
    for (;;)
        __asm__ volatile("waiti 0");
}

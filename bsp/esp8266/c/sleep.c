/* Deep sleep: all but the RTC is without power, and its memory is all that is kept. The chip wakes
 * by a reset, which the RTC's timer makes through GPIO16. */
#include "chip.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"

/* Periods of the slow clock that are measured. */
#define MEASURED 256U
/* The alarm is compared as a signed number: more and the chip wakes at once. */
#define LONGEST 0x7FFFFFFFU
/* Looks after which what does not come is given up: some milliseconds. */
#define PATIENCE 200000U

/* What MEASURED periods of the slow clock take, in periods of the crystal; 0 if it stands. */
static uint32_t measure_slow_clock(void)
{
    /* One more is counted than is measured. */
    RTC_CALIBRATION = MEASURED + 1;
    RTC_CALIBRATION |= RTC_CALIBRATION_BIT31;
    for (uint32_t i = 0; i < PATIENCE; i++) {
        uint32_t result = RTC_CALIBRATION_RESULT;
        if ((result & RTC_CALIBRATION_BIT31) != 0) {
            return result & ~RTC_CALIBRATION_BIT31;
        }
    }
    return 0;
}

uint32_t chip_sleep_periods(uint64_t microseconds)
{
    uint32_t measured = measure_slow_clock();
    if (measured == 0) {
        return 0;
    }
    /* It does not overflow: a longer one is refused before. */
    uint64_t periods = microseconds * (CRYSTAL_MHZ * MEASURED) / measured;
    return periods <= LONGEST ? (uint32_t)periods : 0;
}

static void spin_us(uint32_t us)
{
    chip_spin(us * (board_cpu_hz / 1000000U));
}

/* A short sleep with the clocks running, which brings the RTC's state machine to where a deep one
 * can begin. */
static void prepare(void)
{
    RTC.control = 0x30;
    RTC.power = 4;
    RTC.oscillators = 0x10010;
    RTC.analog = (RTC.analog & 0xFFFF0000U) | 0xFC80;
    RTC.timing = 0;
    RTC.wake_at = RTC.count + 136;
    RTC.wake_by = RTC_WAKE_BY_TIMER;
    RTC.sleep = RTC_SLEEP_NOW;
    spin_us(200);
    RTC_PAD_CONFIG(0) = 0x11;
    RTC_PAD_CONFIG(1) = 3;
    RTC.oscillators = 0x640C8;
    RTC.control = 0;
}

/* The flash's own sleep comes before ours, and behind it nothing can be read. */
IN_IRAM("sleep") static _Noreturn void fall_asleep(void)
{
    chip_cache_off();
    SPI0.command = SPI_COMMAND_FLASH_POWER_DOWN;
    while (SPI0.command != 0) {
    }
    RTC.sleep = RTC_SLEEP_NOW;
    for (;;) {
        __asm__ volatile("waiti 3");
    }
}

_Noreturn void chip_sleep(uint32_t periods)
{
    (void)lx106_mask_interrupts();
    fw_console_direct();
    lx106_note_sleep();
    chip_console_drain();
    EDGE_INTERRUPTS &= ~EDGE_INTERRUPTS_WATCHDOG;
    prepare();
    RTC.power_down = 0xFFFFFFFFU;
    RTC.power = 0x20;
    RTC.wake_at = RTC.count + periods;
    RTC.wake_by = periods > 0 ? RTC_WAKE_BY_TIMER : 0;
    fall_asleep();
}

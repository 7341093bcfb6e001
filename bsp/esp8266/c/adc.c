/* The one analogue converter, at the pin TOUT (A0). The radio measures its own power with it in
 * between, hence the detours. */
#include "chip.h"

#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"

/* Looks at the converter's state after which it counts as dead; eight samples take some 20 us. */
#define PATIENCE 100000U

static bool settle(void)
{
    for (uint32_t i = 0; i < PATIENCE; i++) {
        if ((SAR_CONTROL & SAR_CONTROL_STATE) == 0) {
            return true;
        }
    }
    return false;
}

/* What the radio's libraries and the ROM do with a raw sample: its lower eight bits are stretched. */
static uint32_t straighten(uint32_t sample)
{
    uint32_t upper = ~sample & 0x700U;
    uint32_t lower = ~sample & 0xFFU;
    return upper + (lower > 21 ? (lower - 21) * 279 / 256 : 0);
}

static bool measure(uint32_t *sum)
{
    rom_i2c_writeReg_Mask(I2C_SAR_BLOCK, I2C_SAR_HOST, I2C_SAR_TEST_REGISTER, I2C_SAR_TEST_BIT,
                          I2C_SAR_TEST_BIT, 1);
    SAR_INPUT |= SAR_INPUT_TOUT;
    bool done = settle();
    SAR_CONTROL &= ~SAR_CONTROL_START;
    SAR_CONTROL |= SAR_CONTROL_START;
    chip_spin(2 * (board_cpu_hz / 1000000U));
    done = settle() && done;
    *sum = 0;
    for (unsigned i = 0; i < SAR_SAMPLES; i++) {
        *sum += straighten(SAR_DATA(i));
    }
    rom_i2c_writeReg_Mask(I2C_SAR_BLOCK, I2C_SAR_HOST, I2C_SAR_TEST_REGISTER, I2C_SAR_TEST_BIT,
                          I2C_SAR_TEST_BIT, 0);
    done = settle() && done;
    SAR_INPUT &= ~SAR_INPUT_TOUT;
    SAR_DETECTORS &= ~SAR_DETECTORS_ON;
    SAR_DETECTORS |= SAR_DETECTORS_ON;
    return done;
}

/* In libphy: while it is not 0, the transmitter's power is not followed. */
extern uint8_t tout_dis_txpwr_track;

int chip_adc_read(void)
{
    /* Powers the converter, and wakes it when nobody has. */
    const uint32_t powered = 0xD6000000U, awake = 1U << 25;
    uint32_t sum;
    vTaskSuspendAll();
#if CHIP_RADIO
    tout_dis_txpwr_track = 1;
#endif
    uint32_t before = RTC.timing;
    RTC.timing = before | powered;
    if ((before & awake) == 0) {
        rom_sar_init();
    }
    bool done = measure(&sum);
    RTC.timing = before;
#if CHIP_RADIO
    tout_dis_txpwr_track = 0;
#endif
    (void)xTaskResumeAll();
    if (!done) {
        return -1;
    }
    uint32_t value = (sum + 8) / 16;
    return (int)(value < 1023 ? value : 1023);
}

/* HSPI, the SPI controller that the flash leaves to others, on GPIO12 (MISO), 13 (MOSI) and 14
 * (clock). Chip select is any other pin. */
#include "chip.h"

#include "esp8266.h"

static void give_to_hspi(uint32_t pad, bool pull_up)
{
    uint32_t others = IOMUX(pad) & ~(IOMUX_FUNCTION_MASK | IOMUX_PULL_UP);
    IOMUX(pad) = others | IOMUX_FUNCTION(IOMUX_HSPI) | (pull_up ? IOMUX_PULL_UP : 0);
}

void chip_spi_start(uint32_t clock, unsigned mode)
{
    bool idles_high = (mode & 2) != 0, second_edge = (mode & 1) != 0;
    IOMUX_CONF &= ~IOMUX_CONF_HSPI_CLOCK_IS_BUS;
    SPI1.control = 0;
    SPI1.control1 = 0;
    SPI1.control2 = SPI_CONTROL2_MISO_DELAY(1U);
    SPI1.slave = 0;
    SPI1.clock = clock;
    SPI1.user = SPI_USER_DUPLEX | SPI_USER_SLAVE_EDGE | SPI_USER_MOSI |
                (idles_high != second_edge ? SPI_USER_OUT_EDGE : 0);
    SPI1.pin = SPI_PIN_NO_CS | (idles_high ? SPI_PIN_CLOCK_IDLES_HIGH : 0);
    give_to_hspi(IOMUX_GPIO12, true);
    give_to_hspi(IOMUX_GPIO13, false);
    give_to_hspi(IOMUX_GPIO14, false);
}

/* The bytes from `from` on, the first one lowest; zeros where there are none. */
static uint32_t word_of(const uint8_t *from, size_t length)
{
    uint32_t word = 0;
    for (size_t i = 0; from != NULL && i < 4 && i < length; i++) {
        word |= (uint32_t)from[i] << (8 * i);
    }
    return word;
}

void chip_spi_exchange(const uint8_t *out, uint8_t *in, size_t length)
{
    while (length > 0) {
        size_t piece = length < SPI_DATA_SIZE ? length : SPI_DATA_SIZE;
        for (size_t at = 0; at < piece; at += 4) {
            SPI1.data[at / 4] = word_of(out != NULL ? out + at : NULL, piece - at);
        }
        SPI1.user1 = SPI_USER1_BITS(8 * piece);
        SPI1.command = SPI_COMMAND_USER;
        while ((SPI1.command & SPI_COMMAND_USER) != 0) {
        }
        for (size_t at = 0; in != NULL && at < piece; at++) {
            in[at] = (uint8_t)(SPI1.data[at / 4] >> (8 * (at % 4)));
        }
        out = out != NULL ? out + piece : NULL;
        in = in != NULL ? in + piece : NULL;
        length -= piece;
    }
}

/* Drivers for what is wired to the pins, as programs write them: by bits. */
#if defined(TEST_parts) || defined(TEST_echo)
#define GPIO0_FALLS 0x60000328

static int level(int pin)
{
    return REG(0x60000318) >> pin & 1;
}

static void low(int pin)
{
    REG(0x60000308) = 1u << pin;
    REG(0x60000310) = 1u << pin;
}

static void let_go(int pin)
{
    REG(0x60000314) = 1u << pin;
}
#endif

#ifdef TEST_parts
#define DHT 2
#define ONE_WIRE 14
#define SDA 4
#define SCL 5
#define SERVO 12

static uint32_t micros(void)
{
    return REG(0x3FF20C00);
}

/* Waits while the pin has this level; microseconds, or 0 when it lasts too long. */
static uint32_t lasts(int pin, int at)
{
    uint32_t start = micros();

    while (level(pin) == at)
        if (micros() - start > 1000)
            return 0;
    return micros() - start + 1;
}

static void dht22(void)
{
    uint8_t bytes[5] = { 0 };

    low(DHT);
    ets_delay_us(1200);
    let_go(DHT);
    lasts(DHT, 1);
    lasts(DHT, 0);
    lasts(DHT, 1);
    for (int bit = 0; bit < 40; bit++) {
        lasts(DHT, 0);
        bytes[bit / 8] = bytes[bit / 8] << 1 | (lasts(DHT, 1) > 48);
    }
    rom_printf("dht %x %x %x %x %x\n", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]);
}

static void write_wire(uint8_t byte)
{
    for (int bit = 0; bit < 8; bit++) {
        low(ONE_WIRE);
        ets_delay_us(byte >> bit & 1 ? 5 : 60);
        let_go(ONE_WIRE);
        ets_delay_us(byte >> bit & 1 ? 60 : 5);
    }
}

static uint8_t read_wire(void)
{
    uint8_t byte = 0;

    for (int bit = 0; bit < 8; bit++) {
        low(ONE_WIRE);
        ets_delay_us(3);
        let_go(ONE_WIRE);
        ets_delay_us(9);
        byte |= level(ONE_WIRE) << bit;
        ets_delay_us(55);
    }
    return byte;
}

static int reset_wire(void)
{
    int present;

    low(ONE_WIRE);
    ets_delay_us(480);
    let_go(ONE_WIRE);
    ets_delay_us(70);
    present = !level(ONE_WIRE);
    ets_delay_us(410);
    return present;
}

static void ds18b20(void)
{
    uint8_t a, b;

    check("somebody is on the wire", reset_wire());
    write_wire(0xCC);
    write_wire(0x44);
    while (read_wire() == 0)
        ;
    reset_wire();
    write_wire(0xCC);
    write_wire(0xBE);
    a = read_wire();
    b = read_wire();
    rom_printf("wire %x %x\n", a, b);
}

static void line(int pin, int high)
{
    if (high)
        let_go(pin);
    else
        low(pin);
    ets_delay_us(2);
}

static void i2c_start(void)
{
    line(SDA, 1);
    line(SCL, 1);
    line(SDA, 0);
    line(SCL, 0);
}

static void i2c_stop(void)
{
    line(SDA, 0);
    line(SCL, 1);
    line(SDA, 1);
}

static int i2c_bit(int bit)
{
    line(SDA, bit);
    line(SCL, 1);
    bit = level(SDA);
    line(SCL, 0);
    return bit;
}

static int i2c_write(uint8_t byte)
{
    for (int bit = 7; bit >= 0; bit--)
        i2c_bit(byte >> bit & 1);
    return !i2c_bit(1);
}

static uint8_t i2c_read(int more)
{
    uint8_t byte = 0;

    for (int bit = 0; bit < 8; bit++)
        byte = byte << 1 | i2c_bit(1);
    i2c_bit(!more);
    return byte;
}

static void i2c(void)
{
    uint8_t id, data[3];

    i2c_start();
    check("a BME280 is there", i2c_write(0x76 << 1) && i2c_write(0xD0));
    i2c_start();
    i2c_write(0x76 << 1 | 1);
    id = i2c_read(0);
    i2c_stop();
    check("and says so", id == 0x60);
    i2c_start();
    i2c_write(0x76 << 1);
    i2c_write(0xF4);
    i2c_write(0x21);
    i2c_stop();
    ets_delay_us(10000);
    i2c_start();
    i2c_write(0x76 << 1);
    i2c_write(0xFA);
    i2c_start();
    i2c_write(0x76 << 1 | 1);
    for (int at = 0; at < 3; at++)
        data[at] = i2c_read(at < 2);
    i2c_stop();
    rom_printf("raw %x\n", data[0] << 12 | data[1] << 4 | data[2] >> 4);
    i2c_start();
    check("a screen is there", i2c_write(0x3C << 1));
    for (const char *byte = "\x80\xAF\x80\xA1\x80\xC8\x40\x01\x02\x04\x08"; *byte; byte++)
        i2c_write(*byte);
    i2c_stop();
    i2c_start();
    check("nobody is at another address", !i2c_write(0x50 << 1));
    i2c_stop();
}

static volatile int falls;

static void fell(void *unused)
{
    (void)unused;
    falls++;
    REG(0x60000324) = 0xFFFF;
}

static void test(void)
{
    dht22();
    ds18b20();
    i2c();
    for (int pulse = 0; pulse < 3; pulse++) {
        REG(0x60000304) = 1u << SERVO;
        REG(0x60000310) = 1u << SERVO;
        ets_delay_us(1000);
        low(SERVO);
        ets_delay_us(19000);
    }
    REG(0x60000D5C) |= 1u << 21;
    {
        uint32_t sum = 0;
        for (int sample = 0; sample < 8; sample++) {
            uint32_t x = ~REG(0x60000D80 + 4 * sample) & 0xFFFF;
            int32_t fine = (int32_t)(x & 0xFF) - 21;
            sum += (x & 0x700) + (fine > 0 ? (uint32_t)fine * 279 >> 8 : 0);
        }
        rom_printf("adc %d\n", (sum + 8) >> 4);
    }
    ets_isr_attach(4, fell, 0);
    REG(GPIO0_FALLS) = 2 << 7;
    REG(0x60000324) = 0xFFFF;
    ets_isr_unmask(1 << 4);
    say("press\n");
    while (falls < 2)
        ;
    ets_delay_us(10000);
    say(falls > 2 ? "it bounced\n" : "no bounce\n");
    say("done\n");
}
#endif

#ifdef TEST_echo
/* Says what it hears, in capitals, and turns the lamp with each line. */
static void test(void)
{
    int on = 0;

    let_go(2);
    say("echo> ");
    for (;;) {
        char c;

        if ((REG(0x6000001C) & 0xFF) == 0)
            continue;
        c = REG(0x60000000);
        if (c == '\r') {
            on = !on;
            if (on)
                low(2);
            else
                let_go(2);
            say("\r\necho> ");
        } else {
            char text[2] = { c >= 'a' && c <= 'z' ? c - 32 : c, 0 };
            say(text);
        }
        (void)level;
    }
}
#endif

/* Pins of the ESP8266: levels, tasks that wait for them, and short delays between them. */
#include "chip.h"

#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"
#include "lx106.h"

/* The pad of a pin and its function number there. */
struct pad {
    uint32_t pin, pad, function;
};
static const struct pad pads[] = {
    {0, IOMUX_GPIO0, 0},   {2, IOMUX_GPIO2, 0},   {4, IOMUX_GPIO4, 0},   {5, IOMUX_GPIO5, 0},
    {12, IOMUX_GPIO12, 3}, {13, IOMUX_GPIO13, 3}, {14, IOMUX_GPIO14, 3}, {15, IOMUX_GPIO15, 3},
};

/* Let the GPIO registers have a pin. */
static void take(unsigned pin, bool pull_up)
{
    for (unsigned i = 0; i < sizeof(pads) / sizeof(pads[0]); i++) {
        if (pads[i].pin == pin) {
            uint32_t others = IOMUX(pads[i].pad) & ~(IOMUX_FUNCTION_MASK | IOMUX_PULL_UP);
            IOMUX(pads[i].pad) =
                others | IOMUX_FUNCTION(pads[i].function) | (pull_up ? IOMUX_PULL_UP : 0);
            return;
        }
    }
    crash_assert("the console or the flash has this pin", "gpio.c", __LINE__);
}

void chip_gpio_output(unsigned pin, bool level)
{
    /* The level first, so that the pin never shows the other one. */
    chip_gpio_write(pin, level);
    take(pin, false);
    GPIO.enable_set = 1U << pin;
}

void chip_gpio_write(unsigned pin, bool level)
{
    if (level) {
        GPIO.out_set = 1U << pin;
    } else {
        GPIO.out_clear = 1U << pin;
    }
}

void chip_gpio_input(unsigned pin, bool pull_up)
{
    GPIO.enable_clear = 1U << pin;
    take(pin, pull_up);
}

void chip_gpio_open_drain(unsigned pin, bool pull_up)
{
    chip_gpio_input(pin, pull_up);
    /* What it drives when it drives. */
    GPIO.out_clear = 1U << pin;
}

void chip_gpio_let_go(unsigned pin, bool go)
{
    if (go) {
        GPIO.enable_clear = 1U << pin;
    } else {
        GPIO.enable_set = 1U << pin;
    }
}

bool chip_gpio_read(unsigned pin)
{
    return (GPIO.in >> pin & 1U) != 0;
}

void chip_spin(uint32_t cycles)
{
    uint32_t start = lx106_ccount();
    while (lx106_ccount() - start < cycles) {
    }
}

/* Whom a pin's event wakes. The interrupt's side takes it out: it wakes once. */
static volatile TaskHandle_t waiting[GPIO_PINS];

/* Index 0 is the application's. */
#define NOTIFICATION 1U

static void listen(unsigned pin, uint32_t kind)
{
    GPIO.pin[pin] = (GPIO.pin[pin] & ~GPIO_PIN_INTERRUPT_MASK) | GPIO_PIN_INTERRUPT(kind);
}

static void on_interrupt(void *arg)
{
    (void)arg;
    BaseType_t wanted = pdFALSE;
    uint32_t pending = GPIO.status;
    while (pending != 0) {
        unsigned pin = 31U - (unsigned)__builtin_clz(pending);
        pending &= ~(1U << pin);
        /* First the event, or a level that lasts would set the bit again. */
        listen(pin, 0);
        GPIO.status_clear = 1U << pin;
        if (waiting[pin] != NULL) {
            vTaskNotifyGiveIndexedFromISR(waiting[pin], NOTIFICATION, &wanted);
            waiting[pin] = NULL;
        }
    }
    portYIELD_FROM_ISR(wanted);
}

bool chip_gpio_wait(unsigned pin, enum chip_gpio_event event, uint32_t milliseconds)
{
    configASSERT(pin < GPIO_PINS);
    lx106_irq_attach(GPIO_IRQ, on_interrupt, NULL);
    /* Of a time shorter than a tick, the tick: no wait would let no other task run. */
    TickType_t left = milliseconds / portTICK_PERIOD_MS + (milliseconds % portTICK_PERIOD_MS != 0);
    if (milliseconds == UINT32_MAX) {
        left = portMAX_DELAY;
    }
    TimeOut_t start;
    vTaskSetTimeOutState(&start);
    portENTER_CRITICAL();
    configASSERT(waiting[pin] == NULL);
    waiting[pin] = xTaskGetCurrentTaskHandle();
    /* An edge from before does not count. */
    GPIO.status_clear = 1U << pin;
    listen(pin, event);
    portEXIT_CRITICAL();
    /* Library glue uses the same notification: that one came is not yet that this one did. */
    do {
        (void)ulTaskNotifyTakeIndexed(NOTIFICATION, pdTRUE, left);
    } while (waiting[pin] != NULL && xTaskCheckForTimeOut(&start, &left) == pdFALSE);
    portENTER_CRITICAL();
    bool happened = waiting[pin] == NULL;
    waiting[pin] = NULL;
    listen(pin, 0);
    GPIO.status_clear = 1U << pin;
    portEXIT_CRITICAL();
    return happened;
}

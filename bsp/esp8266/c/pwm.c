/* Pulses on any pins, by the timer FRC1: its interrupt comes at each edge. At the start of a period
 * all outputs with a pulse go high, then each low after its own time. */
#include "chip.h"

#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"
#include "lx106.h"

/* In ticks of the timer, 0.2 us each. Edges nearer than that are waited for: an interrupt takes
 * longer. */
#define SOON 50U

struct edge {
    uint32_t at;    /* ticks from the period's start */
    uint32_t lower; /* pins that go low */
};
/* Where edges are in order, and the last one is the end of the period. */
struct schedule {
    uint32_t raise; /* pins that go high at the start */
    uint32_t count;
    struct edge edges[CHIP_PWM_CHANNELS + 1];
};

static struct channel {
    uint32_t pin; /* its bit; 0: free */
    uint32_t high;
} channels[CHIP_PWM_CHANNELS];
static uint32_t period; /* 0: not started */

static struct schedule schedules[2];
/* The one that is played, and the one to take at the next start of a period. */
static volatile uint32_t played, planned;
static uint32_t position;

/* Ticks since the timer passed 0. */
static uint32_t since(void)
{
    return (0U - FRC1.count) & FRC1_MASK;
}

/* Do what is due at `position` and go on; the ticks until the next. */
static uint32_t step(void)
{
    const struct schedule *schedule = &schedules[played];
    uint32_t at = schedule->edges[position].at;
    GPIO.out_clear = schedule->edges[position].lower;
    position++;
    if (position < schedule->count) {
        return schedule->edges[position].at - at;
    }
    played = planned;
    position = 0;
    GPIO.out_set = schedules[played].raise;
    return schedules[played].edges[0].at;
}

static void on_timer(void *arg)
{
    (void)arg;
    FRC1.int_clear = 1;
    /* What is due, in ticks since the edge that brought us here. */
    uint32_t due = 0;
    for (;;) {
        due += step();
        uint32_t now = since();
        if (now > due + period) {
            /* Interrupts were masked for long, as while the flash is erased: what has passed has. */
            due = now;
        }
        if (due > now + SOON) {
            FRC1.load = due - now;
            return;
        }
        while (since() < due) {
        }
    }
}

/* Make the next schedule of what the channels want. Interrupts are masked. */
static void plan(void)
{
    uint32_t next = 1 - played;
    struct schedule *schedule = &schedules[next];
    schedule->raise = 0;
    schedule->count = 1;
    schedule->edges[0] = (struct edge){.at = period, .lower = 0};
    for (unsigned i = 0; i < CHIP_PWM_CHANNELS; i++) {
        struct channel *channel = &channels[i];
        if (channel->high > 0) {
            schedule->raise |= channel->pin;
        }
        uint32_t place = 0;
        while (schedule->edges[place].at < channel->high) {
            place++;
        }
        if (schedule->edges[place].at != channel->high && channel->high > 0) {
            for (uint32_t last = schedule->count++; last > place; last--) {
                schedule->edges[last] = schedule->edges[last - 1];
            }
            schedule->edges[place] = (struct edge){.at = channel->high, .lower = 0};
        }
        /* Always high: never lowered. Always low: at the end of the period, should it be high. */
        if (channel->high == 0) {
            schedule->edges[schedule->count - 1].lower |= channel->pin;
        } else if (channel->high < period) {
            schedule->edges[place].lower |= channel->pin;
        }
    }
    planned = next;
}

bool chip_pwm_start(uint32_t ticks)
{
    portENTER_CRITICAL();
    bool first = period == 0;
    if (first) {
        period = ticks;
        plan();
        played = planned;
        position = 0;
    }
    portEXIT_CRITICAL();
    if (first) {
        FRC1.control = 0;
        FRC1.int_clear = 1;
        lx106_irq_attach(FRC1_IRQ, on_timer, NULL);
        EDGE_INTERRUPTS |= EDGE_INTERRUPTS_FRC1;
        FRC1.load = ticks;
        FRC1.control = FRC1_ENABLE | FRC1_SIXTEENTH;
    }
    return first;
}

int chip_pwm_add(unsigned pin)
{
    int found = -1;
    portENTER_CRITICAL();
    for (unsigned i = 0; i < CHIP_PWM_CHANNELS && found < 0; i++) {
        if (channels[i].pin == 0) {
            channels[i] = (struct channel){.pin = 1U << pin, .high = 0};
            found = (int)i;
        }
    }
    plan();
    portEXIT_CRITICAL();
    return found;
}

void chip_pwm_set(unsigned channel, uint32_t high)
{
    configASSERT(channel < CHIP_PWM_CHANNELS && high <= period);
    portENTER_CRITICAL();
    channels[channel].high = high;
    plan();
    portEXIT_CRITICAL();
}

/* paho's MQTTTime.h on the kernel's tick. */
#include "MQTTTime.h"

#include "FreeRTOS.h"
#include "task.h"

/* Milliseconds since boot in 64 bits. The 32-bit tick count in milliseconds would jump back
 * after 49 days, and paho's keep-alive would wait until it had caught up. */
static int64_t now_ms(void)
{
    static TickType_t last;
    static uint32_t wraps;
    int64_t ticks;

    taskENTER_CRITICAL();
    const TickType_t now = xTaskGetTickCount();
    if (now < last) {
        wraps++;
    }
    last = now;
    ticks = ((int64_t)wraps << 32) + now;
    taskEXIT_CRITICAL();
    return ticks * portTICK_PERIOD_MS;
}

static int64_t to_ms(START_TIME_TYPE time)
{
    return (int64_t)time.tv_sec * 1000 + time.tv_usec / 1000;
}

void MQTTTime_sleep(ELAPSED_TIME_TYPE milliseconds)
{
    vTaskDelay(pdMS_TO_TICKS(milliseconds));
}

START_TIME_TYPE MQTTTime_start_clock(void)
{
    return MQTTTime_now();
}

START_TIME_TYPE MQTTTime_now(void)
{
    const uint64_t ms = (uint64_t)now_ms();

    return (START_TIME_TYPE){
        .tv_sec = (time_t)(ms / 1000),
        .tv_usec = (suseconds_t)(ms % 1000) * 1000,
    };
}

DIFF_TIME_TYPE MQTTTime_difftime(START_TIME_TYPE later, START_TIME_TYPE earlier)
{
    return to_ms(later) - to_ms(earlier);
}

ELAPSED_TIME_TYPE MQTTTime_elapsed(START_TIME_TYPE start)
{
    return (ELAPSED_TIME_TYPE)(now_ms() - to_ms(start));
}

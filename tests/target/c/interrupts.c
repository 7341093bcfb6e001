/* What an interrupt handler may do, and what it finds. */
#include <string.h>

#include "check.h"
#include "event_groups.h"
#include "irq_source.h"
#include "lx106.h"
#include "message_buffer.h"
#include "queue.h"
#include "semphr.h"
#include "stream_buffer.h"
#include "timers.h"

extern uint32_t _stack_bottom[], _stack_top[];

/* What the handler of the running test shares with it. */
static volatile uint32_t calls;
static BaseType_t handler_result;
static bool wants_switch = true;

/* --- Entry and masks -------------------------------------------------------------- */

static void on_plain(void *arg)
{
    uint32_t here;
    CHECK(arg == (void *)&calls);
    CHECK(lx106_in_interrupt());
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 1);
    CHECK(&here >= _stack_bottom && &here < _stack_top);
    calls++;
    /* Raised again by itself: served after this one, not inside it. */
    if (calls == 100) {
        irq_source_raise();
        spin(1000);
        CHECK_EQUAL(calls, 100);
    }
}

void test_interrupt_entry(void);
void test_interrupt_entry(void)
{
    irq_source_attach(on_plain, (void *)&calls);
    CHECK_EQUAL(calls, 0);
    for (uint32_t i = 1; i < 100; i++) {
        irq_source_raise();
        CHECK_EQUAL(calls, i);
    }
    CHECK(!lx106_in_interrupt());
    irq_source_raise();
    CHECK_EQUAL(calls, 101);

    /* Masked by nested critical sections until the last one ends. */
    taskENTER_CRITICAL();
    taskENTER_CRITICAL();
    irq_source_raise();
    taskEXIT_CRITICAL();
    spin(1000);
    CHECK_EQUAL(calls, 101);
    taskEXIT_CRITICAL();
    CHECK_EQUAL(calls, 102);

    /* A critical section in code that has masked them itself leaves them so. */
    uint32_t ps = lx106_mask_interrupts();
    taskENTER_CRITICAL();
    irq_source_raise();
    taskEXIT_CRITICAL();
    spin(1000);
    CHECK_EQUAL(calls, 102);
    lx106_restore_interrupts(ps);
    CHECK_EQUAL(calls, 103);

    /* One interrupt alone. */
    lx106_irq_enable(irq_source_irq, false);
    irq_source_raise();
    vTaskDelay(2);
    CHECK_EQUAL(calls, 103);
    lx106_irq_enable(irq_source_irq, true);
    CHECK_EQUAL(calls, 104);
}

/* Before the scheduler the kernel's calls work and interrupts stay masked. */
void test_before_scheduler(void);
void test_before_scheduler(void)
{
    irq_source_attach(on_plain, (void *)&calls);
    irq_source_raise();
    taskENTER_CRITICAL();
    taskEXIT_CRITICAL();
    void *block = pvPortMalloc(100);
    CHECK(block != NULL);
    vPortFree(block);
    (void)start_task(NULL, "later", NULL, 1);
    QueueHandle_t full = xQueueCreate(1, 1);
    CHECK(full != NULL && xQueueSend(full, "", 0) == pdTRUE);
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 1);
    CHECK(!lx106_in_interrupt());
    CHECK_EQUAL(calls, 0);
}

/* --- Queues ----------------------------------------------------------------------- */

enum { QUEUE_LENGTH = 8, MESSAGES = 1000 };
static QueueHandle_t queue;
static volatile uint32_t received;

static void on_send(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    handler_result = xQueueSendFromISR(queue, (const void *)&calls, &woken);
    calls++;
    portYIELD_FROM_ISR(woken);
}

static void receiver(void *argument)
{
    (void)argument;
    for (;;) {
        uint32_t message;
        CHECK(xQueueReceive(queue, &message, portMAX_DELAY) == pdTRUE);
        CHECK_EQUAL(message, received);
        received++;
    }
}

void test_queue_from_interrupt(void);
void test_queue_from_interrupt(void)
{
    queue = xQueueCreate(QUEUE_LENGTH, sizeof(uint32_t));
    CHECK(queue != NULL);
    TaskHandle_t task = start_task(receiver, "receiver", NULL, TEST_PRIORITY + 1);
    irq_source_attach(on_send, NULL);
    /* The receiver has the message before the code that was interrupted goes on. */
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        irq_source_raise();
        CHECK(handler_result == pdPASS);
        CHECK_EQUAL(received, i);
    }
    /* Nobody receives: the queue fills and says so. */
    vTaskDelete(task);
    for (uint32_t i = 0; i < QUEUE_LENGTH; i++) {
        irq_source_raise();
        CHECK(handler_result == pdPASS);
    }
    irq_source_raise();
    CHECK(handler_result == errQUEUE_FULL);
    CHECK_EQUAL(uxQueueMessagesWaiting(queue), QUEUE_LENGTH);
    for (uint32_t i = 0; i < QUEUE_LENGTH; i++) {
        uint32_t message;
        CHECK(xQueueReceive(queue, &message, 0) == pdTRUE);
        CHECK_EQUAL(message, MESSAGES + i);
    }
}

static void sender(void *argument)
{
    (void)argument;
    for (uint32_t i = 0;; i++) {
        CHECK(xQueueSend(queue, &i, portMAX_DELAY) == pdTRUE);
    }
}

static void on_receive(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    uint32_t message;
    handler_result = xQueueReceiveFromISR(queue, &message, &woken);
    if (handler_result == pdPASS) {
        CHECK_EQUAL(message, calls);
        calls++;
    }
    portYIELD_FROM_ISR(woken);
}

void test_queue_to_interrupt(void);
void test_queue_to_interrupt(void)
{
    queue = xQueueCreate(QUEUE_LENGTH, sizeof(uint32_t));
    CHECK(queue != NULL);
    irq_source_attach(on_receive, NULL);
    irq_source_raise();
    CHECK(handler_result == pdFAIL);
    /* The sender fills the queue and blocks; each receive lets it go on at once. */
    (void)start_task(sender, "sender", NULL, TEST_PRIORITY + 1);
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        irq_source_raise();
        CHECK_EQUAL(calls, i);
        CHECK_EQUAL(uxQueueMessagesWaiting(queue), QUEUE_LENGTH);
    }
}

/* The same under the unrelated fast interrupt, with two tasks at both ends. */
static volatile uint32_t lost;

static void on_storm(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    if (xQueueSendFromISR(queue, (const void *)&calls, &woken) == pdPASS) {
        calls++;
    } else {
        lost++;
    }
    portYIELD_FROM_ISR(woken);
}

void test_queue_storm(void);
void test_queue_storm(void)
{
    queue = xQueueCreate(QUEUE_LENGTH, sizeof(uint32_t));
    QueueHandle_t other = xQueueCreate(1, sizeof(uint32_t));
    CHECK(queue != NULL && other != NULL);
    (void)start_task(receiver, "receiver", NULL, TEST_PRIORITY - 1);
    irq_source_start(on_storm, NULL);
    /* Kernel calls of every kind in between. */
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t message = ~i;
        CHECK(xQueueSend(other, &i, 0) == pdTRUE);
        CHECK(xQueueSend(other, &i, 0) == pdFALSE);
        CHECK(xQueueReceive(other, &message, 0) == pdTRUE);
        CHECK_EQUAL(message, i);
        if (i % 16 == 0) {
            vTaskDelay(1);
        }
    }
    irq_source_stop();
    vTaskDelay(2);
    CHECK_EQUAL(received, calls);
    CHECK_EQUAL(lost, 0);
    CHECK_BETWEEN(calls, 2000, INT32_MAX);
    say("%lu messages", (unsigned long)calls);
}

/* --- Notifications and semaphores ------------------------------------------------- */

static TaskHandle_t waiter;
static volatile uint32_t woken_count, woken_value;

static void notified(void *argument)
{
    (void)argument;
    for (;;) {
        uint32_t value;
        CHECK(xTaskNotifyWaitIndexed(1, 0, UINT32_MAX, &value, portMAX_DELAY) == pdTRUE);
        woken_value = value;
        woken_count++;
    }
}

static void on_notify(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    (void)xTaskNotifyIndexedFromISR(waiter, 1, 0x80000000U | calls, eSetValueWithOverwrite,
                                    &woken);
    calls++;
    CHECK(woken == pdTRUE);
    if (wants_switch) {
        portYIELD_FROM_ISR(woken);
    }
}

void test_notification_from_interrupt(void);
void test_notification_from_interrupt(void)
{
    waiter = start_task(notified, "waiter", NULL, TEST_PRIORITY + 1);
    irq_source_attach(on_notify, NULL);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        irq_source_raise();
        CHECK_EQUAL(woken_count, i + 1);
        CHECK_EQUAL(woken_value, 0x80000000U | i);
    }
    /* A handler that asks for no switch leaves the woken task waiting for the next tick,
     * at the latest. */
    align_to_tick();
    wants_switch = false;
    irq_source_raise();
    CHECK_EQUAL(woken_count, MESSAGES);
    align_to_tick();
    CHECK_EQUAL(woken_count, MESSAGES + 1);
}

static SemaphoreHandle_t semaphore;

static void semaphore_taker(void *argument)
{
    (void)argument;
    for (;;) {
        CHECK(xSemaphoreTake(semaphore, portMAX_DELAY) == pdTRUE);
        woken_count++;
    }
}

static void on_give(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    handler_result = xSemaphoreGiveFromISR(semaphore, &woken);
    portYIELD_FROM_ISR(woken);
}

void test_semaphore_from_interrupt(void);
void test_semaphore_from_interrupt(void)
{
    semaphore = xSemaphoreCreateBinary();
    CHECK(semaphore != NULL);
    TaskHandle_t task = start_task(semaphore_taker, "taker", NULL, TEST_PRIORITY + 1);
    irq_source_attach(on_give, NULL);
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        irq_source_raise();
        CHECK(handler_result == pdTRUE);
        CHECK_EQUAL(woken_count, i);
    }
    vTaskDelete(task);
    irq_source_raise();
    irq_source_raise();
    CHECK(handler_result == errQUEUE_FULL);
}

static void suspended_runner(void *argument)
{
    (void)argument;
    for (;;) {
        vTaskSuspend(NULL);
        woken_count++;
    }
}

static void on_resume(void *arg)
{
    (void)arg;
    portYIELD_FROM_ISR(xTaskResumeFromISR(waiter));
}

void test_resume_from_interrupt(void);
void test_resume_from_interrupt(void)
{
    waiter = start_task(suspended_runner, "runner", NULL, TEST_PRIORITY + 1);
    irq_source_attach(on_resume, NULL);
    for (uint32_t i = 1; i <= 100; i++) {
        irq_source_raise();
        CHECK_EQUAL(woken_count, i);
    }
}

/* --- Event groups and buffers ----------------------------------------------------- */

static EventGroupHandle_t events;

static void on_event(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    handler_result = xEventGroupSetBitsFromISR(events, 1U << (calls % 24), &woken);
    calls++;
    portYIELD_FROM_ISR(woken);
}

void test_event_group_from_interrupt(void);
void test_event_group_from_interrupt(void)
{
    events = xEventGroupCreate();
    CHECK(events != NULL);
    irq_source_attach(on_event, NULL);
    for (unsigned i = 0; i < 240; i++) {
        /* The timer task, of higher priority, sets the bit before this goes on. */
        irq_source_raise();
        CHECK(handler_result == pdPASS);
        EventBits_t bit = 1U << (i % 24);
        CHECK_EQUAL(xEventGroupWaitBits(events, bit, pdTRUE, pdTRUE, 0), bit);
        CHECK_EQUAL(xEventGroupGetBits(events), 0);
    }
    /* All of several. */
    irq_source_raise();
    CHECK_EQUAL(xEventGroupWaitBits(events, 3, pdTRUE, pdTRUE, 2), 1);
    irq_source_raise();
    CHECK_EQUAL(xEventGroupWaitBits(events, 3, pdTRUE, pdTRUE, 0), 3);
}

static StreamBufferHandle_t stream;

static void on_stream(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    char text[3];
    for (unsigned i = 0; i < sizeof(text); i++) {
        text[i] = (char)(3 * calls + i);
    }
    CHECK_EQUAL(xStreamBufferSendFromISR(stream, text, sizeof(text), &woken), sizeof(text));
    calls++;
    portYIELD_FROM_ISR(woken);
}

static void stream_reader(void *argument)
{
    (void)argument;
    uint8_t next = 0;
    for (;;) {
        uint8_t bytes[32];
        size_t length = xStreamBufferReceive(stream, bytes, sizeof(bytes), portMAX_DELAY);
        for (size_t i = 0; i < length; i++) {
            CHECK_EQUAL(bytes[i], next);
            next++;
        }
        received += length;
    }
}

void test_stream_buffer_from_interrupt(void);
void test_stream_buffer_from_interrupt(void)
{
    enum { TRIGGER = 6 };
    stream = xStreamBufferCreate(64, TRIGGER);
    CHECK(stream != NULL);
    (void)start_task(stream_reader, "reader", NULL, TEST_PRIORITY + 1);
    irq_source_attach(on_stream, NULL);
    /* The reader wakes for each six bytes, which take two interrupts. */
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        irq_source_raise();
        CHECK_EQUAL(received, i / 2 * TRIGGER);
    }
}

static MessageBufferHandle_t messages;

static void on_message(void *arg)
{
    (void)arg;
    BaseType_t woken = pdFALSE;
    char text[17];
    size_t length = calls % sizeof(text) + 1;
    memset(text, 'a' + (int)(calls % 26), sizeof(text));
    CHECK_EQUAL(xMessageBufferSendFromISR(messages, text, length, &woken), length);
    calls++;
    portYIELD_FROM_ISR(woken);
}

static void message_reader(void *argument)
{
    (void)argument;
    for (;;) {
        char text[32];
        size_t length = xMessageBufferReceive(messages, text, sizeof(text), portMAX_DELAY);
        CHECK_EQUAL(length, received % 17 + 1);
        CHECK_EQUAL(text[length - 1], 'a' + received % 26);
        received++;
    }
}

void test_message_buffer_from_interrupt(void);
void test_message_buffer_from_interrupt(void)
{
    messages = xMessageBufferCreate(64);
    CHECK(messages != NULL);
    (void)start_task(message_reader, "reader", NULL, TEST_PRIORITY + 1);
    irq_source_attach(on_message, NULL);
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        irq_source_raise();
        CHECK_EQUAL(received, i);
    }
}

/* --- The timer task --------------------------------------------------------------- */

static void add(void *argument, uint32_t number)
{
    CHECK(!lx106_in_interrupt());
    *(volatile uint32_t *)argument += number;
}

static void on_pend(void *arg)
{
    BaseType_t woken = pdFALSE;
    CHECK(xTimerPendFunctionCallFromISR(add, arg, 3, &woken) == pdPASS);
    portYIELD_FROM_ISR(woken);
}

void test_pended_call_from_interrupt(void);
void test_pended_call_from_interrupt(void)
{
    irq_source_attach(on_pend, (void *)&calls);
    for (uint32_t i = 1; i <= 100; i++) {
        irq_source_raise();
        CHECK_EQUAL(calls, 3 * i);
    }
}

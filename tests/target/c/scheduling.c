/* Who runs when: priorities, time slices, mutexes, delays, statistics, idle. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "lx106.h"
#include "port_frame.h"
#include "semphr.h"

/* --- Preemption and time slices --------------------------------------------------- */

static volatile uint32_t work[3];

static void busy(void *argument)
{
    volatile uint32_t *counter = argument;
    for (;;) {
        (*counter)++;
    }
}

void test_time_slices(void);
void test_time_slices(void)
{
    TaskHandle_t tasks[3];
    for (unsigned i = 0; i < 3; i++) {
        tasks[i] = start_task(busy, "busy", (void *)&work[i], TEST_PRIORITY - 1);
    }
    vTaskDelay(90);
    for (unsigned i = 0; i < 3; i++) {
        vTaskSuspend(tasks[i]);
    }
    say("work %lu %lu %lu", (unsigned long)work[0], (unsigned long)work[1],
        (unsigned long)work[2]);
    uint32_t mean = (work[0] + work[1] + work[2]) / 3;
    /* 90 slices for three: 30 each, one more or less. */
    for (unsigned i = 0; i < 3; i++) {
        CHECK_BETWEEN(work[i], mean - mean / 20, mean + mean / 20);
    }
    /* A task of lower priority gets nothing while one of them works. */
    static volatile uint32_t starved;
    (void)start_task(busy, "starved", (void *)&starved, TEST_PRIORITY - 2);
    vTaskResume(tasks[0]);
    vTaskDelay(10);
    CHECK_EQUAL(starved, 0);
    vTaskSuspend(tasks[0]);
    vTaskDelay(2);
    CHECK_BETWEEN(starved, 1, UINT32_MAX);
}

/* The order in which things happened, one letter each. */
static char journal[32];

static void note(char letter)
{
    size_t length = strlen(journal);
    CHECK(length + 1 < sizeof(journal));
    journal[length] = letter;
}

static void check_journal(const char *wanted)
{
    if (strcmp(journal, wanted) != 0) {
        say("order %s, wanted %s", journal, wanted);
    }
    CHECK(strcmp(journal, wanted) == 0);
    memset(journal, 0, sizeof(journal));
}

static void noted_once(void *argument)
{
    note(*(const char *)argument);
    vTaskDelete(NULL);
}

static void noted_often(void *argument)
{
    for (;;) {
        (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
        note(*(const char *)argument);
    }
}

void test_preemption(void);
void test_preemption(void)
{
    /* A new task of higher priority runs before xTaskCreate returns; of equal or lower
     * priority it does not. */
    (void)start_task(noted_once, "high", "h", TEST_PRIORITY + 1);
    note('1');
    (void)start_task(noted_once, "low", "l", TEST_PRIORITY - 1);
    note('2');
    vTaskDelay(2);
    check_journal("h12l");

    /* So does one that is woken. */
    TaskHandle_t high = start_task(noted_often, "high", "h", TEST_PRIORITY + 1);
    TaskHandle_t low = start_task(noted_often, "low", "l", TEST_PRIORITY - 1);
    vTaskDelay(2);
    xTaskNotifyGive(low);
    note('1');
    xTaskNotifyGive(high);
    note('2');
    /* Raising the other's priority or lowering one's own switches at once. */
    vTaskPrioritySet(low, TEST_PRIORITY + 1);
    note('3');
    vTaskPrioritySet(low, TEST_PRIORITY - 1);
    xTaskNotifyGive(low);
    note('4');
    vTaskPrioritySet(NULL, TEST_PRIORITY - 2);
    note('5');
    vTaskPrioritySet(NULL, TEST_PRIORITY);
    check_journal("1h2l34l5");

    /* With the scheduler suspended nothing switches until it resumes. */
    vTaskSuspendAll();
    xTaskNotifyGive(high);
    note('1');
    CHECK(xTaskResumeAll() == pdTRUE);
    note('2');
    check_journal("1h2");

    /* In a critical section a wake-up takes effect at its end. */
    taskENTER_CRITICAL();
    xTaskNotifyGive(high);
    note('1');
    taskEXIT_CRITICAL();
    note('2');
    check_journal("1h2");

    /* The tick preempts a task that never gives way. */
    static volatile uint32_t counter;
    (void)start_task(busy, "busy", (void *)&counter, TEST_PRIORITY - 1);
    align_to_tick();
    uint32_t start = lx106_ccount();
    vTaskDelay(3);
    CHECK_BETWEEN(lx106_ccount() - start, 2 * TICK_CYCLES, 3 * TICK_CYCLES + 4000);
    CHECK_BETWEEN(counter, 1, UINT32_MAX);
}

/* --- Mutexes ---------------------------------------------------------------------- */

static SemaphoreHandle_t mutex;
static volatile bool release, released;
static volatile uint32_t medium_work;
static TickType_t patience;
static volatile BaseType_t taken;

static void low_holder(void *argument)
{
    (void)argument;
    CHECK(xSemaphoreTake(mutex, 0) == pdTRUE);
    while (!release) {
    }
    released = true;
    CHECK(xSemaphoreGive(mutex) == pdTRUE);
    /* Here only when nobody of higher priority is ready. */
    vTaskSuspend(NULL);
}

static void high_taker(void *argument)
{
    (void)argument;
    taken = xSemaphoreTake(mutex, patience);
    if (taken == pdTRUE) {
        note('h');
        CHECK(xSemaphoreGive(mutex) == pdTRUE);
    }
    vTaskSuspend(NULL);
}

void test_priority_inheritance(void);
void test_priority_inheritance(void)
{
    /* All below this test, which only looks. */
    enum { LOW = 1, MEDIUM = 2, HIGH = 4, TEST = 5 };
    vTaskPrioritySet(NULL, TEST);
    mutex = xSemaphoreCreateMutex();
    CHECK(mutex != NULL);

    TaskHandle_t low = start_task(low_holder, "low", NULL, LOW);
    vTaskDelay(1);
    CHECK(xSemaphoreGetMutexHolder(mutex) == low);
    (void)start_task(busy, "medium", (void *)&medium_work, MEDIUM);
    vTaskDelay(2);
    CHECK_BETWEEN(medium_work, 1, UINT32_MAX);
    CHECK_EQUAL(uxTaskPriorityGet(low), LOW);

    /* While high waits, low runs in its place and medium does not. */
    patience = portMAX_DELAY;
    TaskHandle_t high = start_task(high_taker, "high", NULL, HIGH);
    vTaskDelay(1);
    CHECK_EQUAL(uxTaskPriorityGet(low), HIGH);
    uint32_t before = medium_work;
    vTaskDelay(10);
    CHECK_EQUAL(medium_work, before);
    release = true;
    vTaskDelay(2);
    check_journal("h");
    CHECK(taken == pdTRUE);
    CHECK_EQUAL(uxTaskPriorityGet(low), LOW);
    vTaskDelete(high);
    vTaskDelete(low);

    /* A wait that ends by time-out takes its priority back, so that medium starves low. */
    release = released = false;
    /* It needs a slice beside medium to take the mutex. */
    low = start_task(low_holder, "low", NULL, MEDIUM);
    vTaskDelay(4);
    CHECK(xSemaphoreGetMutexHolder(mutex) == low);
    vTaskPrioritySet(low, LOW);
    patience = 5;
    high = start_task(high_taker, "high", NULL, HIGH);
    vTaskDelay(2);
    CHECK_EQUAL(uxTaskPriorityGet(low), HIGH);
    vTaskDelay(6);
    CHECK_EQUAL(uxTaskPriorityGet(low), LOW);
    CHECK(taken == pdFALSE);
    release = true;
    vTaskDelay(5);
    CHECK(!released);
}

static void recursive_taker(void *argument)
{
    (void)argument;
    /* Not ours: neither can be taken nor given. */
    CHECK(xSemaphoreTakeRecursive(mutex, 0) == pdFALSE);
    CHECK(xSemaphoreGiveRecursive(mutex) == pdFALSE);
    note('w');
    CHECK(xSemaphoreTakeRecursive(mutex, portMAX_DELAY) == pdTRUE);
    note('t');
    CHECK(xSemaphoreGiveRecursive(mutex) == pdTRUE);
    vTaskSuspend(NULL);
}

void test_recursive_mutex(void);
void test_recursive_mutex(void)
{
    mutex = xSemaphoreCreateRecursiveMutex();
    CHECK(mutex != NULL);
    CHECK(xSemaphoreGiveRecursive(mutex) == pdFALSE);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(xSemaphoreTakeRecursive(mutex, 0) == pdTRUE);
    }
    (void)start_task(recursive_taker, "taker", NULL, TEST_PRIORITY + 1);
    note('1');
    CHECK(xSemaphoreGiveRecursive(mutex) == pdTRUE);
    note('2');
    CHECK(xSemaphoreGiveRecursive(mutex) == pdTRUE);
    note('3');
    CHECK(xSemaphoreGiveRecursive(mutex) == pdTRUE);
    note('4');
    check_journal("w123t4");
    CHECK(xSemaphoreTakeRecursive(mutex, 0) == pdTRUE);
}

void test_counting_semaphore(void);
void test_counting_semaphore(void)
{
    SemaphoreHandle_t semaphore = xSemaphoreCreateCounting(3, 1);
    CHECK(semaphore != NULL);
    CHECK(xSemaphoreGive(semaphore) == pdTRUE);
    CHECK(xSemaphoreGive(semaphore) == pdTRUE);
    CHECK(xSemaphoreGive(semaphore) == pdFALSE);
    CHECK_EQUAL(uxSemaphoreGetCount(semaphore), 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(xSemaphoreTake(semaphore, 0) == pdTRUE);
    }
    align_to_tick();
    TickType_t start = xTaskGetTickCount();
    CHECK(xSemaphoreTake(semaphore, 7) == pdFALSE);
    CHECK_EQUAL(xTaskGetTickCount() - start, 7);
    vSemaphoreDelete(semaphore);
}

/* --- Delays ----------------------------------------------------------------------- */

void test_delays(void);
void test_delays(void)
{
    /* From right after a tick, a delay of n ticks ends at the n-th tick from now. 2000
     * cycles are more than the way out of an interrupt and into this task. */
    for (TickType_t ticks = 1; ticks <= 16; ticks *= 2) {
        vTaskDelay(1);
        uint32_t start = lx106_ccount();
        vTaskDelay(ticks);
        CHECK_BETWEEN(lx106_ccount() - start, ticks * TICK_CYCLES - 2000,
                      ticks * TICK_CYCLES + 2000);
    }
    /* A period keeps its phase, however long the work in it takes. */
    vTaskDelay(1);
    TickType_t wake = xTaskGetTickCount();
    uint32_t start = lx106_ccount();
    uint32_t seed = 5;
    for (unsigned i = 1; i <= 20; i++) {
        spin(random_next(&seed) % (9 * TICK_CYCLES));
        CHECK(xTaskDelayUntil(&wake, 10) == pdTRUE);
        CHECK_BETWEEN(lx106_ccount() - start, i * 10 * TICK_CYCLES - 2000,
                      i * 10 * TICK_CYCLES + 2000);
    }
    /* One that is late does not wait. */
    spin(11 * TICK_CYCLES);
    CHECK(xTaskDelayUntil(&wake, 10) == pdFALSE);
}

static volatile BaseType_t delay_aborted;

static void long_sleeper(void *argument)
{
    (void)argument;
    TickType_t start = xTaskGetTickCount();
    vTaskDelay(1000000);
    delay_aborted = xTaskGetTickCount() - start < 100;
    vTaskSuspend(NULL);
}

void test_abort_delay(void);
void test_abort_delay(void)
{
    TaskHandle_t sleeper = start_task(long_sleeper, "sleeper", NULL, TEST_PRIORITY + 1);
    vTaskDelay(5);
    CHECK(eTaskGetState(sleeper) == eBlocked);
    CHECK(xTaskAbortDelay(sleeper) == pdPASS);
    CHECK(delay_aborted);
    CHECK(eTaskGetState(sleeper) == eSuspended);
}

/* --- Per-task state --------------------------------------------------------------- */

static void errno_task(void *argument)
{
    int mine = (int)(uintptr_t)argument;
    CHECK_EQUAL(errno, 0);
    errno = mine;
    for (;;) {
        taskYIELD();
        CHECK_EQUAL(errno, mine);
    }
}

void test_errno(void);
void test_errno(void)
{
    (void)start_task(errno_task, "one", (void *)EINTR, TEST_PRIORITY);
    (void)start_task(errno_task, "two", (void *)EAGAIN, TEST_PRIORITY);
    errno = EINVAL;
    for (unsigned i = 0; i < 1000; i++) {
        taskYIELD();
        CHECK_EQUAL(errno, EINVAL);
    }
    vTaskDelay(5); /* by preemption too */
    CHECK_EQUAL(errno, EINVAL);
}

void test_thread_local_pointers(void);
void test_thread_local_pointers(void)
{
    static char mine;
    TaskHandle_t other = start_task(busy, "other", (void *)&work[0], TEST_PRIORITY - 1);
    vTaskSetThreadLocalStoragePointer(NULL, 1, &mine);
    CHECK(pvTaskGetThreadLocalStoragePointer(NULL, 1) == &mine);
    CHECK(pvTaskGetThreadLocalStoragePointer(NULL, 0) == NULL);
    CHECK(pvTaskGetThreadLocalStoragePointer(other, 1) == NULL);
}

/* --- Statistics ------------------------------------------------------------------- */

static uint32_t run_time(TaskHandle_t task)
{
    TaskStatus_t status;
    vTaskGetInfo(task, &status, pdFALSE, eRunning);
    return status.ulRunTimeCounter;
}

void test_run_time(void);
void test_run_time(void)
{
    enum { TICKS = 100 };
    const uint32_t whole = TICKS * TICK_CYCLES / 256;
    TaskHandle_t idle = xTaskGetIdleTaskHandle();
    static volatile uint32_t counter;
    TaskHandle_t worker = start_task(busy, "worker", (void *)&counter, TEST_PRIORITY - 1);

    /* One task busy: all time is its own. */
    vTaskDelay(1);
    uint32_t worked = run_time(worker), idled = run_time(idle);
    vTaskDelay(TICKS);
    CHECK_BETWEEN(run_time(worker) - worked, whole - whole / 50, whole);
    CHECK_BETWEEN(run_time(idle) - idled, 0, 1);

    /* None busy: it is idle's, less 2 % for the ticks. */
    vTaskSuspend(worker);
    worked = run_time(worker);
    idled = run_time(idle);
    vTaskDelay(TICKS);
    CHECK_EQUAL(run_time(worker), worked);
    CHECK_BETWEEN(run_time(idle) - idled, whole - whole / 50, whole + 1);
}

/* Idle stands in WAITI whenever it is interrupted: the CPU sleeps. */
void test_idle_sleeps(void);
void test_idle_sleeps(void)
{
    TaskHandle_t idle = xTaskGetIdleTaskHandle();
    for (unsigned i = 0; i < 50; i++) {
        vTaskDelay(1);
        const uint32_t *frame = *(uint32_t *const *)idle;
        uint32_t pc = frame[FRAME_PC / 4];
        uint8_t before[3];
        memcpy(before, (const void *)(pc - sizeof(before)), sizeof(before));
        /* WAITI 0 (ISA manual, "WAITI"). */
        CHECK_EQUAL(before[0] | before[1] << 8 | before[2] << 16, 0x007000);
    }
}

/* The kernel's low-water mark follows what a task really used. */
static void stack_user(void *argument)
{
    volatile uint8_t space[900];
    (void)argument;
    for (size_t i = 0; i < sizeof(space); i++) {
        space[i] = 0;
    }
    vTaskSuspend(NULL);
}

static void stack_saver(void *argument)
{
    (void)argument;
    vTaskSuspend(NULL);
}

void test_stack_low_water(void);
void test_stack_low_water(void)
{
    TaskHandle_t user = start_task(stack_user, "user", NULL, TEST_PRIORITY + 1);
    TaskHandle_t saver = start_task(stack_saver, "saver", NULL, TEST_PRIORITY + 1);
    uint32_t used = sizeof(StackType_t) *
                    (uxTaskGetStackHighWaterMark(saver) - uxTaskGetStackHighWaterMark(user));
    CHECK_BETWEEN(used, 850, 1000);
    /* The boot stack is the interrupts', and booting uses more of it than they do. */
    say("interrupt stack: %lu bytes never used", (unsigned long)lx106_interrupt_stack_free());
    CHECK_BETWEEN(lx106_interrupt_stack_free(), 256, 2048 - 128);
}

/* --- Tasks come and go ------------------------------------------------------------ */

void test_task_memory(void);
void test_task_memory(void)
{
    vTaskDelay(2);
    uint32_t before = xPortGetFreeHeapSize();
    for (unsigned i = 0; i < 50; i++) {
        (void)start_task(noted_once, "once", "", TEST_PRIORITY + 1);
        vTaskDelay(1); /* idle frees it */
    }
    CHECK_EQUAL(xPortGetFreeHeapSize(), before);
}

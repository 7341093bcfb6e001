/* What Espressif's libraries want of an operating system, on FreeRTOS.
 *
 * The libraries call from three places: from tasks, from handlers of level-1 interrupts, and
 * from the NMI, which strikes inside any critical section. What the NMI may reach is told at
 * each function; it touches neither the kernel nor the heap. NMIIrqIsOn, a byte of theirs, is
 * not 0 while their NMI handler runs. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "FreeRTOS.h"
#include "queue.h"
#include "task.h"

#include "chip.h"
#include "crash.h"
#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"
#include "radio.h"

extern volatile uint8_t NMIIrqIsOn;

/* --- Tasks ------------------------------------------------------------------------ */

/* Their task runs our callbacks too: the supplicant, the receiver, and log lines. */
#define TASK_STACK_BYTES 3072U

uint8_t _g_esp_wifi_connect_open_router_when_pwd_is_set = false;
uint32_t _g_esp_wifi_ppt_task_stk_size = TASK_STACK_BYTES;

void *__wifi_task_create(void *function, const char *name, uint32_t stack, void *arg,
                         uint32_t priority);
void *__wifi_task_create(void *function, const char *name, uint32_t stack, void *arg,
                         uint32_t priority)
{
    TaskHandle_t task = NULL;
    if (xTaskCreate((TaskFunction_t)function, name, stack / sizeof(StackType_t), arg, priority,
                    &task) != pdPASS) {
        return NULL;
    }
    return task;
}

void __wifi_task_delete(void *task);
void __wifi_task_delete(void *task)
{
    vTaskDelete(task);
}

void __wifi_task_delay(uint32_t ticks);
void __wifi_task_delay(uint32_t ticks)
{
    vTaskDelay(ticks);
}

uint32_t __wifi_task_get_max_priority(void);
uint32_t __wifi_task_get_max_priority(void)
{
    return configMAX_PRIORITIES;
}

uint32_t __wifi_task_ms_to_ticks(uint32_t ms);
uint32_t __wifi_task_ms_to_ticks(uint32_t ms)
{
    return pdMS_TO_TICKS(ms);
}

void __wifi_task_suspend_all(void);
void __wifi_task_suspend_all(void)
{
    vTaskSuspendAll();
}

void __wifi_task_resume_all(void);
void __wifi_task_resume_all(void)
{
    (void)xTaskResumeAll();
}

void __wifi_task_yield_from_isr(void);
void __wifi_task_yield_from_isr(void)
{
    portYIELD_FROM_ISR(pdTRUE);
}

/* --- The one queue ----------------------------------------------------------------- */

void *__wifi_queue_create(uint32_t length, uint32_t size);
void *__wifi_queue_create(uint32_t length, uint32_t size)
{
    return xQueueCreate(length, size);
}

enum { QUEUE_FRONT = 0, QUEUE_BACK = 1, QUEUE_OVERWRITE = 2 };

int __wifi_queue_send(void *queue, const void *item, uint32_t ticks, uint32_t position);
int __wifi_queue_send(void *queue, const void *item, uint32_t ticks, uint32_t position)
{
    static const BaseType_t positions[] = {
        [QUEUE_FRONT] = queueSEND_TO_FRONT,
        [QUEUE_BACK] = queueSEND_TO_BACK,
        [QUEUE_OVERWRITE] = queueOVERWRITE,
    };
    configASSERT(position <= QUEUE_OVERWRITE);
    return xQueueGenericSend(queue, item, ticks, positions[position]) == pdPASS;
}

int __wifi_queue_send_from_isr(void *queue, const void *item, int *woken);
int __wifi_queue_send_from_isr(void *queue, const void *item, int *woken)
{
    BaseType_t switch_wanted = pdFALSE;
    BaseType_t sent = xQueueSendToBackFromISR(queue, item, &switch_wanted);
    if (woken != NULL) {
        *woken = switch_wanted;
    }
    return sent == pdPASS;
}

/* Their task waits here, each time it has nothing more to do: that is its sign of life. What it
 * waits for comes ten times a second, when a measurement of noise is due. */
#define TASK_LIFE_S 30U
#define TASK_WAIT_MS 5000U

int __wifi_queue_recv(void *queue, void *item, uint32_t ticks);
int __wifi_queue_recv(void *queue, void *item, uint32_t ticks)
{
    for (;;) {
        fw_alive(TASK_LIFE_S);
        uint32_t wait = ticks < pdMS_TO_TICKS(TASK_WAIT_MS) ? ticks : pdMS_TO_TICKS(TASK_WAIT_MS);
        if (xQueueReceive(queue, item, wait) == pdPASS) {
            return true;
        }
        if (ticks != portMAX_DELAY) {
            ticks -= wait;
            if (ticks == 0) {
                return false;
            }
        }
    }
}

uint32_t __wifi_queue_msg_num(void *queue);
uint32_t __wifi_queue_msg_num(void *queue)
{
    return lx106_in_interrupt() ? uxQueueMessagesWaitingFromISR(queue)
                                : uxQueueMessagesWaiting(queue);
}

/* --- Interrupts -------------------------------------------------------------------- */

/* Also from the NMI, where it must not touch anything of the kernel: it does not. */
void PendSV(int request);
void PendSV(int request)
{
    (void)request;
    __asm__ volatile("wsr %0, intset\n\tesync"
                     :
                     : "a"(1U << LX106_IRQ_SOFTWARE)
                     : "memory");
}

/* Keep the NMI out, and everything else. They nest. Called from the NMI as well, where there is
 * nothing to keep out. */
static uint32_t lock_nesting;
static uint32_t lock_gate;

void vPortETSIntrLock(void);
void vPortETSIntrLock(void)
{
    if (NMIIrqIsOn != 0) {
        return;
    }
    vPortEnterCritical();
    if (lock_nesting++ == 0) {
        lock_gate = chip_nmi_hold();
    }
}

void vPortETSIntrUnlock(void);
void vPortETSIntrUnlock(void)
{
    if (NMIIrqIsOn != 0) {
        return;
    }
    configASSERT(lock_nesting != 0);
    if (--lock_nesting == 0) {
        chip_nmi_release(lock_gate);
    }
    vPortExitCritical();
}

void _xt_isr_attach(uint8_t irq, void (*handler)(void *), void *arg);
void _xt_isr_attach(uint8_t irq, void (*handler)(void *), void *arg)
{
    taskENTER_CRITICAL();
    lx106_irq_attach(irq, handler, arg);
    lx106_irq_enable(irq, false); /* until they unmask it */
    taskEXIT_CRITICAL();
}

static void enable_interrupts(uint32_t bits, bool enable)
{
    for (unsigned irq = 0; irq < LX106_IRQ_COUNT; irq++) {
        if ((bits & (1U << irq)) != 0) {
            lx106_irq_enable(irq, enable);
        }
    }
}

void _xt_isr_mask(uint32_t bits);
void _xt_isr_mask(uint32_t bits)
{
    enable_interrupts(bits, false);
}

void _xt_isr_unmask(uint32_t bits);
void _xt_isr_unmask(uint32_t bits)
{
    enable_interrupts(bits, true);
}

/* --- Memory ------------------------------------------------------------------------ */

uint32_t radio_nmi_allocations;

/* From the NMI only for what is switched off here (aggregation, promiscuous mode), and they
 * can do without: so the heap need not be safe against it. */
static void *allocate(size_t size)
{
    if (NMIIrqIsOn != 0) {
        radio_nmi_allocations++;
        return NULL;
    }
    return malloc(size);
}

void *_heap_caps_malloc(size_t size, uint32_t caps, const char *file, size_t line);
void *_heap_caps_malloc(size_t size, uint32_t caps, const char *file, size_t line)
{
    (void)caps, (void)file, (void)line;
    return allocate(size);
}

void *_heap_caps_zalloc(size_t size, uint32_t caps, const char *file, size_t line);
void *_heap_caps_zalloc(size_t size, uint32_t caps, const char *file, size_t line)
{
    (void)caps, (void)file, (void)line;
    void *block = allocate(size);
    return block != NULL ? memset(block, 0, size) : NULL;
}

void _heap_caps_free(void *block, const char *file, size_t line);
void _heap_caps_free(void *block, const char *file, size_t line)
{
    (void)file, (void)line;
    configASSERT(NMIIrqIsOn == 0);
    free(block);
}

/* Also from the NMI: a plain load. */
size_t heap_caps_get_dram_free_size(void);
size_t heap_caps_get_dram_free_size(void)
{
    return xPortGetFreeHeapSize();
}

/* They drop received frames while this is below 6144: what remains is for the TLS session, and
 * TCP sends again. */
uint32_t esp_get_free_heap_size(void);
uint32_t esp_get_free_heap_size(void)
{
    return xPortGetFreeHeapSize();
}

/* --- Time and random numbers --------------------------------------------------------- */

int64_t esp_timer_get_time(void);
int64_t esp_timer_get_time(void)
{
    return (int64_t)(lx106_cycles() / (board_cpu_hz / 1000000U));
}

uint32_t esp_log_early_timestamp(void);
uint32_t esp_log_early_timestamp(void)
{
    return xTaskGetTickCount() * portTICK_PERIOD_MS;
}

/* Their delays count cycles with it. They halve a doubled clock while they tune the PLL. */
uint32_t g_esp_ticks_per_us = CHIP_CPU_MHZ;

void ets_update_cpu_frequency(uint32_t mhz);
void ets_update_cpu_frequency(uint32_t mhz)
{
    g_esp_ticks_per_us = mhz;
}

void os_update_cpu_frequency(uint32_t mhz);
void os_update_cpu_frequency(uint32_t mhz)
{
    g_esp_ticks_per_us = mhz;
}

uint32_t esp_random(void);
uint32_t esp_random(void)
{
    return WDEV_RAND;
}

int os_get_random(uint8_t *bytes, size_t length);
int os_get_random(uint8_t *bytes, size_t length)
{
    return fw_random(bytes, length);
}

/* Stands for what they have for being an access point (memory.ld). */
void radio_is_no_access_point(void);
void radio_is_no_access_point(void)
{
    crash_assert("the radio is a station", __FILE_NAME__, __LINE__);
}

/* --- What they print ----------------------------------------------------------------- */

/* An assertion of theirs prints this, file and line, and loops for ever: from any context, the
 * NMI included. */
static const char assertion[] = "%s %u\n";

static void print(const char *format, va_list arguments)
{
    if (strcmp(format, assertion) == 0 || strcmp(format, "%s %u") == 0) {
        const char *file = va_arg(arguments, const char *);
        unsigned line = va_arg(arguments, unsigned);
        crash_assert("the radio's libraries", file, (int)line);
    }
    /* The rest is chatter. In the NMI and in handlers there is nobody to log it. */
    if (NMIIrqIsOn != 0 || lx106_in_interrupt() ||
        xTaskGetSchedulerState() != taskSCHEDULER_RUNNING) {
        return;
    }
    char line[80];
    int length = vsnprintf(line, sizeof(line), format, arguments);
    if (length > 0) {
        fw_log(FW_LOG_TRACE, "radio", "%s", line);
    }
}

int ets_printf(const char *format, ...);
int ets_printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    return 0;
}

int printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    return 0;
}

void esp_log_write(int level, const char *tag, const char *format, ...);
void esp_log_write(int level, const char *tag, const char *format, ...)
{
    (void)level, (void)tag;
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

/* --- The chip ------------------------------------------------------------------------ */

/* In eFuses; see chip.c. 0 is the station's, 1 the access point's. */
int esp_read_mac(uint8_t mac[6], int type);
int esp_read_mac(uint8_t mac[6], int type)
{
    chip_mac_address(mac);
    if (type != 0) {
        mac[0] |= 2; /* locally administered */
    }
    return 0;
}

struct list_descriptor {
    uint32_t bits; /* size, length in bits 12-23, owner in bit 31 */
    void *buffer;
    struct list_descriptor *next;
};

/* As the boot ROM's function does: chain buffers of `unit` bytes. */
int lldesc_build_chain(struct list_descriptor *descriptors, uint32_t descriptor_bytes,
                       uint8_t *buffers, uint32_t buffer_bytes, uint32_t unit, uint32_t owner,
                       struct list_descriptor **first, struct list_descriptor **last);
int lldesc_build_chain(struct list_descriptor *descriptors, uint32_t descriptor_bytes,
                       uint8_t *buffers, uint32_t buffer_bytes, uint32_t unit, uint32_t owner,
                       struct list_descriptor **first, struct list_descriptor **last)
{
    uint32_t count = descriptor_bytes / sizeof(*descriptors);
    if (count > buffer_bytes / unit) {
        count = buffer_bytes / unit;
    }
    for (uint32_t i = 0; i < count; i++) {
        descriptors[i].bits = unit | unit << 12 | owner << 31;
        descriptors[i].buffer = buffers + i * unit;
        descriptors[i].next = i + 1 < count ? &descriptors[i + 1] : NULL;
    }
    *first = count > 0 ? descriptors : NULL;
    *last = count > 0 ? &descriptors[count - 1] : NULL;
    return (int)count;
}

uint32_t reg_read(uint32_t address);
uint32_t reg_read(uint32_t address)
{
    return *(reg32 *)address;
}

/* --- Calibration --------------------------------------------------------------------- */

/* libphy */
int register_chipv6_phy(uint8_t *data);
void phy_afterwake_set_rfoption(int option);
void phy_set_powerup_option(int option);
void phy_disable_agc(void);
extern uint32_t *phy_rx_gain_dc_table;

enum { PHY_INIT_BYTES = 128, PHY_CALIBRATION_BYTES = 128, PHY_GAIN_WORDS = 125 };
/* Calibrate all; what the last start found is not kept. */
#define PHY_FULL_CALIBRATION 3

/* Made by the build from the user's SDK. */
extern const uint8_t radio_phy_init_data[PHY_INIT_BYTES];

void esp_phy_load_cal_and_init(int module);
void esp_phy_load_cal_and_init(int module)
{
    (void)module;
    static uint32_t gain_table[PHY_GAIN_WORDS];
    uint8_t *data = calloc(1, PHY_INIT_BYTES + PHY_CALIBRATION_BYTES);
    if (data == NULL) {
        crash_out_of_memory(PHY_INIT_BYTES + PHY_CALIBRATION_BYTES);
    }
    memcpy(data, radio_phy_init_data, PHY_INIT_BYTES);
    phy_rx_gain_dc_table = gain_table;
    phy_afterwake_set_rfoption(1);
    phy_set_powerup_option(PHY_FULL_CALIBRATION);
    int failed = register_chipv6_phy(data);
    free(data);
    if (failed != 0) {
        fw_log(FW_LOG_ERROR, "radio", "the radio cannot be calibrated (%d)", failed);
    }
    phy_disable_agc();
}

/* --- What is not used here ------------------------------------------------------------ */

/* Linked, and never called in a station's life, or without meaning on this firmware: sleep, the
 * storage of settings, access point mode, protected management frames. */
void esp_sleep_lock(void);
void esp_sleep_lock(void)
{
}
void esp_sleep_unlock(void);
void esp_sleep_unlock(void)
{
}
void uart_tx_flush(int port);
void uart_tx_flush(int port)
{
    (void)port;
}
void esp_reset_reason_set_hint(int hint);
void esp_reset_reason_set_hint(int hint)
{
    (void)hint;
}
void pp_soft_wdt_stop(void);
void pp_soft_wdt_stop(void)
{
}
void pp_soft_wdt_restart(void);
void pp_soft_wdt_restart(void)
{
}
int esp_now_deinit(void);
int esp_now_deinit(void)
{
    return 0;
}
size_t esp_wifi_scan_get_ap_num_max(void);
size_t esp_wifi_scan_get_ap_num_max(void)
{
    return 32;
}
bool esp_wifi_try_rate_from_high(void);
bool esp_wifi_try_rate_from_high(void)
{
    return false;
}

enum { NVS_NOT_FOUND = 0x1102 };
int nvs_open(void);
int nvs_open(void)
{
    return 0;
}
void nvs_close(void);
void nvs_close(void)
{
}
#define NOT_STORED(name)          \
    int name(void);               \
    int name(void)                \
    {                             \
        return NVS_NOT_FOUND;     \
    }
NOT_STORED(nvs_commit)
NOT_STORED(nvs_get_blob)
NOT_STORED(nvs_get_i8)
NOT_STORED(nvs_get_u8)
NOT_STORED(nvs_get_u16)
NOT_STORED(nvs_set_blob)
NOT_STORED(nvs_set_i8)
NOT_STORED(nvs_set_u8)
NOT_STORED(nvs_set_u16)
NOT_STORED(spi_flash_read)
NOT_STORED(pbkdf2_sha1)

void *ccmp_encrypt(void);
void *ccmp_encrypt(void)
{
    return NULL;
}
void *ccmp_decrypt(void);
void *ccmp_decrypt(void)
{
    return NULL;
}
int omac1_aes_128(void);
int omac1_aes_128(void)
{
    return -1;
}

/* A firmware that says its name, which stands in flash and in a variable with a value, and the
 * slot that it was told; then it idles. */
typedef unsigned int u32;

#define UART_FIFO (*(volatile u32 *)0x60000000U)
#define WATCHDOG_FEED (*(volatile u32 *)0x60000914U)

void Cache_Read_Enable(u32 half, u32 mib, u32 cache_32k);

__attribute__((section(".flash"))) const volatile u32 name_in_flash = NAME;
volatile u32 name_in_ram = NAME;

__attribute__((section(".entry"))) void _start(u32 handover)
{
    u32 slot = handover - 0xB0075700U;
    Cache_Read_Enable(slot, 0, 1);
    UART_FIFO = '<';
    UART_FIFO = name_in_flash;
    UART_FIFO = name_in_ram;
    UART_FIFO = '0' + slot;
    UART_FIFO = '>';
    for (;;) {
        WATCHDOG_FEED = 0x73;
    }
}

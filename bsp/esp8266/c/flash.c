/* The SPI flash, through the boot ROM's functions. While they work, the cache cannot fetch:
 * what runs between chip_cache_off and chip_cache_on lies in IRAM, with interrupts masked, the
 * radio's NMI among them, so that nothing else runs. */
#include "chip.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"

/* Most bytes in one piece, for interrupts to have their turn. */
#define PIECE 4096U

enum operation { READ, WRITE, ERASE };

uint32_t chip_slot;

/* For the crash report: a fault in between finds the cache off. */
static volatile bool cache_is_off;

#if CHIP_RADIO
static uint32_t gate;

IN_IRAM("nmi_hold") uint32_t chip_nmi_hold(void)
{
    uint32_t before = NMI_GATE;
    /* An NMI that is on its way opens the gate again when it leaves: hence the loop. */
    do {
        NMI_GATE = 0;
    } while (NMI_GATE != 0);
    return before;
}

IN_IRAM("nmi_release") void chip_nmi_release(uint32_t before)
{
    NMI_GATE = before;
}

/* What libphy calls for the same, while it calibrates. */
void Cache_Read_Disable(void);
void Cache_Read_Disable(void) __attribute__((alias("chip_cache_off")));
void Cache_Read_Enable_New(void);
void Cache_Read_Enable_New(void) __attribute__((alias("chip_cache_on")));
#endif

IN_IRAM("cache_off") void chip_cache_off(void)
{
#if CHIP_RADIO
    /* The NMI's handler calls into flash; frames wait in the radio's ring. */
    gate = chip_nmi_hold();
#endif
    cache_is_off = true;
    rom_Cache_Read_Disable();
}

IN_IRAM("cache_on") void chip_cache_on(void)
{
    chip_map_flash();
    cache_is_off = false;
#if CHIP_RADIO
    chip_nmi_release(gate);
#endif
}

IN_IRAM("flash") static int with_cache_off(enum operation operation, uint32_t offset,
                                           void *memory, uint32_t length)
{
    uint32_t ps = lx106_mask_interrupts();
    chip_cache_off();
    int result;
    /* Not a switch: its table would lie in flash. */
    if (operation == READ) {
        result = SPIRead(offset, memory, length);
    } else {
        result = SPIUnlock();
        if (result == 0) {
            result = operation == WRITE ? SPIWrite(offset, memory, length)
                                        : SPIEraseSector(offset / FLASH_SECTOR);
        }
    }
    chip_cache_on();
    lx106_restore_interrupts(ps);
    return result;
}

IN_IRAM("flash") void board_crash_begin(void)
{
#if CHIP_RADIO
    /* For good: the report must not be interrupted by what may have caused it. */
    (void)chip_nmi_hold();
#endif
    if (cache_is_off) {
        chip_map_flash();
        cache_is_off = false;
    }
}

extern uint8_t _dram_start[], _dram_end[];

static int in_pieces(enum operation operation, uint32_t offset, uint8_t *memory, size_t length)
{
    if (((offset | (uint32_t)memory | length) & 3) != 0 || offset > FLASH_SIZE ||
        length > FLASH_SIZE - offset || memory < _dram_start || memory > _dram_end ||
        length > (size_t)(_dram_end - memory)) {
        return -1;
    }
    while (length > 0) {
        uint32_t piece = length < PIECE ? length : PIECE;
        if (with_cache_off(operation, offset, memory, piece) != 0) {
            return -1;
        }
        offset += piece;
        memory += piece;
        length -= piece;
    }
    return 0;
}

int chip_flash_read(uint32_t offset, void *to, size_t length)
{
    return in_pieces(READ, offset, to, length);
}

int chip_flash_write(uint32_t offset, const void *from, size_t length)
{
    return in_pieces(WRITE, offset, (uint8_t *)(uint32_t)from, length);
}

int chip_flash_erase_sector(uint32_t offset)
{
    if (offset % FLASH_SECTOR != 0 || offset >= FLASH_SIZE) {
        return -1;
    }
    return with_cache_off(ERASE, offset, NULL, 0) == 0 ? 0 : -1;
}

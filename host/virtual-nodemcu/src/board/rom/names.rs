//! Names of the ROM's functions, as the SDK's linker script has them
//! (`ld/eagle.rom.addr.v6.ld`).

/// What stands at `offset` of the ROM.
#[must_use]
pub fn of(offset: u32) -> Option<&'static str> {
    let at = NAMES.binary_search_by_key(&offset, |(offset, _)| (*offset).into()).ok()?;
    Some(NAMES[at].1)
}

/// Offsets of all that has a name.
pub fn offsets() -> impl Iterator<Item = u32> {
    NAMES.iter().map(|(offset, _)| (*offset).into())
}

/// By offset.
#[rustfmt::skip]
const NAMES: [(u16, &str); 346] = [
    (0x0010, "_DebugExceptionVector"), (0x0020, "_NMIExceptionVector"), (0x0030, "_KernelExceptionVector"),
    (0x0050, "_UserExceptionVector"), (0x0070, "_DoubleExceptionVector"), (0x0080, "_ResetVector"),
    (0x00A4, "_ResetHandler"), (0x042C, "_start"), (0x0454, "_xtos_set_exception_handler"),
    (0x048C, "_xtos_l1int_handler"), (0x056C, "_xtos_restore_intlevel"), (0x0574, "_xtos_set_vpri"),
    (0x0590, "_xtos_cause3_handler"), (0x0598, "_xtos_c_wrapper_handler"), (0x05F0, "srand"), (0x0600, "rand"),
    (0x0650, "__muldi3"), (0x0688, "xthal_bcopy"), (0x06C4, "xthal_memcpy"), (0x074C, "xthal_copy123"),
    (0x0814, "cmd_parse"), (0x091C, "get_first_seg"), (0x0A04, "remove_head_space"), (0x0A60, "convert_para_str"),
    (0x0B24, "conv_str_decimal"), (0x0CB8, "conv_str_hex"), (0x0DC0, "ets_set_idle_cb"), (0x0DD0, "ets_task"),
    (0x0E04, "ets_run"), (0x0E24, "ets_post"), (0x0F74, "ets_intr_lock"), (0x0F80, "ets_intr_unlock"),
    (0x0F88, "ets_isr_attach"), (0x0F98, "ets_isr_mask"), (0x0FA8, "ets_isr_unmask"), (0x0FBC, "ets_set_user_start"),
    (0x0FEC, "main"), (0x18A4, "ets_memset"), (0x18B4, "ets_memcpy"), (0x18C4, "ets_memmove"), (0x18D4, "ets_memcmp"),
    (0x1998, "mem_init"), (0x19E0, "mem_free"), (0x1A14, "mem_trim"), (0x1B40, "mem_malloc"), (0x1C2C, "mem_calloc"),
    (0x1C58, "mem_zalloc"), (0x1C6C, "mem_realloc"), (0x1CB8, "eprintf_init_buf"), (0x1D14, "eprintf"),
    (0x1D48, "eprintf_to_host"), (0x1DA0, "ets_write_char"), (0x1F00, "ets_vprintf"), (0x242C, "ets_install_putc1"),
    (0x2438, "ets_install_uart_printf"), (0x2450, "ets_install_external_printf"), (0x248C, "ets_install_putc2"),
    (0x2494, "est_get_printf_buf_remain_len"), (0x249C, "est_reset_printf_buf_len"), (0x24CC, "ets_printf"),
    (0x2544, "ets_uart_printf"), (0x2578, "ets_external_printf"), (0x25E0, "rtc_get_reset_reason"),
    (0x264C, "software_reset"), (0x2668, "rtc_set_sleep_mode"), (0x269C, "dtm_params_init"),
    (0x26C8, "dtm_set_intr_mask"), (0x26D0, "dtm_get_intr_mask"), (0x26DC, "dtm_set_params"),
    (0x27A4, "save_rxbcn_mactime"), (0x27AC, "save_tsf_us"), (0x27B8, "ets_enter_sleep"), (0x2870, "rtc_enter_sleep"),
    (0x29EC, "rtc_intr_handler"), (0x2A40, "ets_rtc_int_register"), (0x2A88, "ets_strcpy"), (0x2A98, "ets_strncpy"),
    (0x2AA8, "ets_strcmp"), (0x2AB8, "ets_strncmp"), (0x2AC8, "ets_strlen"), (0x2AD8, "ets_strstr"),
    (0x2AE8, "ets_bzero"), (0x2AF8, "ets_str2macaddr"), (0x2B74, "ets_char2xdigit"), (0x2BCC, "ets_getc"),
    (0x2BE8, "ets_putc"), (0x2C48, "ets_timer_setfn"), (0x2C64, "timer_insert"), (0x2CC4, "ets_timer_arm"),
    (0x2D40, "ets_timer_disarm"), (0x2D80, "ets_timer_done"), (0x2DA8, "ets_timer_handler_isr"),
    (0x2E68, "ets_timer_init"), (0x2ECC, "ets_delay_us"), (0x2F04, "ets_update_cpu_frequency"),
    (0x2F0C, "ets_get_cpu_frequency"), (0x2F34, "ets_wdt_get_mode"), (0x2FA0, "ets_wdt_enable"),
    (0x30F0, "ets_wdt_disable"), (0x3158, "ets_wdt_restore"), (0x3170, "ets_wdt_init"), (0x31B4, "roundup2"),
    (0x31C0, "multofup"), (0x3230, "UartConnCheck"), (0x3368, "UartDwnLdProc"), (0x3538, "FlashDwnLdStartMsgProc"),
    (0x35A0, "FilePacketSendReqMsgProc"), (0x3658, "FlashDwnLdStopReqMsgProc"), (0x368C, "FlashDwnLdParamCfgMsgProc"),
    (0x36C4, "MemDwnLdStartMsgProc"), (0x36F0, "MemPacketSendReqMsgProc"), (0x377C, "MemDwnLdStopReqMsgProc"),
    (0x37A0, "UartConnectProc"), (0x37AC, "UartRegWriteProc"), (0x381C, "UartRegReadProc"), (0x383C, "uartAttach"),
    (0x38A4, "uart_buff_switch"), (0x3924, "uart_baudrate_detect"), (0x39D8, "uart_div_modify"),
    (0x3A14, "Uart_Init"), (0x3B30, "uart_tx_one_char"), (0x3B64, "uart_rx_one_char_block"),
    (0x3B8C, "uart_rx_one_char"), (0x3BBC, "uart_rx_intr_handler"), (0x3C30, "UartRxString"), (0x3C80, "send_packet"),
    (0x3CF4, "SendMsg"), (0x3D08, "recv_packet"), (0x3EAC, "RcvMsg"), (0x3EC8, "uart_rx_readbuff"),
    (0x3EF4, "UartGetCmdLn"), (0x3F4C, "GetUartDevice"), (0x3F58, "SelectSpiFunction"), (0x40C0, "SPI_sector_erase"),
    (0x4174, "SPI_page_program"), (0x42AC, "SPI_read_data"), (0x43C8, "SPI_read_status"),
    (0x4400, "SPI_write_status"), (0x443C, "SPI_write_enable"), (0x448C, "Wait_SPI_Idle"), (0x44C0, "Enable_QMode"),
    (0x4508, "Disable_QMode"), (0x4644, "spi_flash_attach"), (0x4678, "Cache_Read_Enable"),
    (0x47F0, "Cache_Read_Disable"), (0x4878, "SPIUnlock"), (0x48A8, "SPILock"), (0x48EC, "SPIReadModeCnfig"),
    (0x4984, "SPIEraseChip"), (0x49B4, "SPIEraseBlock"), (0x4A00, "SPIEraseSector"), (0x4A4C, "SPIWrite"),
    (0x4B1C, "SPIRead"), (0x4B44, "SPIEraseArea"), (0x4C2C, "SPIParamCfg"), (0x4C50, "gpio_init"),
    (0x4CD0, "gpio_output_set"), (0x4CF0, "gpio_input_get"), (0x4D04, "gpio_register_set"),
    (0x4D5C, "gpio_register_get"), (0x4D88, "gpio_intr_pending"), (0x4D90, "gpio_pin_intr_state_set"),
    (0x4DCC, "gpio_intr_ack"), (0x4E28, "gpio_intr_handler_register"), (0x4E90, "gpio_pin_wakeup_enable"),
    (0x4ED4, "gpio_pin_wakeup_disable"), (0x4EFC, "gpio_intr_test"), (0x4F40, "lldesc_build_chain"),
    (0x5050, "lldesc_num2link"), (0x507C, "lldesc_set_owner"), (0x50FC, "sip_post"),
    (0x5180, "sip_alloc_to_host_evt"), (0x5234, "sip_to_host_evt_send_done"), (0x52C0, "sip_reclaim_tx_data_pkt"),
    (0x534C, "sip_reclaim_from_host_cmd"), (0x544C, "sip_install_rx_ctrl_cb"), (0x545C, "sip_install_rx_data_cb"),
    (0x5668, "sip_get_state"), (0x567C, "sip_init_attach"), (0x56C4, "sip_post_init"), (0x5808, "sip_send"),
    (0x5864, "sip_to_host_chain_append"), (0x58A8, "sip_get_ptr"), (0x5C1C, "slc_reattach"),
    (0x5C50, "slc_init_attach"), (0x5D90, "slc_enable"), (0x5DB8, "slc_select_tohost_gpio_mode"),
    (0x5DC0, "slc_select_tohost_gpio"), (0x5DE4, "slc_send_to_host_chain"), (0x5E94, "slc_from_host_chain_recycle"),
    (0x5F10, "slc_to_host_chain_recycle"), (0x5F24, "slc_from_host_chain_fetch"), (0x6014, "slc_pause_from_host"),
    (0x603C, "slc_resume_from_host"), (0x6068, "slc_set_host_io_max_window"), (0x608C, "slc_init_credit"),
    (0x60AC, "slc_add_credits"), (0x60C0, "rom_abs_temp"), (0x60D0, "rom_chip_v5_disable_cca"),
    (0x60EC, "rom_chip_v5_enable_cca"), (0x610C, "rom_chip_v5_sense_backoff"), (0x615C, "rom_dc_iq_est"),
    (0x61B8, "rom_en_pwdet"), (0x6238, "rom_get_bb_atten"), (0x6260, "rom_get_corr_power"),
    (0x62DC, "rom_get_fm_sar_dout"), (0x6394, "rom_get_noisefloor"), (0x63B0, "rom_get_power_db"),
    (0x6400, "rom_iq_est_disable"), (0x6430, "rom_iq_est_enable"), (0x6484, "rom_linear_to_db"),
    (0x650C, "rom_set_txclk_en"), (0x6550, "rom_set_rxclk_en"), (0x65A4, "rom_mhz2ieee"),
    (0x6628, "rom_rxiq_get_mis"), (0x6738, "rom_sar_init"), (0x678C, "rom_set_ana_inf_tx_scale"),
    (0x67C8, "rom_set_loopback_gain"), (0x6830, "rom_set_noise_floor"), (0x6874, "rom_start_noisefloor"),
    (0x68B4, "rom_start_tx_tone"), (0x698C, "rom_stop_tx_tone"), (0x6A1C, "rom_txtone_linear_pwr"),
    (0x6A98, "rom_tx_mac_disable"), (0x6AD4, "rom_tx_mac_enable"), (0x6B08, "phy_get_romfuncs"),
    (0x6B10, "rom_ana_inf_gating_en"), (0x6C50, "rom_set_channel_freq"), (0x6F84, "rom_chip_50_set_channel"),
    (0x711C, "rom_chip_v5_rx_init"), (0x718C, "rom_chip_v5_tx_init"), (0x7268, "rom_i2c_readReg"),
    (0x729C, "rom_i2c_readReg_Mask"), (0x72D8, "rom_i2c_writeReg"), (0x730C, "rom_i2c_writeReg_Mask"),
    (0x737C, "rom_pbus_debugmode"), (0x7410, "rom_pbus_enter_debugmode"), (0x7448, "rom_pbus_exit_debugmode"),
    (0x747C, "rom_pbus_force_test"), (0x74D8, "rom_pbus_rd"), (0x754C, "rom_pbus_set_rxgain"),
    (0x7610, "rom_pbus_set_txgain"), (0x7648, "rom_pbus_workmode"), (0x7688, "rom_pbus_xpd_rx_off"),
    (0x76CC, "rom_pbus_xpd_rx_on"), (0x76FC, "rom_pbus_xpd_tx_off"), (0x7740, "rom_pbus_xpd_tx_on"),
    (0x77A0, "rom_pbus_xpd_tx_on__low_gain"), (0x7804, "rom_phy_reset_req"), (0x781C, "rom_restart_cal"),
    (0x7868, "rom_rfpll_reset"), (0x78DC, "rom_write_rfpll_sdm"), (0x7968, "rom_rfpll_set_freq"),
    (0x7A28, "rom_cal_tos_v50"), (0x7BF0, "rom_pbus_dco___SA2"), (0x7EB4, "rom_rfcal_pwrctrl"),
    (0x804C, "rom_rfcal_rxiq"), (0x8264, "rom_rfcal_rxiq_set_reg"), (0x8388, "rom_rfcal_txcap"),
    (0x8610, "rom_rfcal_txiq"), (0x88B8, "rom_rfcal_txiq_cover"), (0x8A70, "rom_rfcal_txiq_set_reg"),
    (0x8B6C, "rom_rxiq_cover_mg_mp"), (0x8C6C, "rom_set_txbb_atten"), (0x8D34, "rom_set_txiq_cal"),
    (0x8DD0, "rijndaelKeySetupDec"), (0x8EA4, "aes_decrypt_init"), (0x92D4, "aes_decrypt"),
    (0x92E4, "aes_decrypt_deinit"), (0x9300, "rijndaelKeySetupEnc"), (0x9410, "aes_unwrap"),
    (0x94FC, "base64_encode"), (0x9648, "base64_decode"), (0x97AC, "md5_vector"), (0x9818, "MD5Init"),
    (0x9834, "MD5Update"), (0x9900, "MD5Final"), (0xA160, "hmac_md5_vector"), (0xA2CC, "hmac_md5"),
    (0xA2EC, "sha1_vector"), (0xA364, "SHA1Transform"), (0xB584, "SHA1Init"), (0xB5A8, "SHA1Update"),
    (0xB648, "SHA1Final"), (0xB840, "pbkdf2_sha1"), (0xB8B4, "hmac_sha1_vector"), (0xBA28, "hmac_sha1"),
    (0xBA48, "sha1_prf"), (0xBB3C, "wepkey_64"), (0xBC40, "wepkey_128"), (0xBD28, "_xtos_set_interrupt_handler_arg"),
    (0xBD70, "_xtos_set_interrupt_handler"), (0xBD84, "_xtos_ints_on"), (0xBDA4, "_xtos_ints_off"),
    (0xBDC8, "strcmp"), (0xBEC8, "strcpy"), (0xBF4C, "strlen"), (0xBFA8, "strncmp"), (0xC0A0, "strncpy"),
    (0xC180, "__addsf3"), (0xC268, "__subsf3"), (0xC3DC, "__mulsf3"), (0xC4C4, "__fixunssfsi"), (0xC538, "__adddf3"),
    (0xC688, "__subdf3"), (0xC8F0, "__muldf3"), (0xCB94, "__divdf3"), (0xCCB8, "__fixdfsi"), (0xCD00, "__fixunsdfsi"),
    (0xCD5C, "__truncdfsf2"), (0xCDFC, "__extendsfdf2"), (0xCE60, "__divdi3"), (0xD310, "__udivdi3"),
    (0xD770, "__umoddi3"), (0xDBE0, "_xtos_alloca_handler"), (0xDBE4, "_xtos_syscall_handler"),
    (0xDBF8, "_xtos_p_none"), (0xDBFC, "_xtos_set_intlevel"), (0xDC18, "_xtos_set_min_intlevel"),
    (0xDC3C, "_xtos_unhandled_interrupt"), (0xDC44, "_xtos_unhandled_exception"), (0xDC54, "_xtos_return_from_exc"),
    (0xDC88, "__divsi3"), (0xDCF0, "__umulsidi3"), (0xDD38, "xthal_get_ccount"), (0xDD40, "xthal_set_ccompare"),
    (0xDD4C, "xthal_get_ccompare"), (0xDD58, "xthal_get_interrupt"), (0xDD60, "xthal_set_intclear"),
    (0xDD68, "rc4_skip"), (0xDE84, "bzero"), (0xDEA8, "memcmp"), (0xDF48, "memcpy"), (0xE04C, "memmove"),
    (0xE190, "memset"), (0xE1E0, "strstr"), (0xE21C, "__udivsi3"), (0xE268, "__umodsi3"), (0xE2A4, "__floatunsisf"),
    (0xE2AC, "__floatsisf"), (0xE2E8, "__floatunsidf"), (0xE2F0, "__floatsidf"),
    (0xE320, "xthal_spill_registers_into_stack_nw"), (0xE324, "xthal_window_spill"), (0xE328, "_rom_store_table"),
    (0xE388, "_rom_store"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert!(NAMES.is_sorted_by_key(|(offset, _)| *offset));
        assert_eq!(of(0x2ECC), Some("ets_delay_us"));
        assert_eq!(of(0x2ECD), None);
    }
}

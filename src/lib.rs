//! Raw bindings of the firmware's C: FreeRTOS, lwIP, mbedTLS's client session, paho.mqtt.c
//! and the core's own calls, made by bindgen from `vendor/include/bindings.h`.
//!
//! Use the wrappers in `crates/` instead: what is here is unsafe and undocumented beyond the
//! C headers.
//!
//! ```ignore
//! // SAFETY: reads a counter of the kernel.
//! let free = unsafe { vendor_sys::xPortGetFreeHeapSize() };
//! ```

#![no_std]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
// u128 appears in no signature that is called.
#![allow(improper_ctypes)]

// Its C shim is part of the kernel's archive.
use freertos_rust as _;

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

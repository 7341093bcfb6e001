//! mbedTLS's own tests, compiled in by the feature `self-test`.

use core::ffi::c_int;

use crate::Test;

/// Declares a test for each function `int mbedtls_..._self_test(int verbose)`, which returns
/// 0 when it passed.
macro_rules! self_tests {
    ($($name:literal => $function:ident,)*) => {
        unsafe extern "C" {
            $(safe fn $function(verbose: c_int) -> c_int;)*
        }
        pub const TESTS: &[Test] = &[$(Test::new($name, || assert_eq!($function(0), 0))),*];
    };
}

self_tests! {
    "mbedtls-aes" => mbedtls_aes_self_test,
    "mbedtls-gcm" => mbedtls_gcm_self_test,
    "mbedtls-sha256" => mbedtls_sha256_self_test,
    "mbedtls-sha384" => mbedtls_sha384_self_test,
    "mbedtls-mpi" => mbedtls_mpi_self_test,
    "mbedtls-ctr-drbg" => mbedtls_ctr_drbg_self_test,
    "mbedtls-entropy" => mbedtls_entropy_self_test,
}

/* Steps whose cost is measured: each function repeats its step `count` times. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

/* Three instructions a repetition: shows that the clock counts them. */
void bench_loop(uint32_t count);

/* A context switch: half of a taskYIELD to another task of the same priority and back. */
void bench_yield(uint32_t count);

/* A notification to a task of higher priority, which answers with another. */
void bench_notify(uint32_t count);

/* malloc and free of 64 bytes. */
void bench_malloc(uint32_t count);

/* 1 KiB in DRAM: copied between words, and over words that lie differently; filled; compared
 * and found equal. */
void bench_memcpy(uint32_t count);
void bench_memcpy_shifted(uint32_t count);
void bench_memset(uint32_t count);
void bench_memcmp(uint32_t count);

/* AES-128-GCM: encrypt 1 KiB with 13 bytes of additional data, as a TLS record. */
void bench_gcm(uint32_t count);

/* SHA-256 of 1 KiB. */
void bench_sha256(uint32_t count);

/* The product and the square modulo p. */
void bench_p256_product(uint32_t count);
void bench_p256_square(uint32_t count);

/* ECDH on P-256: a key pair, and the secret shared with another's public key. */
void bench_key_pair(uint32_t count);
void bench_ecdh(uint32_t count);

/* ECDSA on P-256 with a 32-byte hash; key and signature are in memory as numbers. */
void bench_ecdsa_sign(uint32_t count);
void bench_ecdsa_verify(uint32_t count);
void bench_rsa_2048(uint32_t count);
void bench_rsa_4096(uint32_t count);

#endif

/* The watchdog in software: every long-lived task promises to show life in time, and the one
 * that does not ends in the crash report by its name.
 *
 * A task keeps its promise with fw_alive (fw_hooks.h). Once a second the kernel's timer
 * task, which runs above all others, looks at all promises, and whether the idle task has run:
 * that runs only when every other task has blocked, so a task that keeps the CPU shows here,
 * whatever it is doing. Only then is the board's own watchdog fed. That one is for the rest:
 * interrupts masked for good, a handler that does not return. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

/* Seconds without the idle task after which whoever has the CPU counts as hung. A TLS
 * handshake computes for some seconds in one piece. Tests make it shorter. */
extern unsigned lx106_watchdog_idle_s;

/* Start it. Once, by the board, before the scheduler. */
void lx106_watchdog_start(void);

#endif

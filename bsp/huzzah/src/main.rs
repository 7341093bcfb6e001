//! The firmware for an Adafruit HUZZAH. What there is to say of the board is in `board.toml`.

#![no_std]
#![no_main]

chip::board!(app::start, app::VERSION);

//! The boards that the firmware is for, as they show themselves (`bsp/*/board.toml`).

use board_facts::{Board, Machine};

use crate::status::Led;

/// What one calls a board that runs on this machine.
#[must_use]
pub fn title(board: &Board) -> String {
    match board.machine {
        Machine::Qemu => format!("An {}", board.title),
        Machine::Esp8266 => format!("A virtual {}", board.title),
    }
}

/// The line of the console that shows the application's light itself in that state, which is
/// more than what the firmware says of it.
#[must_use]
pub fn led_line(board: &Board, led: Led) -> String {
    let light = &board.led;
    format!("[board] LED {} (GPIO{}) {}", light.name, light.gpio, led.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_board_has_its_light() {
        for (board, on, off) in [
            ("qemu", "[board] LED blue (GPIO2) on", "[board] LED blue (GPIO2) off"),
            ("nodemcu", "[board] LED blue (GPIO2) on", "[board] LED blue (GPIO2) off"),
            ("huzzah", "[board] LED red (GPIO0) on", "[board] LED red (GPIO0) off"),
        ] {
            let board = Board::named(board).unwrap();
            assert_eq!(led_line(&board, Led::On), on);
            assert_eq!(led_line(&board, Led::Off), off);
        }
    }
}

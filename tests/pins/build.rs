//! Makes the pins of two boards, and of one whose names are words of Rust.

use board_facts::{Board, build};

fn main() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let write = |name: &str, board: Board| {
        std::fs::write(out.join(format!("{name}.rs")), build::pins(&board))
            .expect("cargo's folder can be written");
    };
    for name in ["nodemcu", "huzzah"] {
        println!("cargo::rerun-if-changed=../../bsp/{name}/board.toml");
        write(name, Board::named(name).expect("its facts are right"));
    }
    write("words", Board::parse("words", WORDS).expect("its facts are right"));
}

const WORDS: &str = "title = 'Words'
led = { name = 'red', gpio = 2, active_low = true }
buttons = [{ name = 'if', gpio = 0 }]
pins = { IN = 'adc', DO = 5, gen = 16 }
";

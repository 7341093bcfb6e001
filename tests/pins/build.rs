//! Makes the pins of two boards.

use board_facts::{Board, build};

fn main() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    for name in ["nodemcu", "huzzah"] {
        println!("cargo::rerun-if-changed=../../bsp/{name}/board.toml");
        let board = Board::named(name).expect("its facts are right");
        std::fs::write(out.join(format!("{name}.rs")), build::pins(&board))
            .expect("cargo's folder can be written");
    }
}

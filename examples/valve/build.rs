//! Makes the table of `board.toml`.

fn main() {
    board_facts::build::chip_board();
}

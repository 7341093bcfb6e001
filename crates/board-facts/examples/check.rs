//! Says what is wrong with the `board.toml` of a folder, if anything; `tools/new-board` asks before
//! there is a board.

use std::path::PathBuf;
use std::process::ExitCode;

use board_facts::Board;

fn main() -> ExitCode {
    let folder: PathBuf = std::env::args_os().nth(1).unwrap_or_default().into();
    match Board::read(&folder) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

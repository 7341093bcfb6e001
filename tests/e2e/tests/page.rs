//! The firmware on a virtual board, seen on the board's page in a headless Chromium: the light by
//! the control topic, the published status with its plot. `make page-test` runs it.

use std::path::PathBuf;

use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use browser::Browser;
use e2e::{SOON, Stage};
use process::files::{self, SECRET};

#[path = "../../../host/virtual-nodemcu/tests/page/browser.rs"]
mod browser;

fn built(path: &str) -> PathBuf {
    e2e::built(path, "make page-test")
}

#[test]
#[ignore = "needs Chromium: make page-test"]
fn the_page_shows_the_light_and_what_is_published() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let mut flash = vec![0xFF; FLASH_SIZE as usize];
    let image = Image::in_folder(&built("image/nodemcu"));
    let identity = (IDENTITY_OFFSET, stage.region());
    for (at, bytes) in image.contents().unwrap().into_iter().chain([identity]) {
        flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    let file = folder.path().join("flash.bin");
    files::write(&file, &flash, SECRET).unwrap();
    let mut options = VirtualOptions::new(
        &Board::named("nodemcu").unwrap(),
        &built("debug/virtual-nodemcu"),
        &file,
        &built("xtensa-esp8266-none-elf/release/firmware-nodemcu"),
    );
    options.further = ["--web", "127.0.0.1:0"].map(Into::into).to_vec();
    let mut watcher = stage.watch();
    let mut board = VirtualBoard::start(&options).unwrap();
    let (line, _) = board
        .console
        .wait_for(0, SOON, "the page", |line| line.contains("page: http://"))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", board.console.tail(60)));
    let url = line.split_once("page: ").unwrap().1.to_owned();
    board.restart().unwrap();
    let mut page = Browser::open(&url);
    watcher.status("the first status", |_| true);
    page.until("!document.querySelector('#status-card').hidden");
    page.until("document.querySelector('#led-blue').dataset.lit === 'false'");
    watcher.send(b"on");
    page.until("document.querySelector('#led-blue').dataset.lit === 'true'");
    page.until("document.querySelectorAll('#plot polyline').length === 2");
    page.until(
        "[...document.querySelectorAll('#status div')].some((row) => row.textContent === 'ledon')",
    );
    page.picture("firmware.png");
    watcher.send(b"off");
    page.until("document.querySelector('#led-blue').dataset.lit === 'false'");
    assert!(page.complaints.is_empty(), "the browser complains: {:#?}", page.complaints);
}

//! The page in a headless Chromium: what a person sees and does. `make page-test` runs it, and
//! installs Chromium first.

#[path = "page/browser.rs"]
mod browser;
#[path = "board/process.rs"]
mod process;
#[path = "board/program.rs"]
mod program;

use browser::Browser;
use process::Process;

#[test]
#[ignore = "needs Chromium: make page-test"]
fn a_person_resets_types_holds_pins_and_turns_the_power_off() {
    let folder = tempfile::tempdir().unwrap();
    let flash = program::flash(folder.path(), "flash.bin", "echo");
    let options = [
        "--web",
        "127.0.0.1:0",
        "--net",
        "none",
        "--ap",
        "ssid=home,psk=correct horse",
        "--part",
        "ssd1306:D2+D1",
        "--part",
        "dht22:D5,name=room",
        "--part",
        "servo:D6",
    ];
    let mut board = Process::new(&flash, &options);
    let url = board.line("page: ");
    let mut page = Browser::open(&url);
    page.until("document.querySelector('#link').textContent === 'running'");
    page.until("document.querySelector('#term').textContent.includes('echo> ')");
    page.until("document.querySelector('#air').textContent.includes('home')");
    page.until("document.querySelector('#parts').textContent.includes('servo')");
    // The button RST: the boot is seen.
    page.click("#rst");
    page.until("document.querySelector('#resets').textContent === '1'");
    board.line("reset: EN pin");
    page.until("document.querySelector('#term').textContent.split('rst cause:2').length === 2");
    // The serial port hears what is typed, and the lamp lights.
    page.until("document.querySelector('#term').textContent.trimEnd().endsWith('echo>')");
    page.click("#term");
    page.type_in("hello\n");
    page.until("document.querySelector('#term').textContent.includes('echo> HELLO')");
    page.until("document.querySelector('#led-blue').dataset.lit === 'true'");
    page.picture("board.png");
    // A pin is held low, then high, then let go.
    let pin = "#board g.pin:not(.fixed) .pad";
    page.click(pin);
    page.until("document.querySelector('#board .pin.heldlow.low') !== null");
    page.click(pin);
    page.until("document.querySelector('#board .pin.heldhigh.high') !== null");
    page.click(pin);
    page.until("document.querySelector('#board .heldlow, #board .heldhigh') === null");
    page.value("document.querySelector('.tab[data-tab=console]').click()");
    page.until("document.querySelector('#console').textContent.includes('LED blue (GPIO2) on')");
    // A sensor is told another temperature.
    page.value(
        "(() => { const input = document.querySelector('input[data-key=temperature]'); \
         input.value = '-7'; input.dispatchEvent(new Event('change')); })()",
    );
    page.until("ask({ do: 'part', part: 'room' }).then((room) => room.temperature === -7)");
    // RST with FLASH held: the serial loader.
    page.value("document.querySelector('#flash').dispatchEvent(new PointerEvent('pointerdown'))");
    page.value("document.querySelector('#rst').dispatchEvent(new PointerEvent('pointerdown'))");
    page.until("document.querySelector('#link').textContent === 'in reset'");
    page.value("new Promise((done) => setTimeout(done, 100)).then(() => tell({ do: 'button', name: 'RST', pressed: false }))");
    page.until("document.querySelector('#boot').textContent === 'serial loader'");
    page.value("window.dispatchEvent(new PointerEvent('pointerup'))");
    page.click("#power");
    page.until("document.querySelector('#link').textContent === 'no power'");
    board.line("power off");
    page.click("#power");
    page.until("document.querySelector('#boot').textContent === 'runs from flash'");
    page.until("document.querySelector('#led-blue').dataset.lit === 'false'");
    assert!(page.complaints.is_empty(), "the browser complains: {:#?}", page.complaints);
    // The board goes: the page says so.
    board.interrupt();
    page.until("document.querySelector('#link').textContent === 'switched off'");
}

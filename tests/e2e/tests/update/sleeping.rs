//! A thing that sleeps deeply between connections (`examples/battery`) stays awake for an update.

use super::{FAILS, Field, LATE, UPDATE, built, replace_of, slot_image, version};

const IMAGE: &str = "apps/battery/image";
const SLEEPS: &str = "[board] deep sleep for ";
const WAKES: &[&str] = &["--wake-wire"];

/// The job is there before the board wakes: it does not do so for ten minutes.
#[track_caller]
fn ordered(image: &[u8]) -> (Field, String) {
    let mut field = Field::of(IMAGE, WAKES, |_| ());
    let job = field.update(image);
    field.power_cycle(WAKES);
    (field, job)
}

/// It sleeps after this line.
#[track_caller]
fn sleeps_after(field: &Field, line: &str) {
    let mut mark = 0;
    for wanted in [line, "link: left", SLEEPS] {
        match field.board.console.wait_for(mark, UPDATE, wanted, |line| line.contains(wanted)) {
            Ok((_, next)) => mark = next,
            Err(error) => panic!("{error:#}\n{}", field.board.console.tail(80)),
        }
    }
}

#[test]
fn a_thing_that_sleeps_is_updated_and_sleeps_again() {
    let (mut field, job) = ordered(&version(&slot_image(IMAGE), [0, 2, 0]));
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    sleeps_after(&field, "this firmware has proved itself");
}

/// It is given its time, though the application finds no connection and wants to sleep.
#[test]
fn a_bad_firmware_of_a_thing_that_sleeps_comes_back() {
    let mut image = version(&slot_image(IMAGE), [0, 2, 0]);
    let elf = built("xtensa-esp8266-none-elf/release/battery");
    replace_of(&elf, &mut image, "fw_p256_shared_secret", FAILS);
    let (mut field, job) = ordered(&image);
    let (verdict, reason) = field.ended(&job);
    let wanted = ("FAILED", LATE);
    assert_eq!((&*verdict, &*reason), wanted, "{}", field.board.console.tail(80));
    sleeps_after(&field, "slot A, an update failed");
}

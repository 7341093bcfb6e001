//! Parts at the pins of a board whose program drives them by bits, through the harness for tests.

use std::time::Duration;

use virtual_nodemcu::board::pins::Drive;
use virtual_nodemcu::harness::VirtualBoard;
use virtual_nodemcu::parts::{Part, Wires};

#[path = "board/program.rs"]
mod program;

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_program_reads_sensors_draws_turns_a_servo_and_hears_a_button() {
    let mut board = program::board("parts")
        .part("dht22:D4,temperature=-7.5,humidity=61.3")
        .part("ds18b20:D5,temperature=21.0625")
        .part("bme280:D2+D1,temperature=25.08")
        .part("ssd1306:D2+D1")
        .part("servo:D6")
        .part("button:D3,name=key")
        .build()
        .unwrap();
    board.set_adc(700);
    let said = board.wait_for("press\n", PATIENCE).unwrap();
    // 61.3 % is 0265, -7.5 degrees 804B.
    assert!(said.contains("dht 2 65 80 4b 32"), "{said}");
    // 21.0625 degrees is 0151.
    assert!(said.contains("wire 51 1"), "{said}");
    // The data sheet's example: 519888 is 25.08 degrees; the lowest value that gives it is sent.
    let raw = said.split("raw ").nth(1).and_then(|rest| rest.split('\n').next()).unwrap();
    let raw = u32::from_str_radix(raw.trim(), 16).unwrap();
    assert!((519_700..=519_888).contains(&raw), "{raw}");
    assert!(said.contains("adc 700"), "{said}");
    let servo = board.part("servo").unwrap();
    assert!((servo["angle"].as_f64().unwrap() - 45.0).abs() < 1.0, "{servo}");
    assert_eq!(board.part("bme280").unwrap()["measured"], 1);
    let screen = board.part("ssd1306").unwrap();
    let row = |y: usize| screen["screen"][y].as_str().unwrap()[..6].to_owned();
    assert_eq!([row(0), row(1), row(2), row(3)], ["#.....", ".#....", "..#...", "...#.."]);
    board.set_part("key", "pressed", "on").unwrap();
    let said = board.wait_for("done\n", PATIENCE).unwrap();
    assert!(said.contains("it bounced"), "{said}");
    assert!(!board.serial().contains("BAD"), "{}", board.serial());
    // The console is not filled with the bits of a bus or a sensor.
    assert!(board.console().lines().count() < 60, "{}", board.console());
}

/// A part of the test's own: an inverter from D1 to D2, 100 ns late.
struct Inverter(Option<u64>);

impl Part for Inverter {
    fn kind(&self) -> &'static str {
        "inverter"
    }
    fn pins(&self) -> Vec<u32> {
        vec![5, 4]
    }
    fn edge(&mut self, wires: &mut Wires<'_>, pin: u32, _: bool) {
        if pin == 5 {
            self.0 = Some(wires.now() + 100);
        }
    }
    fn power_on(&mut self, wires: &mut Wires<'_>) {
        self.wake(wires);
    }
    fn wake(&mut self, wires: &mut Wires<'_>) {
        self.0 = None;
        wires.drive(4, if wires.level(5) { Drive::Low } else { Drive::High });
    }
    fn next(&self) -> Option<u64> {
        self.0
    }
    fn set(&mut self, _: &str, _: &str, _: &mut Wires<'_>) -> Result<(), String> {
        Err("nothing to set".to_owned())
    }
    fn state(&self, _: u64) -> serde_json::Value {
        serde_json::Value::Null
    }
}

#[test]
fn a_part_of_the_tests_own_and_what_is_wrong_is_said() {
    let mut board = VirtualBoard::builder()
        .unpaced()
        .own_part("not", Box::new(Inverter(None)))
        .build()
        .unwrap();
    for high in [true, false, true] {
        board.drive("D1", if high { Drive::High } else { Drive::Low }).unwrap();
        board.run(Duration::from_millis(1));
        assert_eq!(board.level("D2").unwrap(), !high);
    }
    assert!(board.level("D9").is_err());
    assert!(board.part("room").is_err());
    assert!(board.set_part("not", "x", "1").unwrap_err().to_string().contains("nothing to set"));
    for (builder, says) in [
        (VirtualBoard::builder().part("dht22:D9"), "GPIO16"),
        (VirtualBoard::builder().part("led:D1,name=a").part("led:D2,name=a"), "another name"),
        (VirtualBoard::builder().image(4 << 20, &[0]), "not within the flash"),
        (VirtualBoard::builder().flash_size(3 << 20), "power of two"),
        (VirtualBoard::builder().led("blue"), "LED blue"),
        (VirtualBoard::builder().access_point("ssid="), "access point"),
    ] {
        let error = format!("{:#}", builder.build().err().unwrap());
        assert!(error.contains(says), "{error}");
    }
    let error = board.wait_for("hello", Duration::from_millis(1)).unwrap_err().to_string();
    assert!(error.contains("no \"hello\""), "{error}");
}

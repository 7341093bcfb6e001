//! The report: its text, its escapes, its bounds.

use runtime_model::report::{LAST_WILL, MAX_CRASH, MAX_LENGTH, MAX_TEXT, Report, Update, Wifi};
use runtime_model::wifi::{AccessPoint, Security, Ssid};

const USUAL: Report<'static> = Report {
    uptime_s: 4711,
    heap_free: 14_336,
    heap_min: 9_216,
    stack_min: 412,
    stack_task: "link",
    own: r#""led":"on""#,
    reset: "power on",
    reconnects: 3,
    version: "0.1.0",
    wifi: None,
    update: None,
    crash: None,
};

fn parsed(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn text_is_stable() {
    assert_eq!(
        USUAL.to_json(),
        concat!(
            r#"{"online":true,"uptime_s":4711,"heap_free":14336,"heap_min":9216,"stack_min":412,"#,
            r#""stack_task":"link","led":"on","reset":"power on","reconnects":3,"version":"0.1.0"}"#
        )
    );
    assert_eq!(parsed(LAST_WILL)["online"], false);
}

#[test]
fn a_crash_is_told_when_there_is_one() {
    assert!(parsed(&USUAL.to_json()).get("crash").is_none());
    let crash = "exception: LoadStoreAlignment (9), address 0x3ffe8001, task link, pc 0x40212345";
    assert_eq!(parsed(&Report { crash: Some(crash), ..USUAL }.to_json())["crash"], crash);
}

#[test]
fn slot_and_update_are_told_where_there_are_two_slots() {
    let told = |outcome| {
        let update = Some(Update { slot: "B", outcome });
        parsed(&Report { update, ..USUAL }.to_json())
    };
    assert_eq!((&told("good")["slot"], &told("good")["update"]), (&"B".into(), &"good".into()));
    assert!(told("").get("update").is_none());
    assert!(parsed(&USUAL.to_json()).get("slot").is_none());
}

#[test]
fn texts_survive_a_parser() {
    for text in [
        "",
        "plain",
        "\"quoted\"",
        "back\\slash\\",
        "\0\x01\x1F\x7F\n\r\t",
        "Küche € 😀",
        "</script>\u{2028}",
    ] {
        let json =
            Report { stack_task: text, reset: text, version: text, own: r#""led":"off""#, ..USUAL }
                .to_json();
        let value = parsed(&json);
        for key in ["stack_task", "reset", "version"] {
            assert_eq!(value[key], text);
        }
        assert_eq!(value["led"], "off");
        assert_eq!(value["online"], true);
        assert!(!json.contains(char::is_control) || text.contains('\x7F'));
    }
}

#[test]
fn long_texts_are_cut_between_characters() {
    for (text, cut) in [
        ("x".repeat(100), "x".repeat(MAX_TEXT)),
        ("😀".repeat(9), "😀".repeat(8)),
        (format!("x{}", "€".repeat(20)), format!("x{}", "€".repeat(10))),
    ] {
        let json = Report { reset: &text, ..USUAL }.to_json();
        assert_eq!(parsed(&json)["reset"], *cut);
    }
}

#[test]
fn length_is_bounded_and_the_bound_is_reached() {
    const OWN: &str = r#""lamps":[1,2]"#;
    let worst = "\0".repeat(MAX_TEXT + 1);
    let worst_crash = "\0".repeat(MAX_CRASH + 1);
    let access_point = AccessPoint {
        ssid: Ssid::new(&[b'"'; 32]).unwrap(),
        bssid: [0xFF; 6],
        channel: u8::MAX,
        rssi: i8::MIN,
        security: Security::Wpa2,
    };
    let json = Report {
        uptime_s: u32::MAX,
        heap_free: u32::MAX,
        heap_min: u32::MAX,
        stack_min: u32::MAX,
        stack_task: &worst,
        own: OWN,
        reset: &worst,
        reconnects: u32::MAX,
        version: &worst,
        wifi: Some(Wifi { access_point: Some(&access_point), reconnects: u32::MAX }),
        update: Some(Update { slot: "A", outcome: "failed" }),
        crash: Some(&worst_crash),
    }
    .to_json();
    parsed(&json);
    assert_eq!(json.len(), MAX_LENGTH + OWN.len() + ",".len());
    assert_eq!(MAX_LENGTH, 1522);
    assert!(USUAL.to_json().len() <= 256, "one allocation");
}

#[test]
fn a_full_buffer_is_an_error() {
    struct Full(usize);
    impl std::fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    let length = USUAL.to_json().len();
    assert!(USUAL.write_json(&mut Full(length)).is_ok());
    assert!(USUAL.write_json(&mut Full(length - 1)).is_err());
}

#[test]
fn the_radio_is_told_while_it_is_connected() {
    let access_point = AccessPoint {
        ssid: Ssid::new(b"caf\xE9 \"upstairs\"").unwrap(),
        bssid: [0x02, 0xA9, 0, 0, 0, 0xFF],
        channel: 13,
        rssi: -67,
        security: Security::Wpa2,
    };
    let wifi = Wifi { access_point: Some(&access_point), reconnects: 3 };
    let json = parsed(&Report { wifi: Some(wifi), ..USUAL }.to_json());
    assert_eq!(json["wifi"]["ssid"], "caf\\xe9 \\\"upstairs\\\"");
    assert_eq!(json["wifi"]["bssid"], "02:a9:00:00:00:ff");
    assert_eq!(json["wifi"]["channel"], 13);
    assert_eq!(json["wifi"]["rssi"], -67);
    assert_eq!(json["wifi"]["reconnects"], 3);
    let none = Wifi { access_point: None, reconnects: 3 };
    assert_eq!(
        parsed(&Report { wifi: Some(none), ..USUAL }.to_json())["wifi"],
        serde_json::Value::Null
    );
}

#[test]
fn an_application_may_have_nothing_to_add() {
    let without = Report { own: "", ..USUAL }.to_json();
    assert_eq!(without, USUAL.to_json().replace(r#""led":"on","#, ""));
    parsed(&without);
}

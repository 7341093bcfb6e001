//! Commands: what is taken, what is not, and why not.

use app_model::Led;
use app_model::command::{Command, MAX_PAYLOAD, Reason, parse};

const ON: Result<Command, Reason> = Ok(Command::SetLed(Led::On));
const OFF: Result<Command, Reason> = Ok(Command::SetLed(Led::Off));

fn reason(payload: &[u8]) -> Reason {
    parse(payload).unwrap_err()
}

#[test]
fn words() {
    for text in ["on", " on", "on\n", "\t\r\n on \x0C"] {
        assert_eq!(parse(text.as_bytes()), ON, "{text:?}");
    }
    for text in ["off", "off\r\n", "  off  "] {
        assert_eq!(parse(text.as_bytes()), OFF, "{text:?}");
    }
}

#[test]
fn json() {
    for text in [r#"{"led":"on"}"#, "{ \"led\" : \"on\" }", "\r\n{\n\t\"led\":\r\n\"on\"\n}\n"] {
        assert_eq!(parse(text.as_bytes()), ON, "{text:?}");
    }
    assert_eq!(parse(br#"{"led":"off"}"#), OFF);
}

#[test]
fn other_words() {
    for text in [
        "once",
        "o",
        "of",
        "offf",
        "onoff",
        "on off",
        "on,",
        "On",
        "ON",
        "OFF",
        "1",
        "true",
        "\"on\"",
        "on\0",
        "\0on",
        "on\u{A0}",
        "\u{FEFF}on",
        "onn",
        "[\"on\"]",
        "led",
        "}",
    ] {
        assert_eq!(reason(text.as_bytes()), Reason::UnknownWord, "{text:?}");
    }
    for text in ["", " ", "\r\n\t \x0C"] {
        assert_eq!(reason(text.as_bytes()), Reason::Empty, "{text:?}");
    }
}

#[test]
fn other_json() {
    for text in [
        "{",
        "{}",
        "{ }",
        "{\"",
        "{\"led",
        "{\"led\"",
        "{\"led\":",
        "{\"led\":\"",
        "{\"led\":\"on",
        "{\"led\":\"on\"",
        "{\"led\":\"on\",",
        "{\"led\":\"on\",}",
        "{,\"led\":\"on\"}",
        "{\"led\":\"on\"}}",
        "{\"led\":\"on\"} on",
        "{\"led\":\"on\"}{\"led\":\"on\"}",
        "{\"led\" \"on\"}",
        "{\"led\"=\"on\"}",
        "{led:\"on\"}",
        "{'led':'on'}",
        "{\"led\":on}",
        "{\"led\":true}",
        "{\"led\":1}",
        "{\"led\":null}",
        "{\"led\":[\"on\"]}",
        "{\"led\":{\"led\":\"on\"}}",
        "{\x0C\"led\":\"on\"}",
        "{\"led\":\"on\"\0}",
        "{{\"led\":\"on\"}}",
        "{\"led\":\"on\";}",
        "{\"led\":\"on\" \"led\":\"on\"}",
        "{\"led\":\"o\\\"n\"}",
    ] {
        let found = reason(text.as_bytes());
        let expected = if text.contains('\\') { Reason::UnknownState } else { Reason::Syntax };
        assert_eq!(found, expected, "{text:?}");
    }
    for text in [
        r#"{"led":"once"}"#,
        r#"{"led":"ON"}"#,
        r#"{"led":""}"#,
        r#"{"led":" on"}"#,
        r#"{"led":"\u006fn"}"#,
    ] {
        assert_eq!(reason(text.as_bytes()), Reason::UnknownState, "{text:?}");
    }
    for text in [
        r#"{"LED":"on"}"#,
        r#"{"":"on"}"#,
        r#"{"led2":"on"}"#,
        r#"{"led":"on","x":"y"}"#,
        r#"{"x":1,"led":"on"}"#,
        r#"{"l\u0065d":"on"}"#,
    ] {
        assert_eq!(reason(text.as_bytes()), Reason::UnknownKey, "{text:?}");
    }
    for text in [r#"{"led":"on","led":"on"}"#, r#"{"led":"on" , "led":"off"}"#] {
        assert_eq!(reason(text.as_bytes()), Reason::RepeatedKey, "{text:?}");
    }
}

#[test]
fn length_is_limited() {
    let mut payload = vec![b' '; MAX_PAYLOAD];
    payload[60..62].copy_from_slice(b"on");
    assert_eq!(parse(&payload), ON);
    payload.push(b' ');
    assert_eq!(reason(&payload), Reason::TooLong);
    assert_eq!(reason(&vec![0; 65536]), Reason::TooLong);
}

#[test]
fn reasons_are_words() {
    for (payload, words) in [
        (&b"once"[..], r#"it is neither "on" nor "off""#),
        (b"", "it is empty"),
        (br#"{"led":"blinking"}"#, r#"its "led" is neither "on" nor "off""#),
        (&[b'x'; 129], "it is too long"),
    ] {
        assert_eq!(parse(payload).unwrap_err().to_string(), words);
    }
}

/// Every payload of up to three bytes, and every change of one byte of a command: none panics, and
/// none is taken but the commands.
#[test]
fn nothing_else_is_taken() {
    let words = |payload: &[u8]| {
        let text: Vec<u8> = payload.trim_ascii().to_vec();
        text == b"on" || text == b"off"
    };
    for number in 0..1_u32 << 24 {
        let payload = &number.to_le_bytes()[..3];
        if parse(payload).is_ok() {
            assert!(words(payload), "{payload:?}");
        }
    }
    let json = br#"{ "led":"on"}"#;
    for index in 0..json.len() {
        for byte in 0..=255 {
            let mut payload = json.to_vec();
            payload[index] = byte;
            let white = json[index] == b' ' && b" \t\r\n".contains(&byte);
            let taken = payload == json || white;
            assert_eq!(parse(&payload).is_ok(), taken, "{payload:?}");
        }
        assert!(parse(&json[..index]).is_err());
    }
}

#[test]
fn led_is_off_until_told() {
    assert_eq!(Led::default(), Led::Off);
    assert_eq!(Led::Off.to_string(), "off");
    assert_eq!(Led::On.to_string(), "on");
}

//! What the log gets to see of a payload.

use runtime_model::Excerpt;

fn shown(start: &[u8], length: usize) -> String {
    Excerpt { start, length }.to_string()
}

#[test]
fn a_log_line_is_safe() {
    for (payload, line) in [
        (&b"once"[..], r#"4 bytes: "once""#),
        (b"", r#"0 bytes: """#),
        (b"\x1B[31m\r\n\"\\\xFF\0", r#"11 bytes: "\x1b[31m\r\n\"\\\xff\x00""#),
        (br#"{"led":"blinking"}"#, r#"18 bytes: "{\"led\":\"blinking\"}""#),
    ] {
        assert_eq!(shown(payload, payload.len()), line);
    }
}

#[test]
fn what_is_not_shown_is_told() {
    let x = "x".repeat(32);
    assert_eq!(shown(&[b'x'; 32], 32), format!("32 bytes: \"{x}\""));
    assert_eq!(shown(&[b'x'; 33], 33), format!("33 bytes: \"{x}\"..."));
    assert_eq!(shown(&[b'x'; 128], 65536), format!("65536 bytes: \"{x}\"..."));
    assert_eq!(shown(b"on", 65536), "65536 bytes: \"on\"...");
    assert_eq!(shown(b"", 65536), "65536 bytes: \"\"...");
}

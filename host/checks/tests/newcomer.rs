//! What a newcomer gets wrong is told before anything is built.

use std::path::Path;
use std::process::Command;

/// What `make` says of the arguments, which it refuses.
fn refusal(arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    make.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    // As at a person's prompt, not as within `make test`. Nothing that is built is found.
    for variable in [
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "MADE",
        "BOARD",
        "ESPPORT",
        "THING",
        "CPU_MHZ",
        "RADIO",
        "UPDATES",
    ] {
        make.env_remove(variable);
    }
    let output = make.args(arguments).arg("CARGO=false").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn an_unknown_board_is_answered_with_those_that_there_are() {
    for verb in ["run", "smoke", "flash", "image"] {
        let said = refusal(&[verb, "BOARD=esp32"]);
        assert!(said.contains("there is no board esp32: BOARD= takes one of "), "{verb}: {said}");
        for board in ["huzzah", "nodemcu", "qemu"] {
            assert!(said.contains(board), "{board}: {said}");
        }
    }
}

#[test]
fn a_port_that_is_missing_or_wrong_is_told() {
    for verb in ["flash", "flash-identity", "erase", "monitor"] {
        let said = refusal(&[verb]);
        assert!(said.starts_with("which port? Say for example ESPPORT="), "{verb}: {said}");
        let said = refusal(&[verb, "ESPPORT=/dev/nope"]);
        assert!(said.starts_with("/dev/nope does not exist. Plugged in: "), "{verb}: {said}");
    }
}

/// Flashed with what is meant when nobody says it, a lamp becomes a second demo.
#[test]
fn whose_identity_is_flashed_is_asked_when_there_are_several() {
    let folder = tempfile::tempdir().unwrap();
    let things = format!("things={}", folder.path().display());
    let identity = |thing: &str| {
        std::fs::create_dir_all(folder.path().join(thing)).unwrap();
        std::fs::write(folder.path().join(thing).join("identity.bin"), "").unwrap();
    };
    identity("demo");
    for verb in ["flash", "flash-identity"] {
        let flash = |more: &[&str]| {
            refusal(&[&[verb, "ESPPORT=rfc2217://127.0.0.1:9", &*things], more].concat())
        };
        // Nothing is built without cargo: what comes next fails.
        assert!(!flash(&[]).contains("which thing"));
        identity("lamp");
        let said = flash(&[]);
        assert!(said.starts_with("which thing is this board? There are identities of "), "{said}");
        assert!(said.contains("demo") && said.contains("lamp"), "{said}");
        assert!(!flash(&["THING=demo"]).contains("which thing"));
        std::fs::remove_dir_all(folder.path().join("lamp")).unwrap();
    }
}

/// Taken for the other one without a word, they would be found out on the device.
#[test]
fn a_setting_of_the_build_that_is_none_is_told() {
    for (setting, told) in [
        ("CPU_MHZ=120", "80 (the usual) or 160"),
        ("CPU_MHZ=160MHz", "80 (the usual) or 160"),
        ("RADIO=yes", "0 leaves the radio out, 1 wants it"),
        ("UPDATES=no", "0 leaves updates over the air out"),
    ] {
        for verb in ["image", "run"] {
            let said = refusal(&[verb, "BOARD=nodemcu", setting]);
            assert!(said.contains(&format!("{setting}: {told}")), "{said}");
        }
    }
    // Nothing is built without cargo: what comes next fails.
    for setting in ["CPU_MHZ=80", "CPU_MHZ=160", "RADIO=0", "RADIO=1", "UPDATES=0", "UPDATES=1"] {
        let said = refusal(&["image", "BOARD=nodemcu", setting]);
        assert!(!said.contains(&format!("{setting}: ")), "{said}");
    }
}

#[test]
fn a_version_that_is_none_is_told() {
    for version in ["1.2", "v1.2.3", "1.2.3-rc1", "", "1.2.3.4"] {
        let said = refusal(&["release", &format!("VERSION={version}")]);
        let told = format!("VERSION={version}: a version is three numbers, such as 1.2.3");
        assert!(said.contains(&told), "{said}");
    }
}

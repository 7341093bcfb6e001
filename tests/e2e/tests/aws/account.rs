//! From an account to the light: things made by the AWS CLI in the stand-in for AWS, and the
//! device with their identities at the local cloud, which plays AWS for them. All by the commands
//! that `make provision`, `make run` and `make smoke` give.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aws_stand_in::{Account, Bed};
use e2e::{Device, seconds};
use identity::Stored;
use process::programs::Owned;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Limit for a line of a program.
const LINE: Duration = seconds(90);

/// The program behind the Makefile, from the environment.
fn program() -> PathBuf {
    std::env::var_os("THING_PROGRAM").map(PathBuf::from).expect(
        "THING_PROGRAM must be the absolute path of the program `thing`: run `make e2e`, which \
         builds it and says where it is",
    )
}

/// `thing` with these arguments, in the account of `bed`.
fn thing(bed: &Bed, arguments: &[&str]) -> Command {
    bed.thing(&program(), arguments)
}

/// Runs a command to its end, which must be a good one, and returns what it said.
#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    text
}

/// A command under way; killed when dropped.
struct Running {
    process: Owned,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut process = Owned::spawn(command.stderr(std::process::Stdio::inherit())).unwrap();
        let output = BufReader::new(process.child().stdout.take().unwrap());
        let (sender, lines) = channel();
        // Reads to the end, so that the program never waits for a reader.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        Self { process, lines, said: Vec::new() }
    }

    /// The device with its identity, until it is connected.
    #[track_caller]
    fn device(bed: &Bed) -> Self {
        let elf = Device::firmware();
        let mut run = Self::start(&mut thing(bed, &["run", "--elf", elf.to_str().unwrap()]));
        run.expect("identity  that of demo on AWS");
        run.expect("link: connected to ");
        run
    }

    #[track_caller]
    fn expect(&mut self, wanted: &str) {
        let deadline = Instant::now() + LINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(error) => panic!("no {wanted:?} ({error}) in:\n{}", self.said.join("\n")),
            }
            if self.said.last().is_some_and(|line| line.contains(wanted)) {
                return;
            }
        }
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    fn finish(mut self) -> String {
        let status = self.process.wait(LINE).unwrap();
        self.said.extend(self.lines.iter());
        let said = self.said.join("\n");
        assert!(status.is_some_and(|status| status.success()), "{status:?}:\n{said}");
        said
    }
}

#[test]
fn provision_then_run_ends_with_the_led_obeying() {
    let bed = Bed::new("eu-west-1");
    let said = done(&mut thing(&bed, &["provision"]));
    assert!(said.contains("demo is complete"), "{said}");
    let endpoint = bed.journal("demo").unwrap().endpoint.unwrap();
    let elf = Device::firmware();
    let said = done(&mut thing(&bed, &["smoke", "--elf", elf.to_str().unwrap()]));
    for line in [
        &format!("smoke: demo by its identity on AWS, at {endpoint}"),
        "smoke: LED on",
        "smoke: LED off",
        "smoke: passed",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line:?} in:\n{said}");
    }
    // What was made is there for the device to use, and can be taken away again.
    done(&mut thing(&bed, &["deprovision"]));
    assert_eq!(bed.account(), Account::default());
}

/// Whatever happens before the device comes with its new certificate, the old one is valid.
#[test]
fn a_rotation_retires_the_old_certificate_when_the_device_has_come_with_the_new() {
    let bed = Bed::new("eu-west-2");
    let certificate = || bed.journal("demo").unwrap().certificate.unwrap().id;
    let rotate = |wait: &str| thing(&bed, &["provision", "--rotate", "--emulated", "--wait", wait]);
    done(&mut thing(&bed, &["provision"]));
    let old = certificate();

    // The device is there, but by its old certificate.
    let before = Running::device(&bed);
    let output = rotate("2").output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    for words in ["demo was not seen connecting", "stays valid", "run the same command again"] {
        assert!(error.contains(words), "no {words:?} in:\n{error}");
    }
    let new = certificate();
    assert_ne!(new, old);
    assert!(bed.is_active(&old) && bed.is_active(&new));
    let region = std::fs::read(bed.file("demo", "identity.bin")).unwrap();
    let pem = std::fs::read(bed.file("demo", "device.pem")).unwrap();
    let written = CertificateDer::from_pem_slice(&pem).unwrap();
    assert_eq!(Stored::read(&region).unwrap().identity.certificates, [written.as_ref()]);

    // Killed while it waits.
    let mut rotation = Running::start(&mut rotate("600"));
    rotation.expect("waiting up to 600 s");
    drop(rotation);
    assert!(bed.is_active(&old) && bed.is_active(&new));

    // Given again, it goes on, and the device gets its new identity.
    let mut rotation = Running::start(&mut rotate("600"));
    rotation.expect("a rotation is under way");
    rotation.expect("waiting up to 600 s");
    drop(before);
    let after = Running::device(&bed);
    let said = rotation.finish();
    assert!(said.contains("the old certificate and its key are gone"), "{said}");
    drop(after);
    assert_eq!(bed.account().certificates, [new.as_str()]);
    assert!(bed.is_active(&new));
    assert_eq!(certificate(), new);
    assert!(!bed.file("demo", "device.old.key").exists());
}

//! The AWS CLI as a child process.
//!
//! The person's own is taken, with the person's own configuration: credentials, profiles,
//! SSO and proxies stay its business and never pass through this program. So it, or a program
//! that it starts, may ask something at the terminal at any call: the code of an MFA device.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::failure::{Cause, Failure};
use process::programs::Owned;
use process::python;

/// AWS detaches later than it says so: a deletion right afterwards may find the attachment still
/// there, of a policy for up to five minutes (DeletePolicy, AWS IoT API Reference).
const LET_GO: Duration = Duration::from_secs(310);

/// A request has time limits of its own, of well under a minute, but what the AWS CLI starts has none: a
/// program for credentials that asks a person, for instance. Long enough for that person to find a code,
/// and for a listing in hundreds of pages.
const ANSWER: Duration = Duration::from_secs(180);

/// How often a call under way is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// So many looks in a row must find the AWS CLI stopped: after Ctrl-Z and `fg` it goes on at once.
const STOPPED: u32 = 10;

/// How the AWS CLI ends after Ctrl-C: 128 and the signal's number.
const INTERRUPTED: i32 = 128 + Signal::SIGINT as i32;

/// Signals by which a person ends something.
const INTERRUPTS: [i32; 3] = [Signal::SIGINT as i32, Signal::SIGTERM as i32, Signal::SIGHUP as i32];

/// How long an AWS CLI that is to end may take to put the terminal in order.
const IN_ORDER: Duration = Duration::from_secs(2);

/// Where the AWS CLI finds its account: a stand-in for AWS, mostly.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// Options of a command, by their names; one without a value is a switch.
pub type Options<'o> = [(&'o str, &'o str)];

/// How often and how patiently a throttled call is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Calls altogether.
    pub tries: u32,
    /// The first pause; it doubles with each further one.
    pub pause: Duration,
    /// How long a deletion is tried that AWS refuses because of an attachment just taken off.
    pub let_go: Duration,
    /// How long a call may take, a question of the AWS CLI and its answer included.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 6, pause: Duration::from_secs(1), let_go: LET_GO, answer: ANSWER }
    }
}

/// The AWS CLI and how it is called.
#[derive(Clone, Debug)]
pub struct Cli {
    /// The program.
    pub program: PathBuf,
    /// A profile of its configuration.
    pub profile: Option<String>,
    /// A region instead of the configured one.
    pub region: Option<String>,
    /// Further variables of its environment; of one name, the last counts.
    pub environment: Vec<(String, String)>,
    /// How often and how patiently a call is tried again.
    pub patience: Patience,
}

impl Cli {
    /// Finds the AWS CLI on `PATH`; when there is none that starts, installs one into
    /// `<target>/aws-cli` and says so.
    ///
    /// # Errors
    /// When none is there and none can be installed.
    pub fn find(target: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = std::env::split_paths(&path)
            .map(|folder| folder.join("aws"))
            .find(|candidate| candidate.is_file() && starts(candidate));
        let program = match own {
            Some(program) => program,
            None => {
                let folder = target.join("aws-cli");
                if !folder.join("requirements.txt").is_file() {
                    say(&format!(
                        "no AWS CLI on PATH: installing it from PyPI; to configure it, run \
                         `{}/bin/aws configure`",
                        folder.display()
                    ));
                }
                python::environment(&folder, "", python::AWS_CLI)
                    .context("the AWS CLI is missing and could not be installed")?
                    .join("aws")
            }
        };
        Ok(Self::new(program))
    }

    /// The AWS CLI at `program`.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            profile: None,
            region: None,
            environment: Vec::new(),
            patience: Patience::default(),
        }
    }

    /// The region in force. It is passed to every later call, so that all of them go where
    /// the person was told.
    ///
    /// # Errors
    /// When none is configured.
    pub fn settle_region(&mut self) -> Result<String> {
        let told = self.region.clone().or_else(|| self.variable("AWS_DEFAULT_REGION"));
        let region = told.map_or_else(|| self.configured_region(), Ok)?;
        self.region = Some(region.clone());
        Ok(region)
    }

    fn configured_region(&self) -> Result<String> {
        let call = ["configure", "get", "region"];
        let done = self.run(&call)?;
        let configured = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        if configured.is_empty() {
            let said = String::from_utf8_lossy(&done.stderr);
            // An unknown profile shows here first.
            if !said.trim().is_empty() {
                bail!(Failure::read(&call.join(" "), &said));
            }
            bail!(
                "no region is configured\n  what to do: name one, as in AWS_REGION=eu-west-1, or \
                 run `aws configure`"
            );
        }
        Ok(configured)
    }

    /// Calls `aws SERVICE OPERATION --name=value …` and returns its answer, `Null` when it is
    /// empty. Tries again while throttled: such a call had no effect.
    ///
    /// # Errors
    /// [`Failure`] when AWS or the AWS CLI refuses.
    pub fn call(
        &self,
        service: &str,
        operation: &str,
        options: &Options<'_>,
        say: &dyn Fn(&str),
    ) -> Result<Value> {
        let call = format!("{service} {operation}");
        let options = in_words(options);
        let mut words = vec![service, operation];
        words.extend(options.iter().map(String::as_str));
        let mut pause = self.patience.pause;
        let mut attempt = 1;
        loop {
            let done = self.run(&words)?;
            if done.status.success() {
                if done.stdout.trim_ascii().is_empty() {
                    return Ok(Value::Null);
                }
                return serde_json::from_slice(&done.stdout)
                    .with_context(|| format!("`aws {call}` did not answer in JSON"));
            }
            let failure = Failure::read(&call, &String::from_utf8_lossy(&done.stderr));
            if failure.cause != Cause::Throttled || attempt >= self.patience.tries {
                bail!(failure);
            }
            say(&format!(
                "AWS asks to slow down; {operation} again in {:.1} s",
                pause.as_secs_f32()
            ));
            std::thread::sleep(pause);
            pause *= 2;
            attempt += 1;
        }
    }

    /// A variable of the child's environment, unless it is empty.
    fn variable(&self, name: &str) -> Option<String> {
        let set = self.environment.iter().rfind(|(set, _)| set == name);
        let value = set.map(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok());
        value.filter(|value| !value.is_empty())
    }

    /// Runs the AWS CLI to its end, whether it succeeds or not.
    ///
    /// # Errors
    /// [`Failure`] when it is interrupted, stands still or does not end in time.
    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(words).args(["--output", "json"]);
        command.args(["--cli-connect-timeout", "10", "--cli-read-timeout", "30"]);
        if let Some(profile) = &self.profile {
            command.args(["--profile", profile]);
        }
        if let Some(region) = &self.region {
            command.args(["--region", region]);
        }
        // Before 2.13 and 1.29 (Debian 12 has 2.9) the AWS CLI knows the option only.
        if let Some(url) = self.variable(ENDPOINT) {
            command.args(["--endpoint-url", &url]);
        }
        // No pager, and no repetition that we do not know of: a second certificate could
        // come of it.
        command.env("AWS_PAGER", "").env("AWS_RETRY_MODE", "standard").env("AWS_MAX_ATTEMPTS", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let call = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let failure = |cause, said| Failure { call, cause, said };
        let (mut process, output) = Owned::spawn_asking(command.stderr(Stdio::piped()))?;
        let errors = process.child().stderr.take().context("no pipe")?;
        let texts = collect(output, errors);
        let (mut looks, mut stopped) = (0, 0);
        let [stdout, stderr] = loop {
            match texts.recv_timeout(LOOK) {
                Ok(texts) => break texts,
                Err(RecvTimeoutError::Disconnected) => bail!("reading from the AWS CLI failed"),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Looks are counted instead of time, which goes on after Ctrl-Z.
            looks += 1;
            stopped = if process.is_stopped() { stopped + 1 } else { 0 };
            if stopped == STOPPED {
                bail!(failure(Cause::Asks, String::new()));
            }
            if LOOK * looks >= self.patience.answer {
                // As Ctrl-C does: a question ends with the terminal's echo on again.
                process.signal(Signal::SIGINT)?;
                process.wait(IN_ORDER)?;
                let said = format!(
                    "nothing for {} s. If a program of its asks for something, \
                     `aws sts get-caller-identity` shows it",
                    self.patience.answer.as_secs()
                );
                bail!(failure(Cause::Unanswered, said));
            }
        };
        let status = process.child().wait()?;
        let by_signal = status.signal().is_some_and(|signal| INTERRUPTS.contains(&signal));
        if by_signal || status.code() == Some(INTERRUPTED) {
            bail!(failure(Cause::Interrupted, String::new()));
        }
        Ok(Output { status, stdout, stderr })
    }
}

/// Reads both pipes to their ends.
fn collect(output: ChildStdout, errors: ChildStderr) -> Receiver<[Vec<u8>; 2]> {
    fn all(mut pipe: impl Read) -> Vec<u8> {
        let mut text = Vec::new();
        // What was read before an error is what there is to show.
        let _ = pipe.read_to_end(&mut text);
        text
    }
    let (done, texts) = mpsc::channel();
    std::thread::spawn(move || {
        let errors = std::thread::spawn(move || all(errors));
        // Nobody waits any more when it took too long.
        let _ = done.send([all(output), errors.join().unwrap_or_default()]);
    });
    texts
}

/// `--name=value`, so that no value can be taken for an option.
fn in_words(options: &Options<'_>) -> Vec<String> {
    let word = |(name, value): &(&str, &str)| match *value {
        "" => format!("--{name}"),
        value => format!("--{name}={value}"),
    };
    options.iter().map(word).collect()
}

/// Whether it is an AWS CLI that works: a version manager's shim for a version that is not
/// there looks like one, too.
fn starts(program: &Path) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|done| done.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use process::files;

    /// What comes of a call of an AWS CLI that is this script.
    fn called(script: &str, limit_ms: u64) -> (Cause, String) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("aws");
        files::write_program(&program, &format!("#!/bin/sh\n{script}\n")).unwrap();
        let patience = Patience { answer: Duration::from_millis(limit_ms), ..Patience::default() };
        let cli = Cli { patience, ..Cli::new(program) };
        let error = cli.call("iot", "create-thing", &[], &|_| ()).unwrap_err();
        (error.downcast_ref::<Failure>().unwrap().cause.clone(), error.to_string())
    }

    #[test]
    fn one_that_stands_still_is_told() {
        let (cause, text) = called("kill -STOP $$", 60_000);
        assert_eq!(cause, Cause::Asks);
        assert!(
            text.contains("`aws sts get-caller-identity`") && text.contains("same command again"),
            "{text}"
        );
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let (cause, text) = called("exec sleep 600", 300);
        assert_eq!(cause, Cause::Unanswered);
        assert!(text.contains("says: nothing for 0 s"), "{text}");
        // What it started holds its pipes.
        assert_eq!(called("sleep 2 & exit 0", 300).0, Cause::Unanswered);
    }

    #[test]
    fn one_that_is_interrupted_is_told() {
        // Who runs this in the background lets its programs ignore signals.
        let killed = |signal| format!("exec env --default-signal sh -c 'kill -{signal} $$'");
        for script in [&*killed("INT"), &*killed("HUP"), "exit 130"] {
            assert_eq!(called(script, 60_000).0, Cause::Interrupted, "{script}");
        }
        let (_, text) = called("exit 130", 60_000);
        assert!(text.contains("makes nothing twice") && !text.contains("says:"), "{text}");
    }

    #[test]
    fn values_cannot_be_options() {
        assert_eq!(in_words(&[("thing-name", "--x")]), ["--thing-name=--x"]);
    }
}

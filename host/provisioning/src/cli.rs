//! The AWS CLI as a child process.
//!
//! The person's own is taken, with the person's own configuration: credentials, profiles,
//! SSO and proxies stay its business and never pass through this program.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::failure::{Cause, Failure};
use process::programs::Owned;
use process::python;

/// AWS detaches later than it says so: a deletion right afterwards may find the attachment still
/// there, of a policy for up to five minutes (DeletePolicy, AWS IoT API Reference).
const LET_GO: Duration = Duration::from_secs(310);

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
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 6, pause: Duration::from_secs(1), let_go: LET_GO }
    }
}

/// The AWS CLI and how it is called.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    profile: Option<String>,
    region: Option<String>,
    environment: Vec<(String, String)>,
    patience: Patience,
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

    /// Uses this profile of the AWS CLI's configuration.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<String>) -> Self {
        self.profile = profile.filter(|profile| !profile.is_empty());
        self
    }

    /// Uses this region instead of the configured one.
    #[must_use]
    pub fn with_region(mut self, region: Option<String>) -> Self {
        self.region = region.filter(|region| !region.is_empty());
        self
    }

    /// Sets environment variables of the child.
    #[must_use]
    pub fn with_environment(mut self, environment: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(environment);
        self
    }

    /// How often and how patiently it tries again.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Tries as often and as patiently as this.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
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
        let (mut process, mut output) = Owned::spawn_read(command.stderr(Stdio::piped()))?;
        let mut errors = process.child().stderr.take().context("no pipe")?;
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is what there is to show.
            let _ = errors.read_to_end(&mut text);
            text
        });
        let mut stdout = Vec::new();
        output.read_to_end(&mut stdout)?;
        let status = process.child().wait()?;
        let stderr = reader.join().map_err(|_| anyhow!("reading from the AWS CLI failed"))?;
        Ok(Output { status, stdout, stderr })
    }
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

    #[test]
    fn values_cannot_be_options() {
        assert_eq!(in_words(&[("thing-name", "--x")]), ["--thing-name=--x"]);
    }
}

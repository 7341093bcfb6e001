//! Finding and starting the programs this package builds on.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getppid};

use crate::wait;

/// Folders that Debian keeps out of a plain user's `PATH`, where daemons such as
/// Mosquitto live.
const DAEMON_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The full path of `program`.
///
/// # Errors
/// When it is not installed; the message names the Debian package that brings it.
pub fn find(program: &str, debian_package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(DAEMON_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "{program} is not installed: run `make setup`, \
                 or install the Debian package {debian_package}"
            )
        })
}

/// A child process that never outlives its owner: it is killed when this value is
/// dropped, and by the kernel when the thread that started it ends without dropping it.
///
/// It runs in its own process group, so that Ctrl-C in the terminal reaches only this
/// program, which then stops its children in order. One that may ask the person something is
/// an exception: see [`Owned::spawn_asking`].
#[derive(Debug)]
pub struct Owned {
    child: Child,
    name: String,
}

impl Owned {
    /// Starts `command`.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        Self::start(command.process_group(0), Signal::SIGKILL)
    }

    /// Starts `command`, which gets the signal `orphaned` when its owner ends.
    fn start(command: &mut Command, orphaned: Signal) -> Result<Self> {
        let name = command
            .get_program()
            .to_string_lossy()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let parent = nix::unistd::getpid();
        // SAFETY: the closure runs in the child between fork and exec, where only
        // async-signal-safe calls are allowed; prctl and getppid are plain system calls
        // and nothing allocates or takes a lock.
        unsafe {
            command.pre_exec(move || {
                prctl::set_pdeathsig(orphaned)?;
                // The parent may have died before the line above took effect.
                if getppid() != parent {
                    return Err(nix::Error::ESRCH.into());
                }
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// As [`Owned::spawn`], with nothing at its standard input; what it writes to its standard
    /// output comes with it.
    ///
    /// # Errors
    /// As [`Owned::spawn`].
    pub fn spawn_read(command: &mut Command) -> Result<(Self, ChildStdout)> {
        let owned = Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        owned.with_output()
    }

    /// As [`Owned::spawn_read`], for a program that may ask the person something at the terminal.
    /// There only this program's own process group may do so: the child stays in it, Ctrl-C
    /// reaches both, and the end of its owner is one to the child, which then puts the terminal
    /// in order.
    ///
    /// # Errors
    /// As [`Owned::spawn`].
    pub fn spawn_asking(command: &mut Command) -> Result<(Self, ChildStdout)> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self::start(command, Signal::SIGINT)?.with_output()
    }

    fn with_output(mut self) -> Result<(Self, ChildStdout)> {
        let output = self.child.stdout.take().context("no standard output")?;
        Ok((self, output))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status when the child has ended.
    ///
    /// # Errors
    /// When the operating system does not answer.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask for the state of {}", self.name))
    }

    /// Waits until the child ends; `None` when `limit` passes first.
    ///
    /// # Errors
    /// When the operating system does not answer.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        wait::until(limit, Duration::from_millis(10), || self.exited())
    }

    /// Whether the child stands still now, as after Ctrl-Z, or because it wants to ask something
    /// at a terminal that is not its own.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        i32::try_from(self.child.id()).is_ok_and(|id| {
            // One that has ended is no longer waited for in this way: an error.
            matches!(waitid(Id::Pid(Pid::from_raw(id)), flags), Ok(WaitStatus::Stopped(..)))
        })
    }

    /// CPU time that the child has used so far, to a hundredth of a second.
    ///
    /// # Errors
    /// When the child has been collected or the kernel does not tell.
    pub fn cpu_time(&self) -> Result<Duration> {
        /// Ticks of /proc per second: fixed in Linux's interface (`USER_HZ`).
        const TICKS: u64 = 100;
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // proc(5): the second field is the program's name, in parentheses, and may hold
        // anything; utime and stime are fields 14 and 15.
        let after_name = text.rsplit_once(") ").context("unknown format of /proc")?.1;
        let ticks = after_name
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>()
            .context("unknown format of /proc")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// Sends `signal` to the child.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("process id out of range")?;
        kill(Pid::from_raw(id), signal)
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Ends the child now (SIGKILL) and collects it. Does nothing when it has ended.
    pub fn kill(&mut self) {
        // An error means that the child has already ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns what it wrote to its standard output.
///
/// # Errors
/// When it cannot start or fails; the message carries what it wrote to standard error.
pub fn output(
    program: &std::path::Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Vec<u8>> {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !done.status.success() {
        bail!(
            "{} failed ({}): {}",
            program.display(),
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(done.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-program", "the-package").unwrap_err();
        assert!(error.to_string().contains("the-package"), "{error}");
    }

    #[track_caller]
    fn await_that(what: &dyn Fn() -> bool) {
        let (limit, pause) = (Duration::from_secs(20), Duration::from_millis(5));
        let found = wait::until(limit, pause, || Ok(what().then_some(())));
        assert!(found.unwrap().is_some(), "nothing changes");
    }

    #[test]
    fn cpu_time_is_told() {
        let busy = Owned::spawn(Command::new("sh").args(["-c", "while :; do :; done"])).unwrap();
        await_that(&|| busy.cpu_time().unwrap() >= Duration::from_millis(50));
        let idle = Owned::spawn(Command::new("sleep").arg("600")).unwrap();
        assert!(idle.cpu_time().unwrap() < Duration::from_millis(50));
    }

    #[test]
    fn one_that_is_stopped_is_told_until_it_goes_on() {
        let mut child = Owned::spawn(Command::new("sleep").arg("600")).unwrap();
        assert!(!child.is_stopped());
        for _ in 0..2 {
            child.signal(Signal::SIGSTOP).unwrap();
            await_that(&|| child.is_stopped());
            assert!(child.is_stopped(), "told once only");
            child.signal(Signal::SIGCONT).unwrap();
            await_that(&|| !child.is_stopped());
        }
        child.kill();
        assert!(!child.is_stopped());
    }

    #[test]
    fn dropping_ends_the_child() {
        let child = Owned::spawn(Command::new("sleep").arg("600").stdout(Stdio::null())).unwrap();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert!(kill(id, None).is_ok());
        drop(child);
        assert_eq!(kill(id, None), Err(nix::Error::ESRCH));
    }
}

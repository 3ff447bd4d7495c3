//! Running a tool: a clean environment, a time limit, and whatever it said.
//!
//! Input and output are files in memory and not pipes, so that no tool can wait for us while we wait for it, and none that
//! leaves a process behind can keep us waiting.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Error;

/// No tool needs so long, its wait for the lock of iptables included.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// More than any ruleset that can be judged.
const LONGEST_OUTPUT: u64 = 1 << 29;
/// How much of what a tool complained about is told.
const LONGEST_WORDS: usize = 2000;

/// What a tool sees of the world.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    /// The folders in which it finds other tools.
    pub path: OsString,
    /// The file that iptables-legacy locks, if it is not the usual one.
    pub lock_file: Option<OsString>,
}

/// Runs a program to its end and gives what it printed.
pub(super) fn run(environment: &Environment, program: &Path, arguments: &[&str], input: &str) -> Result<String, Error> {
    let tool = || program.file_name().unwrap_or(OsStr::new("a tool")).to_string_lossy().into_owned();
    let io = |error| Error::Run { tool: tool(), error };
    let [mut stdin, stdout, stderr] = [file()?, file()?, file()?];
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).map_err(io)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", &environment.path).env("LC_ALL", "C");
    if let Some(lock_file) = &environment.lock_file {
        command.env("XTABLES_LOCKFILE", lock_file);
    }
    // In a process group of its own: an interrupt from the terminal must not stop it half-way.
    command.process_group(0).stdin(stdin);
    command.stdout(Stdio::from(stdout.try_clone().map_err(io)?));
    command.stderr(Stdio::from(stderr.try_clone().map_err(io)?));
    let status = wait(command.spawn().map_err(io)?).map_err(io)?;
    let (stdout, stderr) = (text(stdout).map_err(io)?, text(stderr).map_err(io)?);
    match status {
        Some(status) if status.success() => String::from_utf8(stdout)
            .map_err(|_| Error::Failed { tool: tool(), words: "it printed something that is no text (UTF-8)".into() }),
        Some(_) => Err(Error::Failed { tool: tool(), words: words(&stderr) }),
        None => Err(Error::TimeOut { tool: tool(), seconds: TIME_LIMIT.as_secs() }),
    }
}

/// A file that is in memory only and has no name.
fn file() -> Result<File, Error> {
    let made = memfd_create("ringfence", MFdFlags::MFD_CLOEXEC);
    made.map(File::from).map_err(|error| Error::Run { tool: "a tool".into(), error: error.into() })
}

/// The status of a child at its end; `None` if its time was up and it was killed.
fn wait(mut child: Child) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + TIME_LIMIT;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn text(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    let length = file.take(LONGEST_OUTPUT + 1).read_to_end(&mut bytes)?;
    match u64::try_from(length) {
        Ok(length) if length <= LONGEST_OUTPUT => Ok(bytes),
        _ => Err(io::Error::other("it printed more than can be read")),
    }
}

/// What a tool complained about, fit for a terminal.
fn words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    // What every version of the tools adds to every complaint.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Try `"));
    let said = lines.collect::<Vec<_>>().join("; ");
    let clean = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let short: String = clean.take(LONGEST_WORDS).collect();
    if short.is_empty() { "it did not say why".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str) -> Result<String, Error> {
        let environment = Environment { path: "/bin".into(), lock_file: None };
        run(&environment, Path::new("/bin/sh"), &["-c", script], input)
    }

    #[test]
    fn output_and_complaints_are_told() {
        let long = "x\n".repeat(1 << 20);
        assert_eq!(shell("cat", &long).unwrap(), long);
        let error = shell("echo out; echo 'no \x1b luck' >&2; echo; exit 3", "").unwrap_err();
        assert_eq!(error.to_string(), "sh failed: no   luck");
        assert_eq!(shell("exit 1", "").unwrap_err().to_string(), "sh failed: it did not say why");
    }

    #[test]
    fn nothing_is_inherited_that_is_not_meant_to_be() {
        let names = shell("env | grep -vE '^(PWD|SHLVL|_|OLDPWD)=' | sort", "").unwrap();
        assert_eq!(names, "LC_ALL=C\nPATH=/bin\n");
    }
}

//! The programs of other firewalls: whether they run here, and running them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::host::HostError;
use crate::host::iptables;

/// Runs a program and gives what it printed; `help` is what to do where it fails.
pub(super) fn run(name: &str, arguments: &[&str], input: &str, help: &'static str) -> Result<String, HostError> {
    iptables::program(name, arguments, input).map_err(|error| {
        let words = match error {
            iptables::Error::Failed { words, .. } => words,
            other => other.to_string(),
        };
        HostError::Through { command: command(name, arguments), words, help }
    })
}

/// As one would type it.
pub(super) fn command(name: &str, arguments: &[&str]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    let mut text = name.to_owned();
    for argument in arguments {
        text.push(' ');
        if argument.is_empty() || !argument.chars().all(is_plain) {
            text.push_str(&format!("'{argument}'"));
        } else {
            text.push_str(argument);
        }
    }
    text
}

/// Whether a program runs that has written its process's number into a file where only root writes. What a process calls itself is
/// no more than a word of whoever started it.
pub(super) fn runs_by(file: &Path, name: &str) -> bool {
    let Ok(number) = fs::read_to_string(file) else { return false };
    number.trim().parse::<u32>().is_ok_and(|number| {
        fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|called| called.trim() == name)
    })
}

/// So long another run of a program is waited for, and so often looked at. One that asks somebody may hold its lock for hours.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(50);

/// Waits until no other run of a program holds the lock on a file of its (fcntl(2)), and no script of root's is at work that takes none:
/// what these leave undone they are about to do, and what is done in between they do not expect.
pub(super) fn wait_for(lock: &Path, script: &str) {
    let end = Instant::now() + PATIENCE;
    while (is_locked(lock) || root_runs(script)) && Instant::now() < end {
        std::thread::sleep(AGAIN);
    }
}

/// By what root started. Whatever others call theirs, it is at most waited for.
fn root_runs(script: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut roots = processes.filter(|process| fs::metadata(process).is_ok_and(|found| found.uid() == 0));
    roots.any(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).take(2).map(|word| Path::new(OsStr::from_bytes(word)));
        words.any(|word| word.file_name() == Some(OsStr::new(script)))
    })
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let (Ok(write), Ok(start)) = (i16::try_from(libc::F_WRLCK), i16::try_from(libc::SEEK_SET)) else { return false };
    let mut lock = libc::flock { l_type: write, l_whence: start, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock)).is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_lock_of_another_process_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_locked(&path));
        let script = "import fcntl, sys\nlock = open(sys.argv[1], 'w')\nfcntl.lockf(lock, fcntl.LOCK_EX)\nprint(flush=True)\nsys.stdin.read()";
        let spawned = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        // Without Python there is no ufw, either.
        let Ok(mut other) = spawned else { return };
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(other.stdout.take().unwrap()), &mut line).unwrap();
        assert!(is_locked(&path));
        drop(other.stdin.take());
        other.wait().unwrap();
        assert!(!is_locked(&path));
    }

    #[test]
    fn a_script_of_roots_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ringfence-test-script");
        fs::write(&path, "read line").unwrap();
        let name = "ringfence-test-script";
        assert!(!root_runs(name));
        let mut other = Command::new("sh").arg(&path).stdin(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + PATIENCE;
        while nix::unistd::geteuid().is_root() && !root_runs(name) {
            assert!(Instant::now() < end);
        }
        drop(other.stdin.take());
        other.wait().unwrap();
        assert!(!root_runs(name));
    }
}

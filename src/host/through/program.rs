//! The programs of other firewalls: whether they run here, and running them.

use std::fs::{self, File};
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

/// Waits until no other run of a program holds the lock on a file of its (fcntl(2)): what it leaves undone it is about to do.
pub(super) fn wait_for(lock: &Path) {
    let end = Instant::now() + PATIENCE;
    while is_locked(lock) && Instant::now() < end {
        std::thread::sleep(AGAIN);
    }
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
}

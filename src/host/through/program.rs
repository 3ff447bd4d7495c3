//! The programs of other firewalls: whether they run here, and running them.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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

/// Whether a program, be it written in Python, runs in this thread's network namespace.
pub(super) fn in_this_namespace(name: &str) -> bool {
    let Some(here) = network_of(Path::new("/proc/thread-self")) else { return false };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    processes.filter(|process| is(process, name)).any(|process| network_of(&process) == Some(here))
}

/// What tells the network namespace of one process from another's: each namespace has files of its own below /proc/PID/net, with
/// numbers of their own. /proc/PID/ns/net says the same, but not to a process with fewer capabilities than the other (ptrace(2)), as
/// those of our units are.
fn network_of(process: &Path) -> Option<(u64, u64)> {
    fs::metadata(process.join("net/dev")).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether a process is that program: by what was started, not by a name that it may have given itself.
fn is(process: &Path, name: &str) -> bool {
    let Ok(line) = fs::read(process.join("cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0).map(|word| Path::new(std::ffi::OsStr::from_bytes(word)));
    let file_is =
        |word: &Path, wanted: &dyn Fn(&[u8]) -> bool| word.file_name().is_some_and(|file| wanted(file.as_bytes()));
    let Some(first) = words.next() else { return false };
    if file_is(first, &|file| file == name.as_bytes()) {
        return true;
    }
    let mut rest = words.skip_while(|word| word.as_os_str().as_bytes().starts_with(b"-"));
    file_is(first, &|file| file.starts_with(b"python"))
        && rest.next().is_some_and(|script| file_is(script, &|file| file == name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_namespace_has_files_of_its_own() {
        let own = network_of(Path::new("/proc/thread-self"));
        assert!(own.is_some() && own == network_of(Path::new("/proc/self")));
        let unshared = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .is_ok()
                .then(|| network_of(Path::new("/proc/thread-self")))
        });
        // Without the right to have a namespace of its own there is nothing to compare.
        assert!(unshared.join().unwrap().is_none_or(|other| other.is_some() && other != own));
    }
}

//! The programs of other firewalls: whether they run here, and running them.

use std::fs;
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

/// Whether a program runs that has written its process's number into a file where only root writes. What a process calls itself is
/// no more than a word of whoever started it.
pub(super) fn runs_by(file: &Path, name: &str) -> bool {
    let Ok(number) = fs::read_to_string(file) else { return false };
    number.trim().parse::<u32>().is_ok_and(|number| {
        fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|called| called.trim() == name)
    })
}

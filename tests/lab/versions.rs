//! What this machine's kernel and tools are, for what older ones do otherwise.

use super::netns::attempt_anywhere;

/// The first numbers in a text, as `5.10.0-32-amd64` and `nftables v1.0.6 (Lester Gooch #5)` have them.
fn numbers(text: &str) -> (u32, u32, u32) {
    let begin = text.find(|c: char| c.is_ascii_digit()).unwrap_or_else(|| panic!("no version in `{text}`"));
    let version = text[begin..].split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

pub fn kernel() -> (u32, u32, u32) {
    numbers(&std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release"))
}

pub fn nft() -> (u32, u32, u32) {
    numbers(&attempt_anywhere(&["nft", "--version"], "").expect("nft says its version"))
}

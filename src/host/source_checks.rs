//! How the interfaces of this host check sources of IPv4 by the routes (`rp_filter`, RFC 3704): rules take a source for what it says.

use std::fs;
use std::path::Path;

/// Source: the kernel's Documentation/networking/ip-sysctl.rst: of the value for all interfaces and an interface's own the greater counts.
const FOLDER: &str = "/proc/sys/net/ipv4/conf";

/// Of each interface but loopback, by name: `off`, `strict` or `loose`. Those of which it cannot be read are left out.
#[must_use]
pub fn source_checks() -> Vec<(String, &'static str)> {
    of(Path::new(FOLDER))
}

fn of(folder: &Path) -> Vec<(String, &'static str)> {
    let value = |name: &str| -> Option<u8> {
        fs::read_to_string(folder.join(name).join("rp_filter")).ok()?.trim().parse().ok()
    };
    let Some(all) = value("all") else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !matches!(name.as_str(), "all" | "default" | "lo"));
    names.sort_unstable();
    let check = |name: String| {
        let rp_filter = match value(&name)?.max(all) {
            0 => "off",
            1 => "strict",
            _ => "loose",
        };
        Some((name, rp_filter))
    };
    names.into_iter().filter_map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_value_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("all", "1"), ("default", "0"), ("lo", "2"), ("eth0", "0"), ("eth1", "2")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("rp_filter"), format!("{value}\n")).unwrap();
        }
        assert_eq!(of(folder.path()), [("eth0".to_owned(), "strict"), ("eth1".to_owned(), "loose")]);
    }
}

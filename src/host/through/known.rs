//! Which other firewalls are set up on this host, whatever rules there are right now.

use std::fs;
use std::path::Path;

/// Units that load rules when the machine starts, and the program that each is of.
const UNITS: [(&str, &str); 12] = [
    ("firewalld.service", "firewalld"),
    ("ufw.service", "ufw"),
    ("nftables.service", "nftables.service"),
    ("netfilter-persistent.service", "netfilter-persistent"),
    ("iptables.service", "iptables.service"),
    ("ip6tables.service", "ip6tables.service"),
    ("shorewall.service", "Shorewall"),
    ("foomuuri.service", "Foomuuri"),
    ("fail2ban.service", "fail2ban"),
    ("docker.service", "Docker"),
    ("libvirtd.service", "libvirt"),
    ("kubelet.service", "Kubernetes"),
];

/// Where units are said to start with the machine (systemd.unit(5), [Install]).
const ENABLED: &str = "etc/systemd/system";

/// The programs whose units start with the machine, in the order of their names.
#[must_use]
pub fn at_start(root: &Path) -> Vec<&'static str> {
    let folders = fs::read_dir(root.join(ENABLED)).into_iter().flatten().flatten().map(|entry| entry.path());
    let wanted: Vec<_> = folders.filter(|path| path.extension().is_some_and(|end| end == "wants")).collect();
    let is_wanted = |unit: &str| wanted.iter().any(|folder| folder.join(unit).symlink_metadata().is_ok());
    let units = UNITS.iter().filter(|(unit, _)| is_wanted(unit));
    // ufw's unit does nothing unless its own file says so.
    let mut programs: Vec<&str> =
        units.map(|(_, program)| *program).filter(|program| *program != "ufw" || ufw_is_on(root)).collect();
    programs.sort_unstable();
    programs
}

fn ufw_is_on(root: &Path) -> bool {
    let text = fs::read_to_string(root.join("etc/ufw/ufw.conf")).unwrap_or_default();
    text.lines().any(|line| line.trim().eq_ignore_ascii_case("enabled=yes"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_starts_with_the_machine_is_named() {
        let root = tempfile::tempdir().unwrap();
        let wants = root.path().join(ENABLED).join("multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        assert!(at_start(root.path()).is_empty());
        for unit in ["ufw.service", "nftables.service", "cron.service"] {
            symlink(format!("/lib/systemd/system/{unit}"), wants.join(unit)).unwrap();
        }
        assert_eq!(at_start(root.path()), ["nftables.service"]);
        fs::create_dir_all(root.path().join("etc/ufw")).unwrap();
        fs::write(root.path().join("etc/ufw/ufw.conf"), "# on\nENABLED=yes\n").unwrap();
        assert_eq!(at_start(root.path()), ["nftables.service", "ufw"]);
    }
}

//! Which program made a table or a chain, by the names that it gives.

/// What a name begins with, or is, and who gives it.
const CHAINS: [(&str, &str); 23] = [
    ("ufw6-", "ufw"),
    ("ufw-", "ufw"),
    ("DOCKER", "Docker"),
    ("KUBE-", "Kubernetes"),
    ("cali-", "Calico"),
    ("CILIUM_", "Cilium"),
    ("f2b-", "fail2ban"),
    ("fail2ban-", "fail2ban"),
    ("NETAVARK", "netavark (Podman)"),
    ("CNI-", "CNI"),
    ("LIBVIRT_", "libvirt"),
    ("FORWARD_direct", "firewalld"),
    ("INPUT_direct", "firewalld"),
    ("IN_", "firewalld"),
    ("INPUT_ZONES", "firewalld"),
    ("INPUT_POLICIES", "firewalld"),
    ("INPUT_dispatch", "firewalld"),
    ("filter_IN", "firewalld"),
    ("sshguard", "SSHGuard"),
    ("tailscale", "Tailscale"),
    ("ts-", "Tailscale"),
    ("dynamic", "Shorewall"),
    ("net-fw", "Shorewall"),
];

const TABLES: [(&str, &str); 9] = [
    ("firewalld", "firewalld"),
    ("f2b-table", "fail2ban"),
    ("fail2ban", "fail2ban"),
    ("foomuuri", "Foomuuri"),
    ("libvirt_network", "libvirt"),
    ("netavark", "netavark (Podman)"),
    ("docker-bridges", "Docker"),
    ("kube-proxy", "Kubernetes"),
    ("sshguard", "SSHGuard"),
];

/// The program, where a name tells; `table` is family and name.
#[must_use]
pub fn owner(table: &str, chain: &str) -> Option<&'static str> {
    let name = table.split_once(' ').map_or(table, |(_, name)| name);
    let of_table = TABLES.iter().find(|(own, _)| *own == name);
    of_table.or_else(|| CHAINS.iter().find(|(own, _)| chain.starts_with(own))).map(|(_, program)| *program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_who_made_them() {
        assert_eq!(owner("inet firewalld", "filter_INPUT"), Some("firewalld"));
        assert_eq!(owner("ip filter", "ufw-user-input"), Some("ufw"));
        assert_eq!(owner("ip filter", "INPUT"), None);
        assert_eq!(owner("ip nat", "DOCKER"), Some("Docker"));
    }
}

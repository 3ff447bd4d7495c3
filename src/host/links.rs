//! The interfaces of this host, in the network namespace of the calling thread, and their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::net::Cidr;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its addresses, IPv4 first, in ascending order; IPv6 addresses without their scope.
    pub addresses: Vec<IpAddr>,
}

/// All interfaces, sorted by name, those without addresses too.
///
/// An IPv4 address may carry a label, which getifaddrs(3) shows in place of the interface's name. A label such as `eth0:1`
/// is taken back to `eth0`; any other label stands here as an interface of its own.
///
/// # Errors
/// Where the kernel does not tell.
pub fn links() -> io::Result<Vec<Link>> {
    let mut found: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for entry in getifaddrs()? {
        // No interface has a colon in its name (net/core/dev.c, dev_valid_name).
        let name = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        // An interface without addresses is there once, with its link-layer address.
        found.entry(name).or_default().extend(entry.address.as_ref().and_then(ip));
    }
    Ok(found.into_iter().map(|(name, addresses)| Link { name, addresses: addresses.into_iter().collect() }).collect())
}

/// The networks that this host's interfaces are in, sorted by interface and network; loopback is none.
///
/// # Errors
/// Where the kernel does not tell.
pub fn networks() -> io::Result<Vec<(String, Cidr)>> {
    let mut found = BTreeSet::new();
    for entry in getifaddrs()? {
        let name = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        let (Some(address), Some(mask)) = (entry.address.as_ref().and_then(ip), entry.netmask.as_ref().and_then(ip))
        else {
            continue;
        };
        let prefix_length = match mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        };
        if !address.is_loopback() {
            found.extend(Cidr::containing(address, prefix_length as u8).map(|network| (name, network)));
        }
    }
    Ok(found.into_iter().collect())
}

/// Whether an interface is, by its name, what programs make for containers and virtual machines that are on this host alone: no host
/// besides has an address there. Docker (`docker0`, `docker_gwbridge`, and `br-` with twelve digits of a network's number), libvirt (`virbr`),
/// LXC and LXD (`lxcbr`, `lxdbr`), Podman (`podman`, and `cni-podman`), and bridges of CNI (`cni`), with the ends that they have on the host (`veth`,
/// `vnet`).
#[must_use]
pub fn is_of_guests(name: &str) -> bool {
    let numbered = |before: &str| {
        name.strip_prefix(before).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let of_docker =
        name.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    of_docker
        || name == "docker_gwbridge"
        || name.starts_with("cni-")
        || name.starts_with("veth")
        || ["docker", "virbr", "lxcbr", "lxdbr", "podman", "cni", "vnet"].into_iter().any(numbered)
}

/// Whether the name `lo` is that of the loopback interface, whose index is 1 in every namespace. Kernels let it be renamed
/// (from 6.2 or so on even while it is up), and then another device take the name (seen on Linux 5.10 to 6.18).
#[must_use]
pub fn lo_is_loopback() -> bool {
    // Where sockets cannot be made at all, interfaces were not listed either.
    !matches!(nix::net::if_::if_nametoindex("lo"), Ok(2..) | Err(Errno::ENODEV))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::lab::{in_new_network, run};

    #[test]
    fn the_name_of_the_loopback_interface_may_be_taken() {
        let found = in_new_network(|| {
            let before = lo_is_loopback();
            run("ip", &["link", "set", "lo", "down"]);
            run("ip", &["link", "set", "lo", "name", "loop7"]);
            let without = lo_is_loopback();
            run("ip", &["link", "add", "lo", "type", "veth", "peer", "name", "a1"]);
            [before, without, lo_is_loopback()]
        });
        let Some(found) = found else { return };
        assert_eq!(found, [true, false, false]);
    }

    #[test]
    fn interfaces_and_their_addresses() {
        let found = in_new_network(|| {
            run("ip", &["link", "add", "b1", "type", "veth", "peer", "name", "a1"]);
            for address in ["10.9.0.2/24", "10.9.0.1/24", "fd09::1/64"] {
                run("ip", &["address", "add", address, "dev", "b1", "nodad"]);
            }
            run("ip", &["address", "add", "10.8.0.1/24", "dev", "b1", "label", "b1:x"]);
            let networks: Vec<String> =
                networks().unwrap().into_iter().map(|(name, network)| format!("{name} {network}")).collect();
            assert_eq!(networks, ["b1 10.8.0.0/24", "b1 10.9.0.0/24", "b1 fd09::/64"]);
            links().unwrap()
        });
        let Some(found) = found else { return };
        let shown: Vec<String> = found.iter().map(|link| format!("{} {:?}", link.name, link.addresses)).collect();
        assert_eq!(shown, ["a1 []", "b1 [10.8.0.1, 10.9.0.1, 10.9.0.2, fd09::1]", "lo [127.0.0.1, ::1]"]);
    }
}

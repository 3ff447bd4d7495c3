//! Interfaces, addresses and routes of the namespaces, by rtnetlink(7).

use std::net::IpAddr;

use nix::libc;
use nix::net::if_::if_nametoindex;

use super::RehearseError;
use super::room::{Room, setting};
use crate::dialect::netlink::{Protocol, Socket, Writer};

/// linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h, linux/veth.h.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RT_SCOPE_LINK: u8 = 253;

/// The other end of an interface of the host.
pub fn far_end(number: usize) -> String {
    format!("far{number}")
}

/// Makes an interface of the host and its other end, both up.
///
/// They have one address between them and do not ask for others': without ARP a frame goes to the address of the device that it leaves
/// by, and so it is taken at the other end.
pub fn cable(room: &Room, name: &str, number: usize) -> Result<(), RehearseError> {
    make_way(name, number)?;
    let mac = [2, 0, 0, 0, 0, number as u8 + 1];
    let mut socket = open()?;
    let asked = socket.ask(
        |sequence, flags| {
            let flags = flags | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
            let mut writer = Writer::default();
            writer.message(libc::RTM_NEWLINK, flags, sequence, |writer| {
                writer.raw(&link_header(0, 0));
                writer.text(IFLA_IFNAME, name);
                writer.attribute(IFLA_ADDRESS, &mac);
                writer.nest(IFLA_LINKINFO, |writer| {
                    writer.text(IFLA_INFO_KIND, "veth");
                    writer.nest(IFLA_INFO_DATA, |writer| {
                        writer.nest(VETH_INFO_PEER, |writer| {
                            writer.raw(&link_header(0, 0));
                            writer.text(IFLA_IFNAME, &far_end(number));
                            writer.attribute(IFLA_ADDRESS, &mac);
                            writer.attribute(IFLA_NET_NS_FD, &room.wire_fd().to_ne_bytes());
                        });
                    });
                });
            });
            writer.into_bytes()
        },
        |_| Ok(()),
    );
    asked.map_err(RehearseError::NoVeth)?;
    quiet(name);
    up(name)?;
    room.outside(|| {
        quiet(&far_end(number));
        up(&far_end(number))
    })
}

/// Gives a name free that a new namespace has already: the modules of tunnels make an interface in each (`tunl0`, `sit0`, `gre0`, `ip6tnl0`
/// and others, net.core.fb_tunnels_only_for_init_net), which cannot be deleted, and can be called something else while it is down.
fn make_way(name: &str, number: usize) -> Result<(), RehearseError> {
    let Ok(index) = if_nametoindex(name) else { return Ok(()) };
    let change = |new: Option<&str>| {
        request("an interface that is there already", libc::RTM_NEWLINK, 0, |writer| {
            let mut header = link_header(0, libc::IFF_UP as u32);
            header.splice(4..8, index.to_ne_bytes());
            writer.raw(&header);
            new.into_iter().for_each(|new| writer.text(IFLA_IFNAME, new));
        })
    };
    // Before Linux 6.2 only what is down can be called otherwise.
    change(None)?;
    change(Some(&format!("there{number}")))
}

/// Switches an interface on.
pub fn up(name: &str) -> Result<(), RehearseError> {
    const FLAGS: u32 = (libc::IFF_UP | libc::IFF_NOARP) as u32;
    let flags = if name == "lo" { libc::IFF_UP as u32 } else { FLAGS };
    let index = index(name)?;
    request("an interface", libc::RTM_NEWLINK, 0, |writer| {
        let mut header = link_header(flags, flags);
        header.splice(4..8, index.to_ne_bytes());
        writer.raw(&header);
    })
}

/// Gives an interface an address, which is there at once: nobody is asked whether he has it.
pub fn address(name: &str, address: IpAddr) -> Result<(), RehearseError> {
    let index = index(name)?;
    let create = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    request("an address", libc::RTM_NEWADDR, create, |writer| {
        let (family, bits, octets) = parts(address);
        let mut header = vec![family, bits, IFA_F_NODAD, 0];
        header.extend(index.to_ne_bytes());
        writer.raw(&header);
        writer.attribute(IFA_LOCAL, &octets);
        writer.attribute(IFA_ADDRESS, &octets);
    })
}

/// Whatever is on no interface of a family is behind this one; of several behind the first.
pub fn default_route(name: &str, ipv4: bool, number: usize) -> Result<(), RehearseError> {
    let index = index(name)?;
    let create = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    request("a route", libc::RTM_NEWROUTE, create, |writer| {
        let family = if ipv4 { libc::AF_INET } else { libc::AF_INET6 } as u8;
        // Scopes are IPv4's.
        let scope = if ipv4 { RT_SCOPE_LINK } else { 0 };
        writer.raw(&[family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0, 0, 0, 0]);
        writer.attribute(RTA_OIF, &index.to_ne_bytes());
        writer.attribute(RTA_PRIORITY, &(number as u32 + 1).to_ne_bytes());
    })
}

/// Takes the kernel's own opinions about sources out of the way, so that the rules have to stand alone: whether the way back leads
/// there (rp_filter), and whether a source may be this host's own or of loopback. The values of a new namespace may be the machine's.
pub fn quiet(name: &str) {
    for (key, value) in
        [("rp_filter", "0"), ("accept_local", "1"), ("route_localnet", "1"), ("log_martians", "0"), ("forwarding", "0")]
    {
        setting(&format!("ipv4/conf/{name}/{key}"), value);
    }
    for (key, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0"), ("forwarding", "0")] {
        setting(&format!("ipv6/conf/{name}/{key}"), value);
    }
}

fn index(name: &str) -> Result<u32, RehearseError> {
    if_nametoindex(name).map_err(|errno| RehearseError::system("looking for an interface", errno))
}

fn open() -> Result<Socket, RehearseError> {
    Socket::open(Protocol::Route).map_err(|error| RehearseError::system("opening a netlink socket", error))
}

fn request(what: &'static str, kind: u16, more: u16, write: impl FnOnce(&mut Writer)) -> Result<(), RehearseError> {
    let message = |sequence, flags: u16| {
        let mut writer = Writer::default();
        writer.message(kind, flags | more, sequence, write);
        writer.into_bytes()
    };
    open()?.ask(message, |_| Ok(())).map_err(|error| RehearseError::Network { what, error })
}

/// `struct ifinfomsg`.
fn link_header(flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 8];
    header.extend(flags.to_ne_bytes());
    header.extend(change.to_ne_bytes());
    header
}

/// The family, the bits and the bytes of an address.
fn parts(address: IpAddr) -> (u8, u8, Vec<u8>) {
    match address {
        IpAddr::V4(own) => (libc::AF_INET as u8, 32, own.octets().to_vec()),
        IpAddr::V6(own) => (libc::AF_INET6 as u8, 128, own.octets().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::lab::{in_new_network, run};
    use crate::host::links::links;

    /// As the modules of tunnels leave one in each namespace: it is no reason to rehearse nothing.
    #[test]
    fn a_name_that_is_there_already_is_given_free() {
        in_new_network(|| {
            let room = Room::enter().unwrap();
            for name in ["tunl0", "sit0"] {
                run("ip", &["link", "add", name, "type", "veth", "peer", "name", &format!("{name}-peer")]);
            }
            run("ip", &["link", "set", "sit0", "up"]);
            cable(&room, "tunl0", 0).unwrap();
            cable(&room, "sit0", 1).unwrap();
            let there: Vec<String> = links().unwrap().into_iter().map(|link| link.name).collect();
            for name in ["tunl0", "sit0", "there0", "there1"] {
                assert!(there.iter().any(|own| own == name), "{name}: {there:?}");
            }
        });
    }
}

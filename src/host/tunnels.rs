//! UDP ports at which this host takes packets out of others' (FOU and GUE), in the network namespace of the calling thread.
//!
//! What comes out of them goes straight to its protocol and passes no hook of netfilter, so no rule can judge it.
//!
//! INVARIANT (no trace): nothing is asked for by name, as the kernel would load a module to answer.

use nix::errno::Errno;

use crate::dialect::netlink::{Malformed, Message, Protocol, RequestError, Socket, Writer, attributes};

/// linux/genetlink.h and linux/fou.h.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const FOU_CMD_GET: u8 = 3;
const FOU_ATTR_PORT: u16 = 1;
const FOU_ATTR_TYPE: u16 = 4;
const FOU_ENCAP_GUE: u8 = 2;
const FAMILY: &[u8] = b"fou\0";
const VERSION: u8 = 1;
/// The bytes of `struct genlmsghdr`.
const HEADER: usize = 4;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// A port that takes packets out of others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tunnel {
    /// The UDP port.
    pub port: u16,
    /// Whether the packets say by themselves what is in them.
    pub gue: bool,
}

impl Tunnel {
    /// What is wrong with it.
    #[must_use]
    pub fn message(self) -> String {
        let kind = if self.gue { "GUE" } else { "FOU" };
        format!(
            "this host takes packets out of UDP port {} ({kind}, `ip fou show`): TCP inside passes no netfilter \
             hook, so no rule guards it; let no stranger send to that port",
            self.port
        )
    }
}

/// All of them, sorted; none where the kernel knows no such thing.
///
/// # Errors
/// Where the kernel does not tell.
pub fn tunnels() -> Result<Vec<Tunnel>, RequestError> {
    let mut socket = match Socket::open(Protocol::Generic) {
        Err(error) if error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32) => return Ok(Vec::new()),
        other => other?,
    };
    let Some(family) = family(&mut socket, FAMILY)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    dump(&mut socket, family, FOU_CMD_GET, |message| {
        found.extend(tunnel(message)?);
        Ok(())
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn family(socket: &mut Socket, wanted: &[u8]) -> Result<Option<u16>, RequestError> {
    let mut found = None;
    dump(socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, |message| {
        let (mut number, mut is_it) = (None, false);
        for attribute in attributes(message.payload.get(HEADER..).ok_or(Malformed)?) {
            match attribute? {
                (CTRL_ATTR_FAMILY_ID, value) => number = value.first_chunk().copied().map(u16::from_ne_bytes),
                (CTRL_ATTR_FAMILY_NAME, value) => is_it = value == wanted,
                _ => {}
            }
        }
        found = found.or(number.filter(|_| is_it));
        Ok(())
    })?;
    Ok(found)
}

fn tunnel(message: &Message<'_>) -> Result<Option<Tunnel>, Malformed> {
    let (mut port, mut gue) = (None, false);
    for attribute in attributes(message.payload.get(HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (FOU_ATTR_PORT, value) => port = Some(u16::from_be_bytes(*value.first_chunk().ok_or(Malformed)?)),
            (FOU_ATTR_TYPE, value) => gue = value.first() == Some(&FOU_ENCAP_GUE),
            _ => {}
        }
    }
    Ok(port.map(|port| Tunnel { port, gue }))
}

fn dump(
    socket: &mut Socket,
    family: u16,
    command: u8,
    mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
) -> Result<(), RequestError> {
    let request = |sequence| {
        let mut writer = Writer::with_capacity(32);
        writer.message(family, NLM_F_REQUEST | NLM_F_DUMP, sequence, |writer| {
            writer.raw(&[command, VERSION, 0, 0]);
        });
        writer.bytes().to_vec()
    };
    socket.dump(request, |message| Ok::<_, RequestError>(each(&message)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::netlink::messages;
    use crate::host::lab::{in_new_network, run};

    #[test]
    fn a_port_as_the_kernel_tells_it() {
        let mut writer = Writer::with_capacity(64);
        for (port, kind) in [(5555_u16, 1), (6666, FOU_ENCAP_GUE)] {
            writer.message(40, 2, 1, |writer| {
                writer.raw(&[1, VERSION, 0, 0]);
                writer.attribute(FOU_ATTR_PORT, &port.to_be_bytes());
                writer.attribute(FOU_ATTR_TYPE, &[kind]);
            });
        }
        let bytes = writer.bytes().to_vec();
        let found: Vec<Tunnel> = messages(&bytes).filter_map(|message| tunnel(&message.unwrap()).unwrap()).collect();
        assert_eq!(found, [Tunnel { port: 5555, gue: false }, Tunnel { port: 6666, gue: true }]);
        assert!(found[1].message().contains("UDP port 6666 (GUE"), "{}", found[1].message());
    }

    #[test]
    fn the_kernel_is_asked() {
        let found = in_new_network(|| {
            let mut socket = Socket::open(Protocol::Generic).unwrap();
            assert_eq!(family(&mut socket, b"nlctrl\0").unwrap(), Some(GENL_ID_CTRL));
            assert_eq!(family(&mut socket, b"no-such-family\0").unwrap(), None);
            if family(&mut socket, FAMILY).unwrap().is_none() {
                assert_eq!(tunnels().unwrap(), []);
                return;
            }
            assert_eq!(tunnels().unwrap(), []);
            run("ip", &["fou", "add", "port", "5555", "ipproto", "4"]);
            run("ip", &["fou", "add", "port", "6666", "gue"]);
            assert_eq!(tunnels().unwrap(), [Tunnel { port: 5555, gue: false }, Tunnel { port: 6666, gue: true }]);
        });
        let Some(()) = found else { return };
    }
}

//! Filters of tc, and BPF programs at the same place (tcx), before and behind the rules.
//!
//! Only the two places that every packet passes are looked at: ingress and egress of qdisc `clsact`, and `ingress`. A filter
//! that merely sorts what waits to be sent (as below `htb`) is not.

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::libc;

use super::devices::Device;
use super::{Fact, Found, Way, bpf_reason, or_not_looked};
use crate::dialect::netlink::bpf::{Point, programs_at};
use crate::dialect::netlink::{Malformed, Message, Protocol, RequestError, Socket, Writer, attributes, text_of};

/// linux/rtnetlink.h and linux/pkt_sched.h.
const TCA_KIND: u16 = 1;
/// The bytes of `struct tcmsg`: family, interface, handle, parent, info.
const HEADER: usize = 20;
const INDEX: usize = 4;
/// Where filters hang: below `ffff:` for `ingress`, which is in the same place as clsact's.
const INGRESS_ROOT: u32 = 0xffff_0000;
const CLSACT_INGRESS: u32 = 0xffff_fff2;
const CLSACT_EGRESS: u32 = 0xffff_fff3;
const REQUEST: &str = "RTM_GETTFILTER";
const QUERY: &str = "BPF_PROG_QUERY";
const TCX: &str = "BPF programs on interfaces (tcx)";

/// Kinds by interface.
type Kinds = BTreeMap<String, Vec<String>>;

pub fn look(devices: &[Device], facts: &mut Vec<Fact>) {
    for way in [Way::In, Way::Out] {
        let mut kinds = Kinds::new();
        let _ = or_not_looked(filters(devices, way, &mut kinds), "filters of tc", REQUEST, facts);
        if let Err(errno) = programs(devices, way, &mut kinds) {
            facts.push(Fact::not_looked(TCX, bpf_reason(errno), QUERY));
        }
        facts.extend(grouped(way, kinds));
    }
}

/// Interfaces with the same kinds share a line.
fn grouped(way: Way, kinds: Kinds) -> Vec<Fact> {
    let mut groups: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (interface, mut own) in kinds {
        own.sort_unstable();
        own.dedup();
        groups.entry(own).or_default().push(interface);
    }
    let fact = |(kinds, interfaces)| Fact::new(Found::Filters { way, kinds, interfaces }, REQUEST);
    groups.into_iter().map(fact).collect()
}

fn programs(devices: &[Device], way: Way, kinds: &mut Kinds) -> Result<(), Errno> {
    for device in devices {
        let point = match way {
            Way::In => Point::TcxIngress(device.index),
            Way::Out => Point::TcxEgress(device.index),
        };
        if programs_at(point)? > 0 {
            kinds.entry(device.name.clone()).or_default().push("tcx".to_owned());
        }
    }
    Ok(())
}

fn filters(devices: &[Device], way: Way, kinds: &mut Kinds) -> Result<(), RequestError> {
    let mut socket = Socket::open(Protocol::Route)?;
    for (index, parent) in places(&mut socket, way)? {
        let Some(device) = devices.iter().find(|device| device.index == index) else { continue };
        dump(&mut socket, libc::RTM_GETTFILTER, index, parent, |message| {
            if message.kind == libc::RTM_NEWTFILTER {
                kinds.entry(device.name.clone()).or_default().extend(kind(message)?);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Interfaces with a qdisc for this way, and below what its filters hang.
fn places(socket: &mut Socket, way: Way) -> Result<Vec<(u32, u32)>, RequestError> {
    let mut found = Vec::new();
    dump(socket, libc::RTM_GETQDISC, 0, 0, |message| {
        let index = message.payload.get(INDEX..).and_then(<[u8]>::first_chunk).copied().ok_or(Malformed)?;
        let parent = match (kind(message)?.as_deref(), way) {
            (Some("clsact"), Way::In) => CLSACT_INGRESS,
            (Some("clsact"), Way::Out) => CLSACT_EGRESS,
            (Some("ingress"), Way::In) => INGRESS_ROOT,
            _ => return Ok(()),
        };
        found.push((u32::from_ne_bytes(index), parent));
        Ok(())
    })?;
    Ok(found)
}

fn kind(message: &Message<'_>) -> Result<Option<String>, Malformed> {
    let mut own = None;
    for attribute in attributes(message.payload.get(HEADER..).ok_or(Malformed)?) {
        if let (TCA_KIND, value) = attribute? {
            own = Some(text_of(value));
        }
    }
    Ok(own)
}

fn dump(
    socket: &mut Socket,
    kind: u16,
    index: u32,
    parent: u32,
    mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
) -> Result<(), RequestError> {
    let request = |sequence| {
        let mut writer = Writer::with_capacity(64);
        writer.message(kind, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, sequence, |writer| {
            for number in [0, index, 0, parent, 0] {
                writer.raw(&number.to_ne_bytes());
            }
        });
        writer.into_bytes()
    };
    socket.dump(request, |message| Ok::<_, RequestError>(each(&message)?))
}

//! The sets of ipset, with what is in them (linux/netfilter/ipset/ip_set.h).
//!
//! An answer is a list of messages. The first one of a set has its type and options, in the words of which it means what
//! [`content`](crate::dialect::ipset::content) says; a long set goes on in messages that have its name and more elements.
//!
//! INVARIANT (unread is not empty): a type, an option, a flag or an attribute that is not known makes the set unknown, and so does
//! another number of elements than it is said to have. Only what nobody but the kernel's memory minds is passed over.
//!
//! INVARIANT (one moment): the kernel does not say when sets change while they are read. So they are read until two readings are
//! alike, and a set that never is alike is unknown.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

mod element;

use super::attributes::{Malformed, Message, Writer, attributes, find, text_of, u32_of};
use super::constants::*;
use super::socket::{RequestError, Socket};
use crate::dialect::ipset::content::{self, Content, EXPANDED, Holds};
use crate::dialect::iptables::name as ir_name;
use crate::ir::{Elements, Set};
use element::{Element, Port};

/// Who changes sets does so some times a second; a reading takes milliseconds.
const ATTEMPTS: usize = 10;

/// The sets of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpSets {
    /// By their names.
    pub sets: BTreeMap<String, Set>,
    /// What in them is not known, by their names.
    pub unknown: BTreeMap<String, String>,
    /// Those whose elements may be other sets: who changes them may change those.
    pub lists: BTreeSet<String>,
}

/// Reads them. Where the kernel has no ipset, there are none; asking loads it where it is a module.
///
/// # Errors
/// Where the kernel refuses, or makes no sense.
pub fn ip_sets(socket: &mut Socket) -> Result<IpSets, RequestError> {
    settled(|| match read_once(socket) {
        // Nobody here answers for this subsystem.
        Err(RequestError::Refused(refusal)) if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP) => {
            Ok(IpSets::default())
        }
        other => other,
    })
}

/// Reads until two readings are alike.
fn settled(mut read: impl FnMut() -> Result<IpSets, RequestError>) -> Result<IpSets, RequestError> {
    let mut before: Option<IpSets> = None;
    let mut last = Err(RequestError::Interrupted);
    for _ in 0..ATTEMPTS {
        last = match (read(), before.take()) {
            (Ok(now), Some(then)) if now == then => return Ok(now),
            (Ok(now), Some(then)) => {
                before = Some(now.clone());
                Ok(then.in_common(now))
            }
            (Ok(now), None) => {
                before = Some(now);
                Err(RequestError::Interrupted)
            }
            // A set that was renamed or swapped in the midst of it.
            (Err(again @ (RequestError::Interrupted | RequestError::Malformed(_))), _) => Err(again),
            (Err(other), _) => return Err(other),
        };
    }
    last
}

fn read_once(socket: &mut Socket) -> Result<IpSets, RequestError> {
    let mut reading = Reading::default();
    let request = |sequence| {
        let mut writer = Writer::default();
        writer.message(NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST, NLM_F_REQUEST | NLM_F_DUMP, sequence, |writer| {
            writer.raw(&[NFPROTO_UNSPEC, 0, 0, 0]);
            writer.attribute(IPSET_ATTR_PROTOCOL, &[IPSET_PROTOCOL]);
        });
        writer.into_bytes()
    };
    socket.dump(request, |message| reading.take(&message).map_err(RequestError::from))?;
    Ok(reading.finish())
}

impl IpSets {
    /// What two readings say alike; all else is unknown.
    fn in_common(&self, mut now: Self) -> Self {
        for (name, set) in &self.sets {
            let same = now.sets.get(name) == Some(set) && now.unknown.get(name) == self.unknown.get(name);
            if !same {
                now.sets.entry(name.clone()).or_insert_with(|| set.clone()).elements = Elements::Unknown;
                now.unknown.entry(name.clone()).or_insert_with(|| CHANGED.to_owned());
            }
        }
        for (name, set) in now.sets.iter_mut().filter(|(name, _)| !self.sets.contains_key(*name)) {
            set.elements = Elements::Unknown;
            now.unknown.entry(name.clone()).or_insert_with(|| CHANGED.to_owned());
        }
        now.lists.extend(self.lists.iter().cloned());
        now
    }
}

const CHANGED: &str = "changed while it was read";

/// Sets that are being read.
#[derive(Default)]
struct Reading {
    list: Vec<Entry>,
    names: BTreeSet<String>,
    expanded: usize,
}

struct Entry {
    name: String,
    content: Content<'static>,
    /// How many elements it is said to have, and how many there were.
    said: Option<u32>,
    seen: u32,
}

impl Reading {
    /// A message of the answer.
    fn take(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let body = message.payload.get(4..).ok_or(Malformed)?;
        let of = |wanted| find(body, wanted)?.ok_or(Malformed);
        let protocol = byte(of(IPSET_ATTR_PROTOCOL)?)?;
        let expected = message.kind == (NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST);
        if !expected || !(IPSET_PROTOCOL_MIN..=IPSET_PROTOCOL).contains(&protocol) {
            return Err(Malformed);
        }
        let name = text_of(of(IPSET_ATTR_SETNAME)?);
        if let Some(kind) = find(body, IPSET_ATTR_TYPENAME)? {
            // Whatever has been told already has another name now, or another set has this one.
            if !self.names.insert(name.clone()) {
                return Err(Malformed);
            }
            self.list.push(Entry::new(name.clone(), &text_of(kind), body)?);
            self.expanded = EXPANDED;
        }
        let entry = self.list.last_mut().filter(|entry| entry.name == name).ok_or(Malformed)?;
        for attribute in attributes(body) {
            match attribute? {
                (IPSET_ATTR_ADT, elements) => entry.add(elements, &mut self.expanded)?,
                (
                    IPSET_ATTR_PROTOCOL | IPSET_ATTR_SETNAME | IPSET_ATTR_TYPENAME | IPSET_ATTR_REVISION
                    | IPSET_ATTR_FAMILY | IPSET_ATTR_DATA | IPSET_ATTR_INDEX,
                    _,
                ) => {}
                (other, _) => entry.content.doubt_all(format!("attribute {other}")),
            }
        }
        Ok(())
    }

    fn finish(self) -> IpSets {
        let mut found = IpSets::default();
        let mut all = Vec::with_capacity(self.list.len());
        for Entry { name, mut content, said, seen } in self.list {
            // What has run out counts until the kernel clears it away.
            let passed = content.is_passing() && said.is_some_and(|said| seen < said);
            if said != Some(seen) && !passed {
                content.doubt_all("members that are not listed");
            }
            // A name that stands for bytes that cannot be shown may be the name of another set, too.
            if name.contains('\\') {
                content.doubt_all("a name that is no text");
            }
            if content.is_list() {
                found.lists.insert(ir_name(&name));
            }
            all.push((name, content));
        }
        for (set, doubt) in content::sets(all) {
            found.unknown.extend(doubt.map(|(_, text)| (set.name.clone(), text.into_owned())));
            found.sets.insert(set.name.clone(), set);
        }
        found
    }
}

impl Entry {
    /// An empty set.
    fn new(name: String, kind: &str, body: &[u8]) -> Result<Self, Malformed> {
        let data = find(body, IPSET_ATTR_DATA)?.ok_or(Malformed)?;
        let revision = find(body, IPSET_ATTR_REVISION)?.map(byte).transpose()?;
        let family = find(body, IPSET_ATTR_FAMILY)?.map(byte).transpose()?;
        let options = options(kind, revision, family, data)?;
        let content = Content::new(kind, options.iter().map(Cow::as_ref), 0).into_owned();
        let said = find(data, IPSET_ATTR_ELEMENTS)?.map(u32_of).transpose()?;
        Ok(Self { name, content, said, seen: 0 })
    }

    fn add(&mut self, elements: &[u8], expanded: &mut usize) -> Result<(), Malformed> {
        for element in attributes(elements) {
            let (kind, element) = element?;
            if kind != IPSET_ATTR_DATA {
                self.content.doubt_all(format!("attribute {kind} among the members"));
            }
            self.seen = self.seen.saturating_add(1);
            if self.content.is_unknown() {
                continue;
            }
            let element = Element::of(element)?;
            let taken = element.doubt.is_none() && self.take(&element, expanded);
            if !taken {
                self.content.doubt_all(element.to_string());
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Adds an element; false if the set takes none of its kind.
    fn take(&mut self, element: &Element, expanded: &mut usize) -> bool {
        if element.passing && !self.content.is_passing() {
            return false;
        }
        if let Holds::Several(_) = self.content.holds() {
            return element.tuple().is_some_and(|tuple| self.content.add_tuple(tuple));
        }
        if element.is_of_more() {
            return false;
        }
        match (self.content.holds(), element.range(), element.endpoint, &element.set) {
            (Holds::Addresses | Holds::Networks, Some(own), None, None) if element.excepted => self.content.except(own),
            (Holds::Addresses | Holds::Networks, Some(own), None, None) => self.content.add(own, expanded),
            (Holds::Ports, None, Some(Port { port: Some(port), protocol: None }), None) if !element.excepted => {
                self.content.add_ports(port, port)
            }
            (Holds::Sets, None, None, Some(name)) if !element.excepted => self.content.add_set(name),
            _ => false,
        }
    }
}

/// The newest revision of a type of which it is known what it means.
fn newest(kind: &str) -> u8 {
    match kind {
        "hash:ip" | "hash:ip,port,ip" => 6,
        "bitmap:ip" | "bitmap:port" | "list:set" => 3,
        "hash:net" | "hash:ip,port" => 7,
        "hash:net,port" | "hash:ip,port,net" | "hash:net,iface" => 8,
        "hash:net,net" => 4,
        "hash:net,port,net" | "hash:ip,mark" | "bitmap:ip,mac" => 3,
        "hash:ip,mac" | "hash:mac" => 1,
        // Nothing is known of its elements anyway.
        _ => u8::MAX,
    }
}

/// What a set is, in the words of `ipset save`; what that has no words for, in words that it never uses.
fn options(
    kind: &str,
    revision: Option<u8>,
    family: Option<u8>,
    data: &[u8],
) -> Result<Vec<Cow<'static, str>>, Malformed> {
    let family = match family {
        Some(NFPROTO_IPV4) => "inet",
        Some(NFPROTO_IPV6) => "inet6",
        _ => "unspec",
    };
    let mut words: Vec<Cow<'static, str>> = vec!["family".into(), family.into()];
    match revision {
        Some(revision) if revision <= newest(kind) => {}
        Some(revision) => words.push(format!("revision {revision}").into()),
        None => words.push("no revision".into()),
    }
    for attribute in attributes(data) {
        let (attribute, value) = attribute?;
        match attribute {
            IPSET_ATTR_HASHSIZE
            | IPSET_ATTR_MAXELEM
            | IPSET_ATTR_BUCKETSIZE
            | IPSET_ATTR_INITVAL
            | IPSET_ATTR_ELEMENTS
            | IPSET_ATTR_REFERENCES
            | IPSET_ATTR_MEMSIZE => {}
            // The ranges of bitmap:ip, bitmap:ip,mac and bitmap:port.
            IPSET_ATTR_IP | IPSET_ATTR_IP_TO | IPSET_ATTR_PORT | IPSET_ATTR_PORT_TO => {}
            IPSET_ATTR_CADT_FLAGS => words.extend(create_flags(u32_of(value)?)),
            IPSET_ATTR_TIMEOUT => words.extend(["timeout".into(), u32_of(value)?.to_string().into()]),
            IPSET_ATTR_NETMASK => words.extend(["netmask".into(), byte(value)?.to_string().into()]),
            IPSET_ATTR_BITMASK => words.push("bitmask".into()),
            IPSET_ATTR_MARKMASK => {
                let mask = <[u8; 4]>::try_from(value).map(u32::from_ne_bytes).map_err(|_| Malformed)?;
                words.extend(["markmask".into(), format!("{mask:#010x}").into()]);
            }
            IPSET_ATTR_SIZE => words.extend(["size".into(), u32_of(value)?.to_string().into()]),
            other => words.push(format!("attribute {other}").into()),
        }
    }
    Ok(words)
}

fn create_flags(flags: u32) -> impl Iterator<Item = Cow<'static, str>> {
    const NAMES: [(u32, &str); 4] = [
        (IPSET_FLAG_WITH_COUNTERS, "counters"),
        (IPSET_FLAG_WITH_COMMENT, "comment"),
        (IPSET_FLAG_WITH_FORCEADD, "forceadd"),
        (IPSET_FLAG_WITH_SKBINFO, "skbinfo"),
    ];
    let rest = NAMES.iter().fold(flags, |rest, (bit, _)| rest & !bit);
    let named = NAMES.iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| Cow::from(*name));
    named.chain((rest != 0).then(|| format!("flags {rest:#x}").into()))
}

fn byte(value: &[u8]) -> Result<u8, Malformed> {
    match value {
        [own] => Ok(*own),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests;

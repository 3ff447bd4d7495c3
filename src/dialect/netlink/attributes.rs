//! Netlink's messages and attributes (RFC 3549; linux/netlink.h): a length and a type in the host's byte order, a value,
//! and zeros up to a multiple of four bytes. What nf_tables keeps in an attribute is in network order.

use thiserror::Error;

/// The bytes of a message header.
pub const HEADER: usize = 16;
/// The bytes of an attribute's header.
const ATTRIBUTE: usize = 4;
/// NLA_F_NESTED, and all flags of an attribute's type.
const NESTED: u16 = 0x8000;
const FLAGS: u16 = 0xc000;

/// Bytes that are no netlink messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed netlink message")]
pub struct Malformed;

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Subsystem and kind.
    pub kind: u16,
    /// NLM_F_…
    pub flags: u16,
    /// Which request it answers.
    pub sequence: u32,
    /// What is behind the header.
    pub payload: &'a [u8],
    /// All of it, header included.
    pub whole: &'a [u8],
}

/// The messages in some bytes.
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    std::iter::from_fn(move || {
        let header: [u8; HEADER] = *rest.first_chunk()?;
        let [a, b, c, d, kind_low, kind_high, flags_low, flags_high, s0, s1, s2, s3, ..] = header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(payload) = rest.get(HEADER..length) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        let message = Message {
            kind: u16::from_ne_bytes([kind_low, kind_high]),
            flags: u16::from_ne_bytes([flags_low, flags_high]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload,
            whole: rest.get(..length).unwrap_or_default(),
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(message))
    })
}

/// The attributes in some bytes, as type (without flags) and value.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    flagged_attributes(bytes).map(|one| one.map(|(kind, value)| (kind & !FLAGS, value)))
}

/// The same, with the flags in the type.
pub fn flagged_attributes(mut rest: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let one = split(rest);
        rest = one.map_or(&[], |(.., behind)| behind);
        Some(one.map(|(kind, value, _)| (kind, value)).ok_or(Malformed))
    })
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [a, b, c, d] = *bytes.first_chunk()?;
    let length = usize::from(u16::from_ne_bytes([a, b]));
    let kind = u16::from_ne_bytes([c, d]);
    let value = bytes.get(ATTRIBUTE..length)?;
    Some((kind, value, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The value of the attribute of a type, if it is there. The last one counts, as it does for the kernel.
pub fn find(bytes: &[u8], wanted: u16) -> Result<Option<&[u8]>, Malformed> {
    let mut found = None;
    for attribute in attributes(bytes) {
        let (kind, value) = attribute?;
        if kind == wanted {
            found = Some(value);
        }
    }
    Ok(found)
}

/// A number in network order.
pub fn u32_of(value: &[u8]) -> Result<u32, Malformed> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| Malformed)
}

/// A number in network order.
pub fn u64_of(value: &[u8]) -> Result<u64, Malformed> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| Malformed)
}

/// A name, without its end mark. What is no text to be shown becomes one that means nothing to the kernel, and that is
/// another for other bytes.
pub fn text_of(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) if !text.contains(|one: char| one.is_control() || one == '\\') => text.to_owned(),
        _ => text.escape_ascii().to_string(),
    }
}

/// Messages that are being written.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// One with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Puts finished messages or attributes behind the others.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// A message; `write` writes what is behind its header.
    pub fn message(&mut self, kind: u16, flags: u16, sequence: u32, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        write(self);
        let length = (self.bytes.len() - start) as u32;
        if let Some(slot) = self.bytes.get_mut(start..start + 4) {
            slot.copy_from_slice(&length.to_ne_bytes());
        }
        self.pad();
    }

    /// An attribute with a value. Values are names, numbers and keys: far below the 64 KiB that one can hold.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        debug_assert!(value.len() < usize::from(u16::MAX) - ATTRIBUTE);
        self.bytes.extend_from_slice(&((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A name, with its end mark.
    pub fn text(&mut self, kind: u16, text: &str) {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.attribute(kind, &value);
    }

    /// A number, in network order.
    pub fn u32(&mut self, kind: u16, number: u32) {
        self.attribute(kind, &number.to_be_bytes());
    }

    /// An attribute that holds others.
    pub fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        write(self);
        let length = (self.bytes.len() - start) as u16;
        if let Some(slot) = self.bytes.get_mut(start..start + 2) {
            slot.copy_from_slice(&length.to_ne_bytes());
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

//! What bpf(2) tells of programs that packets meet: how many stand at a place, and those at netfilter's hooks.
//!
//! INVARIANT (looks only): nothing is loaded, attached or held; outside of tests no command is used that changes anything.

#![allow(unsafe_code, reason = "no library has bpf(2), which takes a pointer")]

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;

/// linux/bpf.h.
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_PROG_QUERY: i32 = 16;
const BPF_LINK_GET_FD_BY_ID: i32 = 30;
const BPF_LINK_GET_NEXT_ID: i32 = 31;
const BPF_SK_LOOKUP: u32 = 36;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_LINK_TYPE_NETFILTER: u32 = 10;
/// More than the kernel reads of any command that is used here; what is behind that has to be zero, and is.
const WORDS: usize = 24;

/// Where programs may stand.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    /// At the search for a socket in a network namespace.
    SkLookup(BorrowedFd<'a>),
    /// At an interface (by number), before netfilter sees what came in.
    TcxIngress(u32),
    /// At an interface, behind everything that netfilter does to what goes out.
    TcxEgress(u32),
}

/// A program at a hook of netfilter, of whichever network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetfilterLink {
    /// NFPROTO_…
    pub family: u32,
    /// NF_INET_…
    pub hook: u32,
    /// Lower ones come first.
    pub priority: i32,
}

/// How many programs stand at a place; none where the kernel knows no such place.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the machine.
pub fn programs_at(point: Point<'_>) -> Result<u32, Errno> {
    let (target, kind) = match point {
        Point::SkLookup(namespace) => (namespace.as_raw_fd() as u32, BPF_SK_LOOKUP),
        Point::TcxIngress(interface) => (interface, BPF_TCX_INGRESS),
        Point::TcxEgress(interface) => (interface, BPF_TCX_EGRESS),
    };
    let mut words = [0; WORDS];
    fill(&mut words, &[target, kind]);
    match call(BPF_PROG_QUERY, &mut words) {
        // prog_cnt stands behind four numbers and a pointer.
        Ok(_) => Ok(words.get(6).copied().unwrap_or_default()),
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENODEV | Errno::ENOENT) => Ok(0),
        Err(error) => Err(error),
    }
}

/// The programs at netfilter's hooks; none where the kernel knows no such thing (before Linux 6.4).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN over the machine.
pub fn netfilter_links() -> Result<Vec<NetfilterLink>, Errno> {
    let mut found = Vec::new();
    let mut last = 0;
    loop {
        let mut words = [0; WORDS];
        fill(&mut words, &[last]);
        match call(BPF_LINK_GET_NEXT_ID, &mut words) {
            Ok(_) => last = words.get(1).copied().unwrap_or_default(),
            // The end; or a kernel without links.
            Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOSYS) => break,
            Err(error) => return Err(error),
        }
        found.extend(netfilter_link(last)?);
    }
    found.sort_unstable();
    Ok(found)
}

fn netfilter_link(id: u32) -> Result<Option<NetfilterLink>, Errno> {
    let mut words = [0; WORDS];
    fill(&mut words, &[id]);
    let link = match call(BPF_LINK_GET_FD_BY_ID, &mut words) {
        // SAFETY: the kernel made this descriptor just now, for nobody else.
        Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd) },
        // It went away meanwhile.
        Err(Errno::ENOENT | Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut info = [0_u32; WORDS];
    let place = info.as_mut_ptr() as usize as u64;
    let mut words = [0; WORDS];
    fill(&mut words, &[link.as_raw_fd() as u32, size_of_val(&info) as u32, place as u32, (place >> 32) as u32]);
    if cfg!(target_endian = "big") {
        fill(&mut words, &[link.as_raw_fd() as u32, size_of_val(&info) as u32, (place >> 32) as u32, place as u32]);
    }
    call(BPF_OBJ_GET_INFO_BY_FD, &mut words)?;
    // type, id, program and four bytes without meaning; then what the type has.
    let [kind, _, _, _, family, hook, priority, ..] = info;
    let is_it = kind == BPF_LINK_TYPE_NETFILTER;
    Ok(is_it.then_some(NetfilterLink { family, hook, priority: priority.cast_signed() }))
}

fn fill(words: &mut [u32; WORDS], with: &[u32]) {
    for (word, value) in words.iter_mut().zip(with) {
        *word = *value;
    }
}

/// `union bpf_attr` begins with 64-bit words in some commands.
#[repr(align(8))]
struct Aligned([u32; WORDS]);

fn call(command: i32, words: &mut [u32; WORDS]) -> Result<i32, Errno> {
    let mut aligned = Aligned(*words);
    // SAFETY: the kernel reads and writes at most the size given. Where a command has a pointer in it, whoever filled it in
    // keeps alive what it points to, and says how long that is.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, command, (&raw mut aligned.0).cast::<libc::c_void>(), size_of::<Aligned>())
    };
    *words = aligned.0;
    Errno::result(answer).map(|number| number as i32)
}

/// Programs of two instructions, for tests: they let everything be as it is.
#[cfg(test)]
pub mod lab {
    use super::*;

    const BPF_PROG_LOAD: i32 = 5;
    const BPF_LINK_CREATE: i32 = 28;

    /// A kind of program, where it may be attached, and what it answers. See linux/bpf.h.
    #[derive(Clone, Copy)]
    pub struct Kind {
        program: u32,
        place: u32,
        answer: u64,
    }

    /// At an interface, before everything.
    pub const XDP: Kind = Kind { program: 6, place: 37, answer: 2 };
    /// At an interface, before netfilter.
    pub const TCX_INGRESS: Kind = Kind { program: 3, place: BPF_TCX_INGRESS, answer: 0 };
    /// At an interface, behind netfilter.
    pub const TCX_EGRESS: Kind = Kind { program: 3, place: BPF_TCX_EGRESS, answer: 0 };
    /// At the search for a socket.
    pub const SK_LOOKUP: Kind = Kind { program: 30, place: BPF_SK_LOOKUP, answer: 1 };
    /// At a hook of netfilter.
    pub const NETFILTER: Kind = Kind { program: 32, place: 45, answer: 1 };

    fn made(command: i32, with: &[u32]) -> Result<OwnedFd, Errno> {
        let mut words = [0; WORDS];
        fill(&mut words, with);
        // SAFETY: the kernel made this descriptor just now, for nobody else.
        call(command, &mut words).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Attaches one to a target (descriptor or number of an interface), with what its kind wants besides; it stays until the
    /// answer is dropped.
    pub fn attach(kind: Kind, target: u32, besides: &[u32]) -> Result<OwnedFd, Errno> {
        // r0 = answer; exit
        let instructions: [u64; 2] = [0xb7 | kind.answer << 32, 0x95];
        let license = *b"GPL\0";
        let pointer = |place: usize| [place as u32, (place as u64 >> 32) as u32];
        let [low, high] = pointer(instructions.as_ptr() as usize);
        let [license_low, license_high] = pointer(license.as_ptr() as usize);
        let mut load = [0; 18];
        load[..6].copy_from_slice(&[kind.program, 2, low, high, license_low, license_high]);
        load[17] = if kind.program == 3 { 0 } else { kind.place };
        let program = made(BPF_PROG_LOAD, &load)?;
        let mut link = vec![program.as_raw_fd() as u32, target, kind.place, 0];
        link.extend_from_slice(besides);
        made(BPF_LINK_CREATE, &link)
    }
}

//! What the kernel tells of the routing. A host with a routing daemon changes thousands of routes a second, so what cannot
//! matter is passed over at once; what may matter is only a reason to look.

use nix::libc;

use super::kernel;
use crate::dialect::netlink::Message;

/// The groups of rtnetlink(7), as bits: links, routes and rules of both families.
pub const GROUPS: u32 = 0x1 | 0x40 | 0x80 | 0x400 | 1 << 18;

/// Whether it may change what is this host's.
#[must_use]
pub fn may_matter(message: &Message<'_>) -> bool {
    match message.kind {
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => kernel::may_be_elsewhere(message),
        _ => true,
    }
}

//! Whether the kernel knows an extension of iptables (linux/netfilter/nf_tables_compat.h). Both of iptables' ways into the
//! kernel share these, so the answer holds for the old tables, too, but only kernels with nft_compat can be asked. Asking loads
//! the module, as using it does.

use nix::errno::Errno;

use super::constants::*;
use super::socket::{RequestError, Socket};

/// What kind of extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `-m NAME`.
    Match,
    /// `-j NAME`.
    Target,
}

/// Whether the kernel knows it, in whatever revision; `None` where it cannot be asked.
///
/// # Errors
/// Where the right to ask is missing, or the answer.
pub fn is_known(socket: &mut Socket, family: u8, kind: Kind, name: &str) -> Result<Option<bool>, RequestError> {
    let asked = (NFNL_SUBSYS_NFT_COMPAT << 8) | NFNL_MSG_COMPAT_GET;
    let request = |sequence, flags| {
        let mut writer = super::attributes::Writer::default();
        writer.message(asked, flags, sequence, |writer| {
            writer.raw(&[family, 0, 0, 0]);
            writer.text(NFTA_COMPAT_NAME, name);
            writer.u32(NFTA_COMPAT_REV, 0);
            writer.u32(NFTA_COMPAT_TYPE, u32::from(kind == Kind::Target));
        });
        writer.into_bytes()
    };
    match socket.ask(request, |_| Ok(())) {
        Ok(()) => Ok(Some(true)),
        Err(RequestError::Refused(refusal)) => match refusal.errno {
            Errno::ENOENT => Ok(Some(false)),
            // Known, in another revision.
            Errno::EPROTONOSUPPORT => Ok(Some(true)),
            // Nobody here answers for this subsystem.
            Errno::EINVAL | Errno::EOPNOTSUPP => Ok(None),
            _ => Err(RequestError::Refused(refusal)),
        },
        Err(error) => Err(error),
    }
}

//! What a change does that waits to be confirmed.

use crate::cluster::Site;
use crate::diff::difference_on_host;
use crate::host::apply::Host;
use crate::host::identity::on_this_host;
use crate::host::pending::{self, Pending};
use crate::host::{Backend, read, record};
use crate::ir::Ruleset;
use crate::report::{Changes, Names};

/// What a change that waits has changed, see [`changes_to`].
pub fn changes_of(host: &Host, pending: &Pending) -> Option<Changes> {
    let new = record::kept(&host.store, record::CANDIDATE).ok().flatten()?.load().cluster?;
    let site = on_this_host(pending.record.site(&new)?).ok()?;
    changes_to(host, pending, &site, &read(pending.backend).ok()?.ruleset)
}

/// What a change that waits has changed to what is in force now, where that can be told: of iptables the rules before are kept as the
/// tools wrote them. The kernel is not asked.
pub fn changes_to(host: &Host, pending: &Pending, site: &Site<'_>, now: &Ruleset) -> Option<Changes> {
    if pending.backend != Backend::Nft {
        return None;
    }
    let before = pending::before(&host.store, pending).ok()?;
    let before = if before.is_nothing() { Ruleset::default() } else { before.ruleset()? };
    let old = record::kept(&host.store, record::GOOD).ok().flatten().and_then(|kept| kept.load().cluster);
    let found = difference_on_host(&before, now, site.elsewhere()).ok()?;
    Some(Changes::of(&found, Names { clusters: [old.as_ref(), Some(site.cluster())] }))
}

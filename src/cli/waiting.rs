//! What a change does that waits to be confirmed.

use crate::diff::difference_on_host;
use crate::host::apply::Host;
use crate::host::identity::on_this_host;
use crate::host::pending::{self, Pending};
use crate::host::{Backend, read, record};
use crate::ir::Ruleset;
use crate::report::{Changes, Names};

/// What a change that waits has changed, where that can be told: of iptables the rules before are kept as the tools wrote them.
pub fn changes_of(host: &Host, pending: &Pending) -> Option<Changes> {
    let before = pending::before(&host.store, pending).ok()?;
    if pending.backend != Backend::Nft {
        return None;
    }
    let before = if before.is_nothing() { Ruleset::default() } else { before.ruleset()? };
    let [old, new] = [record::GOOD, record::CANDIDATE].map(|set| record::kept(&host.store, set).ok().flatten());
    let [old, new] = [old, new].map(|kept| kept.and_then(|kept| kept.load().cluster));
    let site = on_this_host(pending.record.site(new.as_ref()?)?).ok()?;
    let found = difference_on_host(&before, &read(pending.backend).ok()?.ruleset, site.elsewhere()).ok()?;
    Some(Changes::of(&found, Names { clusters: [old.as_ref(), new.as_ref()] }))
}

//! Our table by `nft -f`, for a program that was built without libnftnl.
//!
//! What is loaded is the text that was proved. What it does is one transaction, too, and what the kernel holds then is read
//! by netlink and proved as always; so is what was in force before, which is brought back by netlink. [`WEAKNESS`] is what
//! is missing.
//!
//! INVARIANT (rest): rules that are in force already are not loaded again, since each load has an instant of its own.

use super::rules::{Changed, InForce, Prepared};
use super::{HostError, iptables};
use crate::dialect::nft;
use crate::ir::Ruleset;

/// In words for whoever applies.
pub const WEAKNESS: &str = "loaded with `nft -f`, because this ringfence was built without libnftnl: counters begin at zero, a \
packet in the very moment of the change may be judged by neither the old nor the new rules, and a change that somebody else \
made in that moment is not seen";

/// Loads the rules, unless they are what is in force.
///
/// # Errors
/// Where nothing was changed; or [`HostError::Lost`], where reading again will tell.
pub fn bring(prepared: &Prepared, now: &InForce) -> Result<Changed, HostError> {
    if planned(prepared, now) == Changed::Nothing {
        return Ok(Changed::Nothing);
    }
    let text = prepared.files.iter().find(|(name, _)| *name == "ringfence.nft").map(|(_, text)| text);
    let text = text.ok_or_else(|| HostError::internal("no text"))?;
    match iptables::nft(text) {
        Ok(()) => Ok(Changed::Rules),
        Err(iptables::Error::TimeOut { .. } | iptables::Error::Run { .. }) => Err(HostError::Lost),
        Err(error) => Err(HostError::NotLoaded(error)),
    }
}

/// How much that would change.
pub fn planned(prepared: &Prepared, now: &InForce) -> Changed {
    let same = !now.absent && now.unknown.is_empty() && is_same(&now.ruleset, prepared.verified.ruleset());
    if same { Changed::Nothing } else { Changed::Rules }
}

/// Whether two rulesets are written in the same way, but for what is only for readers.
fn is_same(one: &Ruleset, other: &Ruleset) -> bool {
    let text = |ruleset: &Ruleset| {
        let mut plain = Ruleset { tables: ruleset.tables.clone(), ..Ruleset::default() };
        for table in &mut plain.tables {
            table.sets.sort_by(|a, b| a.name.cmp(&b.name));
            table.sets.iter_mut().for_each(|set| set.origins.clear());
            table.chains.sort_by(|a, b| a.name.cmp(&b.name));
            table.chains.iter_mut().for_each(|chain| chain.remarks.clear());
            let rules = table.chains.iter_mut().flat_map(|chain| &mut chain.rules);
            rules.for_each(|rule| rule.comment = None);
        }
        nft::write(&plain).ok()
    };
    one.unread == other.unread && text(one).is_some_and(|text_of_one| text(other) == Some(text_of_one))
}

//! Chains that hang at devices: one that only what these carry enters, and the chain proper behind it.

use crate::ir::{Chain, DeviceName, Foreign, Match, Place, Policy, Rule, Verdict};

/// A base chain that hangs at these devices; `None` where it is not known at which. No chain of nft's has a blank in its name.
pub(super) fn hung(chain: Chain, devices: Option<Vec<DeviceName>>, place: &Place) -> [Chain; 2] {
    let body = format!("{} of devices", chain.name);
    let device = match devices {
        Some(names) => Match::Foreign(Foreign::Hung(names)),
        None => Match::Unknown(place.text.clone()),
    };
    let rule = |verdict| Rule {
        matches: vec![device.clone()],
        verdict: Some(verdict),
        place: Some(place.clone()),
        ..Rule::default()
    };
    let mut entry = vec![rule(Verdict::Jump(body.clone()))];
    let mut base = chain.base;
    if let Some(base) = &mut base
        && base.policy == Policy::Drop
    {
        entry.push(rule(Verdict::Drop));
        base.policy = Policy::Accept;
    }
    let proper = Chain { name: body, base: None, ..chain.clone() };
    [proper, Chain { base, ..Chain::named(&chain.name, entry) }]
}

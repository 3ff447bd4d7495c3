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
    let entered = Chain { base, ..Chain::named(&chain.name, entry) };
    [Chain { name: body, base: None, ..chain }, entered]
}

#[cfg(test)]
mod tests {
    use crate::dialect::nft;

    #[test]
    fn only_what_looks_at_ip_leaves_arp_alone() {
        for (policy, rules, stops) in [
            ("accept", "ip saddr 10.20.0.12 drop", false),
            ("accept", "ip saddr != 10.20.0.12 drop", false),
            ("accept", "tcp dport 22 drop", false),
            ("accept", "tcp sport 22 drop", false),
            ("accept", "meta l4proto != tcp drop", false),
            ("accept", "meta protocol ip6 drop", false),
            ("accept", "meta protocol ip jump x", false),
            ("accept", "jump x", true),
            ("accept", "drop", true),
            ("accept", "iifname \"eth1\" drop", true),
            ("accept", "ether type arp drop", true),
            ("accept", "fwd to \"eth1\"", true),
            ("drop", "meta protocol ip accept", true),
        ] {
            let text = |family: &str, hook: &str| {
                format!(
                    "table {family} t {{\nchain x {{\ndrop\n}}\nchain c {{\ntype filter hook {hook} priority 0; policy {policy};\n{rules}\n}}\n}}\n"
                )
            };
            let neighbours = |text: String| nft::read(&text).unwrap().ruleset.neighbours;
            for hook in ["ingress device \"eth0\"", "egress device \"eth0\""] {
                let found = neighbours(text("netdev", hook));
                assert_eq!(found.len(), usize::from(stops), "{policy} {rules}: {found:?}");
            }
            assert_eq!(neighbours(text("inet", "ingress device \"eth0\"")), [""; 0], "{rules}");
        }
    }
}

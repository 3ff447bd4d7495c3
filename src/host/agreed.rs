//! What somebody agreed to who looked at `ringfence diff`: a plan, which says nothing but what it was made of, by digests.
//!
//! ```text
//!  input    the cluster file with its profile, the node, the way into the kernel, the version of this program
//!  ours     our part of the kernel, the reserved ports, what was applied last, whether the file was taken back
//!  around   what else decides about the protected ports: the answers of the whole host, and of what is behind them the slice of
//!           others' rules that has a say (`verify::touching`), the quotas, limits and other objects that these name, this host's addresses and the ways to whom the file admits
//! ```
//!
//! INVARIANT (no more than apply): a plan only adds reasons to refuse. Whoever writes one himself gets nothing that `apply` would not
//! do without it.
//!
//! INVARIANT (in the moment): what a plan was made of is held against the very state that the change is made from. Between that look
//! and the transaction our own part is held against it once more.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::apply::Host;
use super::around::put_in_place;
use super::deeds::Deed;
use super::links::Link;
use super::nft;
use super::plan::Work;
use super::record::{self, GOOD};
use super::rules::{InForce, Prepared};
use super::snapshot::Snapshot;
use super::store::checksum;
use super::whole::{Everything, surroundings};
use super::{Backend, HostError, place};
use crate::cluster::Site;
use crate::dialect::netlink::{self, Expression, RequestError, Table, held};
use crate::ir::Ruleset;
use crate::net::{Cidr, Surroundings};
use crate::verify::{Admitted, Answer, Claims, Named, Reached, Shown, touching, whole};

/// Which form a plan has.
pub const SCHEMA: &str = "ringfence/plan/1";

/// Others change the rules some times a second at worst.
const ATTEMPTS: usize = 5;

/// What a change was agreed to on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Agreed {
    /// The SHA-256 of what is to be applied.
    pub input: String,
    /// That of our part of the kernel, and what is remembered of it.
    pub ours: String,
    /// That of what else decides about the protected ports.
    pub around: String,
}

/// A plan, as it stands in its file. It holds digests, and no rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Which form this is, and its version.
    pub schema: String,
    /// The version of the program that made it.
    pub version: String,
    /// The SHA-256 of the machine's name for itself (machine-id(5)), which is nobody else's business.
    pub machine: String,
    /// Who made it, and when.
    pub made: Deed,
    /// The cluster file.
    pub config: PathBuf,
    /// The node that this host is; `null` for rules that fit every node.
    pub node: Option<String>,
    /// The way into the kernel.
    pub backend: Backend,
    /// What it was made of.
    pub agreed: Agreed,
    /// The SHA-256 of all of the above: a file that was edited or cut short is none.
    pub checksum: String,
}

/// What a plan was made of, and may be another by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// What is to be applied.
    Input,
    /// Our part of the kernel.
    Ours,
    /// What else decides.
    Around,
}

/// Why a file is no plan for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPlan {
    /// It is none, or not as it was written.
    Broken(String),
    /// It was made by another version.
    Version(String),
    /// It was made on another machine.
    Machine,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "what is to be applied (the cluster file, what it takes in, the node, or the back end)",
            Self::Ours => "ringfence's own part of this host (its rules, reserved ports, or what was applied last)",
            Self::Around => "what else decides about the protected ports (rules or translations of others, or routes)",
        })
    }
}

impl fmt::Display for NoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => write!(f, "it is no plan as `ringfence diff --out` writes it: {why}"),
            Self::Version(version) => {
                write!(f, "ringfence {} made it, and this is {}", version.escape_debug(), env!("CARGO_PKG_VERSION"))
            }
            Self::Machine => f.write_str("it was made on another machine"),
        }
    }
}

impl Plan {
    /// A plan, made by this process now.
    ///
    /// # Errors
    /// Where the machine has no name.
    pub fn new(config: PathBuf, node: Option<String>, backend: Backend, agreed: Agreed) -> Result<Self, HostError> {
        let plan = Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: machine()?,
            made: Deed::now(),
            config,
            node,
            backend,
            agreed,
            checksum: String::new(),
        };
        Ok(Self { checksum: plan.sum()?, ..plan })
    }

    /// As it stands in its file.
    ///
    /// # Errors
    /// Where a path is no text.
    pub fn text(&self) -> Result<String, HostError> {
        Ok(serde_json::to_string_pretty(self).map_err(HostError::internal)? + "\n")
    }

    /// A plan of this version for this machine.
    ///
    /// # Errors
    /// Where the machine has no name. What is no such plan is the inner error.
    pub fn read(bytes: &[u8]) -> Result<Result<Self, NoPlan>, HostError> {
        let plan: Self = match serde_json::from_slice(bytes) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(of_another_form(bytes).unwrap_or_else(|| NoPlan::Broken(error.to_string())))),
        };
        if plan.version != env!("CARGO_PKG_VERSION") || plan.schema != SCHEMA {
            return Ok(Err(NoPlan::Version(plan.version)));
        }
        if plan.checksum != plan.sum()? {
            return Ok(Err(NoPlan::Broken("it was changed or cut short since (its checksum is wrong)".to_owned())));
        }
        Ok(if plan.machine == machine()? { Ok(plan) } else { Err(NoPlan::Machine) })
    }

    fn sum(&self) -> Result<String, HostError> {
        let plain = Self { checksum: String::new(), ..self.clone() };
        Ok(checksum(&serde_json::to_vec(&plain).map_err(HostError::internal)?))
    }
}

/// What another version may have given another form.
fn of_another_form(bytes: &[u8]) -> Option<NoPlan> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |name| value.get(name).and_then(serde_json::Value::as_str);
    let is_plan = text("schema").is_some_and(|schema| schema.starts_with("ringfence/plan/"));
    let version = text("version").filter(|version| is_plan && *version != env!("CARGO_PKG_VERSION"))?;
    Some(NoPlan::Version(version.to_owned()))
}

fn machine() -> Result<String, HostError> {
    let name = place::machine_id()
        .map_err(|error| HostError::Place { what: "the machine's name (/etc/machine-id)", error })?;
    Ok(checksum(format!("ringfence plan {name}").as_bytes()))
}

/// A change that is looked at.
#[derive(Clone, Copy)]
pub struct Looked<'a> {
    /// Where things are.
    pub host: &'a Host,
    /// For whom.
    pub site: &'a Site<'a>,
    /// The rules.
    pub prepared: &'a Prepared,
    /// What of ours is in force.
    pub in_force: &'a InForce,
    /// What would be written.
    pub work: &'a Work,
    /// This host's interfaces.
    pub links: &'a [Link],
}

impl Agreed {
    /// What a change is agreed to on whose look ahead this is.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn of(looked: &Looked<'_>) -> Result<Self, HostError> {
        Ok(Self { input: input(looked), ours: ours(looked)?, around: around(looked)? })
    }

    /// What of it is another by now.
    #[must_use]
    pub fn differs(&self, now: &Self) -> Vec<Aspect> {
        let all = [
            (Aspect::Input, self.input != now.input),
            (Aspect::Ours, self.ours != now.ours),
            (Aspect::Around, self.around != now.around),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect).collect()
    }

    /// Holds it against what a change is about to be made from.
    ///
    /// # Errors
    /// Where something of it is another by now, or the kernel does not tell.
    pub fn hold(&self, looked: &Looked<'_>) -> Result<(), HostError> {
        let aspects = self.differs(&Self::of(looked)?);
        if aspects.is_empty() { Ok(()) } else { Err(HostError::Outdated(aspects)) }
    }
}

fn input(looked: &Looked<'_>) -> String {
    let node = looked.site.node_names();
    let backend = looked.prepared.backend.name();
    let digest = looked.site.cluster().digest();
    checksum(format!("{digest}\n{node:?}\n{backend}\n{}\n", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// What is written about reserved ports hangs on what is reserved, and what is remembered decides on what is taken back.
fn ours(looked: &Looked<'_>) -> Result<String, HostError> {
    let Looked { host, site, work, .. } = looked;
    let kept = record::kept(&host.store, GOOD).map(|kept| kept.map(|kept| (kept.rules_digest(), kept.record)));
    let good = kept.as_ref().ok().and_then(Option::as_ref).map(|(_, record)| record);
    let rejected = record::is_rejected(&host.store, site.cluster(), good);
    let all = [
        of_snapshot(looked.in_force.snapshot())?,
        // The file that keeps them is in a folder, and no part of the kernel.
        format!("reserve {:?} release {:?} stale {}", work.reserve, work.release, work.stale.is_some()),
        // What cannot be read is neither there nor not there.
        format!("kept {:?} taken back {:?}", kept.map_err(|_| ()), rejected.map_err(|_| ())),
    ];
    Ok(checksum(all.join("\n").as_bytes()))
}

/// Our part of the kernel: what it does, not what it has counted, nor by which numbers the kernel calls it.
///
/// # Errors
/// Where it cannot be made out.
pub fn of_snapshot(snapshot: &Snapshot) -> Result<String, HostError> {
    match snapshot {
        Snapshot::Nft(None) => Ok("nft: nothing".to_owned()),
        Snapshot::Nft(Some(table)) => of_table(table).map_err(|error| HostError::from(RequestError::from(error))),
        Snapshot::Iptables(snapshot) => {
            let bytes = snapshot.to_bytes()?;
            Ok(format!("iptables: {}", checksum(&bytes)))
        }
    }
}

fn of_table(table: &Table) -> Result<String, netlink::Malformed> {
    let mut lines = vec![format!("nft: {} flags {}", table.family, table.flags)];
    for set in &table.sets {
        let kind = (set.flags, set.key_type, set.key_length, set.size);
        lines.push(format!("set {} {kind:?} {}", set.name, checksum(&held(set)?)));
    }
    for chain in &table.chains {
        lines.push(format!("chain {} {:?} {}", chain.name, chain.base, chain.flags));
        for rule in &chain.rules {
            let program: Vec<Expression> = rule.program()?.iter().map(Expression::without_counts).collect();
            lines.push(format!("{program:?}"));
        }
    }
    Ok(checksum(lines.join("\n").as_bytes()))
}

fn around(looked: &Looked<'_>) -> Result<String, HostError> {
    let Looked { site, prepared, work, links, .. } = looked;
    let everything = Everything::read()?;
    let surroundings = surroundings(links)?;
    let mut others = everything.clone();
    put_in_place(&mut others, Backend::Nft, Some(&Ruleset::default()));
    let mut all = touching(&others.ruleset, site, &surroundings);
    let mut meant = everything;
    let instead = (prepared.backend == Backend::Nft).then(|| prepared.verified.ruleset());
    put_in_place(&mut meant, prepared.backend, instead);
    match whole(&meant.ruleset, site, &surroundings) {
        Ok(answers) => all.extend(answers.iter().map(told)),
        Err(error) => all.push(error.to_string()),
    }
    all.extend(objects()?);
    all.extend(ways(site, &surroundings));
    all.extend(work.openings.iter().cloned());
    Ok(checksum(all.join("\n").as_bytes()))
}

/// What the objects say that rules name: a rule has but their names, and is the same whatever a quota or a limit is.
fn objects() -> Result<Vec<String>, HostError> {
    let mut socket = match nft::open() {
        Ok(socket) => socket,
        Err(HostError::NoNfTables) => return Ok(Vec::new()),
        Err(other) => return Err(other),
    };
    for _ in 0..ATTEMPTS {
        match netlink::objects(&mut socket) {
            Err(RequestError::Interrupted) => {}
            other => return Ok(other?),
        }
    }
    Err(RequestError::Interrupted.into())
}

/// An answer, with what decides. The packet that shows it is one of many, and a handle is another each time.
fn told(answer: &Answer) -> String {
    let by = |shown: &Shown| {
        shown.by.as_ref().map(|by| {
            let rule = match &by.rule {
                Some(Named::Line(_, text) | Named::Remark(text)) => text.as_str(),
                Some(Named::Handle(_)) => "a rule",
                None => "the policy",
            };
            format!("{:?} {} {} {rule}", by.stage, by.table, by.chain)
        })
    };
    let (what, by) = match &answer.reached {
        Reached::Yes => ("yes", None),
        Reached::No => ("no", None),
        Reached::Wrongly(shown) => ("wrongly", by(shown)),
        Reached::OnPurpose(shown) => ("on purpose", by(shown)),
        Reached::Blocked(shown) => ("blocked", by(shown)),
        Reached::Led(shown) => ("led elsewhere", by(shown)),
        Reached::Undecided(shown) => ("undecided", by(shown)),
        Reached::Unjudged(_) => ("unjudged", None),
    };
    format!("{:?} {:?} {} {:?} {what} {by:?}", answer.who, answer.direction, answer.service, answer.ports.ranges())
}

/// What of this host's place in its networks matters to a site. Addresses that every new interface brings along, as those of containers
/// are, are nobody's way in that was not there: they are link-local, or multicast.
fn ways(site: &Site<'_>, surroundings: &Surroundings) -> Vec<String> {
    let lasting = |address: &IpAddr| match address {
        IpAddr::V4(own) => !own.is_link_local() && !own.is_multicast(),
        IpAddr::V6(own) => !own.is_unicast_link_local() && !own.is_multicast(),
    };
    let addresses: Vec<&IpAddr> = surroundings.addresses.iter().filter(|own| lasting(own)).collect();
    let not_local: Vec<&IpAddr> = surroundings.not_local.iter().filter(|own| lasting(own)).collect();
    let refused = surroundings.refused.iter().filter(|own| lasting(&own.to.first()) && !own.to.is_host());
    let elsewhere = site.elsewhere().entries().iter().flat_map(|entry| {
        let networks = entry.networks.iter().filter(|network| lasting(&network.first()));
        networks.map(move |network| format!("{:?} {network}", entry.interface))
    });
    let mut all = vec![
        format!("addresses {addresses:?} not local {not_local:?} all {}", surroundings.complete),
        format!("refused {:?} {}", refused.collect::<Vec<_>>(), surroundings.rules_refuse),
        format!("elsewhere {:?} translates {}", elsewhere.collect::<Vec<_>>(), site.translates()),
        format!("by policy {} vrfs {:?}", surroundings.by_policy, surroundings.vrfs),
    ];
    let claims = Claims::of(site);
    let mut networks: Vec<Cidr> = claims.admitted().iter().flat_map(Admitted::networks).collect();
    networks.sort_by_key(|network| (network.first(), network.prefix_length()));
    networks.dedup();
    for network in networks {
        all.push(format!("{network} {:?} {:?}", surroundings.towards(network), surroundings.refusal(network)));
    }
    all
}

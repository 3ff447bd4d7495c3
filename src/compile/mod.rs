//! Cluster → ruleset. Total and pure: every valid cluster has a ruleset, and the same cluster always has the same.
//!
//! `admission` says in one dialect-free form who is admitted where; [`nft()`] and [`iptables()`] shape that into tables and
//! chains. The shapes differ, because the tools do; the meaning does not:
//!
//! - at *prerouting* a TCP segment that asks for a new connection to a protected port of this host, as addressed on the
//!   wire, is judged: before destination NAT, so that published ports of containers are covered, and early, so that a
//!   flood dies before anything else works on it. This host's are the addresses of the table `local`, those that the
//!   interface has in the table of its VRF, and what the site says is local by other tables
//!   ([`crate::net::Elsewhere`]): no test of netfilter sees these without being told;
//! - at *input* every segment in every state to a protected port is judged, as the socket sees it: after destination NAT
//!   and after reassembly of IPv4;
//! - IPv6 first fragments that hide their transport header are dropped at prerouting, because neither door could judge
//!   them (IPv6 is reassembled behind the input hook);
//! - judging is: untrusted sources are blocked, admitted ones are left to the rest of the firewall, all others blocked.
//!
//! INVARIANT (fail closed): the chain that judges ends in a block, so that a packet that no rule knows is blocked.
//!
//! With `on-block = "log-only"` the rules are the same but for their last word: what would block logs, counts and goes back to where the
//! guard was entered, so that whatever else filters on the host is asked as if there were no guard.

mod admission;
mod header;
mod iptables;
mod nft;
mod opened;
mod opening;

pub use header::{admitted, assumptions, lines as header};
pub use iptables::{SetsMode, iptables};
pub use nft::nft;
pub use opened::{Opened, OpeningShape, opened};
pub use opening::openings;

use std::collections::HashSet;

use crate::cluster::{OnBlock, Site};
use crate::ir::{Addresses, Elements, Match, Reject, Rule, Statement, Verdict};
use crate::net::{Cidr, ElsewhereEntry, Interface, Ports};

/// The priority of iptables' raw table and nft's `raw`: before connection tracking and destination NAT (nft(8)).
const RAW: i32 = -300;
/// Before everything else at input: iptables' mangle table is the first there at -150.
const FIRST_AT_INPUT: i32 = -300;
/// iptables' mangle table, its first chain at input.
const MANGLE: i32 = -150;

/// How many blocked packets are logged: so many a minute, after a burst.
const LOG_PER_MINUTE: u32 = 10;
const LOG_BURST: u32 = 5;
/// iptables allows 29 characters (iptables-extensions(8), LOG).
pub(crate) const LOG_PREFIX: &str = "ringfence: blocked ";
pub(crate) const STAGED_LOG_PREFIX: &str = "ringfence: would block ";

/// Above so many elements a set does not say where each comes from: nobody reads that far.
const ORIGINS_UP_TO: usize = 500;

/// The number of TCP (IANA protocol numbers).
const TCP: u8 = 6;

/// The remarks that stand beside the header in files of a site, as far as they are the ruleset's own: of chains, and where elements of sets
/// come from.
#[must_use]
pub fn remarks(site: &Site<'_>) -> HashSet<String> {
    let rulesets = [nft(site), iptables(site, SetsMode::Always)];
    let tables = rulesets.iter().flat_map(|ruleset| &ruleset.tables);
    let of_tables = tables.flat_map(|table| {
        let chains = table.chains.iter().flat_map(|chain| &chain.remarks);
        chains.chain(table.sets.iter().flat_map(|set| &set.origins))
    });
    let of_sets = rulesets.iter().flat_map(|ruleset| &ruleset.sets).flat_map(|set| &set.origins);
    of_tables.chain(of_sets).map(|remark| remark.trim().to_owned()).collect()
}

fn source(addresses: Addresses) -> Match {
    Match::Source { addresses, negated: false }
}

fn not_loopback() -> Match {
    Match::InInterface { names: vec![Interface::loopback()], negated: true }
}

fn rule(matches: Vec<Match>, verdict: Verdict) -> Rule {
    Rule { matches, verdict: Some(verdict), ..Rule::default() }
}

/// The tests for destinations that are this host's: each rule that matches goes on in the chain `judge`. `lists` makes
/// the destinations of one interface and family into as many tests as the dialect needs.
fn to_this_host(site: &Site<'_>, judge: &str, lists: impl Fn(&[Cidr]) -> Vec<Elements>) -> Vec<Rule> {
    let on = |entry: &ElsewhereEntry| {
        entry.interface.iter().map(|name| Match::InInterface { names: vec![name.clone()], negated: false }).collect()
    };
    let goto = || Verdict::Goto(judge.to_owned());
    let mut rules = vec![
        rule(vec![Match::DestinationLocal], goto()).comment("isolation: addresses of this host"),
        rule(vec![Match::DestinationOfInterface], goto()).comment("isolation: own addresses in a VRF"),
    ];
    for entry in site.elsewhere().entries() {
        for addresses in lists(&entry.networks).into_iter().map(Addresses::These) {
            let mut matches: Vec<Match> = on(entry);
            matches.push(Match::Destination { addresses, negated: false });
            rules.push(rule(matches, goto()).comment("isolation: local by another routing table"));
        }
    }
    rules
}

impl Rule {
    fn with_counter(mut self) -> Self {
        self.statements.push(Statement::Counter(None));
        self
    }

    fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

/// The rules that block: logged if asked for, then counted for each service. The last rule blocks what is left, which
/// nothing should be.
fn block_rules(site: &Site<'_>, mut port_rules: impl FnMut(&Ports) -> Vec<Match>) -> Vec<Rule> {
    let guard = site.cluster().guard();
    let (verdict, rest, prefix) = match guard.on_block() {
        OnBlock::Drop => (Verdict::Drop, Verdict::Drop, LOG_PREFIX),
        // A reset answers TCP only (nft adds that match by itself), and what is left must not be let through.
        OnBlock::Reject => (Verdict::Reject(Reject::TcpReset), Verdict::Drop, LOG_PREFIX),
        OnBlock::LogOnly => (Verdict::Return, Verdict::Return, STAGED_LOG_PREFIX),
    };
    let mut rules = Vec::new();
    if guard.log() || guard.is_staged() {
        let limit = Match::Limit { per_minute: LOG_PER_MINUTE, burst: LOG_BURST };
        rules.push(Rule {
            matches: vec![limit],
            statements: vec![Statement::Log(prefix.to_owned())],
            ..Rule::default()
        });
    }
    for service in site.services().iter().filter(|service| service.service.is_guarded()) {
        for matched in port_rules(&service.ports) {
            let comment = format!("isolation: {}", service.service.name());
            rules.push(rule(vec![matched], verdict.clone()).with_counter().comment(comment));
        }
    }
    rules.push(rule(Vec::new(), rest).with_counter().comment("isolation: whatever is left"));
    rules
}

/// What becomes of a first fragment that shows no door a port.
fn hidden_verdict(site: &Site<'_>) -> Verdict {
    if site.cluster().guard().is_staged() { Verdict::Return } else { Verdict::Drop }
}

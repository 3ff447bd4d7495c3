//! Every construct of nft and of iptables that the manuals nft(8) and iptables-extensions(8) name, each in a chain that drops
//! by policy, with an accept behind it, and in one that accepts, with a drop behind it: real packets against the verdict
//! that is computed from every form in which the rule can be had.
//!
//! Takes root and some minutes, and is no part of `make test`: `make constructs`. A form that leaves a packet open is no
//! mistake, one that is certain of what does not happen is. What this machine refuses is listed as "not possible here";
//! floors keep a machine that refuses nearly everything from looking like one that tried.
//!
//! `RINGFENCE_CONSTRUCTS=TEXT` tries only rules with that text; `RINGFENCE_CONSTRUCTS_OPEN=1` lists what is open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bench;
#[path = "../generate/mod.rs"]
mod generate;
mod iptables;
mod iptables_rules;
mod judge;
#[path = "../lab/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod lab;
mod nft;
mod nft_rules;
mod packets;

use bench::{Bench, Seen, Spot};
use judge::{Form, Tally};

/// How many hosts are tried at the same time: most of the time goes by with waiting for the kernel.
const HOSTS: usize = 6;

/// A rule in a chain.
pub trait Job: Send + Sync {
    /// The rule alone, by which it is counted.
    fn name(&self) -> &str;
    /// Where it stands.
    fn spot(&self) -> Spot;
    /// Whether connection tracking is on.
    fn tracked(&self) -> bool;
    /// Whether the kernel drops first fragments without a whole transport header where such a rule stands.
    fn strict(&self) -> bool;
    /// The whole text.
    fn text(&self) -> String;
    /// Loads the rule, reads it back in every form, and sends packets meanwhile.
    fn run(&self, bench: &mut Bench) -> Result<(Vec<Form>, Vec<Seen>), String>;
    /// The same with what a tool printed of it.
    fn run_printed(&self, bench: &mut Bench, form: &str, printed: &str) -> Result<Vec<Seen>, String>;
}

fn one(job: &dyn Job, bench: &mut Bench, tally: &mut Tally) {
    bench.move_to(job.spot());
    let (forms, seen) = match job.run(bench) {
        Ok(found) => found,
        Err(error) => {
            let why = error.lines().find(|line| line.contains("rror") || line.contains("v1.")).unwrap_or(&error);
            tally.not_possible.insert(job.name().to_owned(), why.trim().to_owned());
            return;
        }
    };
    let lies = tally.judge(job.name(), job.spot(), job.strict(), &forms, &seen);
    if lies.is_empty() {
        return;
    }
    // What does not show again was no fault of the rules.
    let mut again = Tally::default();
    let Ok((forms, seen)) = job.run(bench) else { return };
    let still = again.judge(job.name(), job.spot(), job.strict(), &forms, &seen);
    let mut still: Vec<_> = still.into_iter().filter(|lie| lies.iter().any(|other| other.form == lie.form)).collect();
    if still.is_empty() {
        return eprintln!("once, and not again: {}: {}", job.name(), lies[0].text);
    }
    // Where a tool prints another rule than there is, that one does what was computed.
    for form in forms {
        let Some(printed) = form.printed.clone().filter(|_| still.iter().any(|lie| lie.form == form.name)) else {
            continue;
        };
        let Ok(seen) = job.run_printed(bench, form.name, &printed) else { continue };
        let name = form.name;
        if Tally::default().judge(job.name(), job.spot(), job.strict(), &[form], &seen).is_empty() {
            tally.misprinted.insert(format!("{name}: {}", job.name()), printed);
            still.retain(|lie| lie.form != name);
        }
    }
    if let Some(first) = still.first() {
        let forms: std::collections::BTreeSet<&str> = still.iter().map(|lie| lie.form).collect();
        let more: Vec<&str> = still.iter().take(4).map(|lie| lie.text.as_str()).collect();
        tally.false_answers.push(format!(
            "FALSE from {forms:?} ({} packets) at {:?}\n{}\n{}: {}",
            still.len(),
            job.spot(),
            job.text(),
            first.form,
            more.join("\n")
        ));
    }
}

/// Tries all of them, several at a time; each on a host that has no other rules.
fn try_all(what: &'static str, jobs: Vec<Box<dyn Job>>, floor: (usize, usize)) {
    let only = std::env::var("RINGFENCE_CONSTRUCTS").unwrap_or_default();
    let mut jobs: Vec<_> = jobs.into_iter().filter(|job| job.text().contains(&only)).collect();
    jobs.sort_by_key(|job| (job.spot(), job.tracked()));
    let mut tally = Tally::default();
    let each = jobs.len().div_ceil(HOSTS).max(1);
    std::thread::scope(|scope| {
        let work = |jobs: &[Box<dyn Job>]| {
            let mut tally = Tally::default();
            let mut bench: Option<(bool, Bench)> = None;
            for job in jobs {
                let fits = bench.as_ref().is_some_and(|(tracked, _)| *tracked == job.tracked());
                if !fits {
                    bench = Some((job.tracked(), Bench::new(job.tracked())));
                }
                one(job.as_ref(), &mut bench.as_mut().unwrap().1, &mut tally);
            }
            tally
        };
        let threads: Vec<_> = jobs.chunks(each).map(|jobs| scope.spawn(move || work(jobs))).collect();
        threads.into_iter().for_each(|thread| tally.add(thread.join().unwrap()));
    });
    // A rule that the machine takes in one place and refuses in another was tried.
    let tried: Vec<String> = tally.rules.keys().cloned().collect();
    tally.not_possible.retain(|rule, _| !tried.contains(rule));
    tally.print(what);
    for answer in &tally.false_answers {
        eprintln!("{answer}\n");
    }
    assert!(tally.false_answers.is_empty(), "{} false answers", tally.false_answers.len());
    if only.is_empty() {
        let (rules, packets) = floor;
        assert!(tally.rules.len() >= rules, "only {} rules were tried", tally.rules.len());
        assert!(tally.packets >= packets, "only {} packets came to a rule", tally.packets);
        let part = tally.passed * 100 / tally.packets;
        assert!((20..=80).contains(&part), "{part} of 100 packets passed: that tests little");
    }
}

#[test]
#[ignore = "takes minutes: make constructs"]
fn nft_rules() {
    lab::netns::isolated("nft_rules", || try_all("nft", nft::jobs(), (300, 15_000)));
}

#[test]
#[ignore = "takes minutes: make constructs"]
fn iptables_nft_rules() {
    lab::netns::isolated("iptables_nft_rules", || try_all("iptables-nft", iptables::jobs("nft"), (150, 6_000)));
}

#[test]
#[ignore = "takes minutes: make constructs"]
fn iptables_legacy_rules() {
    lab::netns::isolated("iptables_legacy_rules", || {
        // The kernel may have been built without the old tables.
        if let Err(error) =
            lab::netns::Namespace::unshare().enter(|| lab::netns::attempt(&["iptables-legacy", "-S"], ""))
        {
            return lab::netns::not_possible("iptables-legacy", &error);
        }
        try_all("iptables-legacy", iptables::jobs("legacy"), (150, 6_000));
    });
}

//! What this host's ways to its peers make of the rules, in words.

use crate::cluster::{Allowance, Site};
use crate::diagnostic::{Code, Diagnostic, Findings, Severity};
use crate::dialect::netlink::RequestError;
use crate::host::deeds::Allowed;
use crate::host::identity::{Objection, objections};
pub use crate::host::judge::vrfs;
use crate::host::links::Link;
use crate::host::place::Ssh;
use crate::host::sources::Ends;
use crate::host::tunnels::tunnels;
use crate::host::{HostError, beside};
use crate::net::Ports;
use crate::report;

/// Everything that speaks against the rules of a site on this host.
pub fn all_objections(site: &Site<'_>, links: &[Link], ssh: Option<Ssh>) -> Result<Vec<Objection>, HostError> {
    let mut all = objections(site, links, ssh);
    all.extend(vrfs(site)?);
    match Ends::of(site).and_then(|ends| sources(&ends, links)) {
        Ok(found) => all.extend(found),
        Err(error) => anstream::eprintln!("warning: {}", unknown_sources(&error)),
    }
    Ok(all)
}

/// What of it the cluster file allows, and nobody else has to.
pub fn in_use(site: &Site<'_>, objections: &[Objection]) -> Vec<report::Objection> {
    let all = objections.iter().map(|one| report::Objection::of(one, site.cluster(), |_| false));
    all.filter(|one| one.allowed_by.is_some()).collect()
}

/// The same as it is noted of a change.
pub fn allowances(objections: &[report::Objection]) -> Vec<Allowed> {
    let by_file = objections.iter().filter(|one| one.allowed_by.is_some());
    by_file.map(|one| Allowed::now(one.code, &one.message)).collect()
}

/// Addresses by which a node's peers do not know this host.
pub fn sources(ends: &Ends, links: &[Link]) -> Result<Vec<Objection>, RequestError> {
    Ok(ends.other_sources(links)?.into_iter().map(Objection::OtherSource).collect())
}

/// Where that is not known.
pub fn unknown_sources(error: &RequestError) -> String {
    format!("from which address this host speaks to its peers is not known: {error}")
}

/// Something about the host, in words that begin with its code.
pub struct Said {
    pub severity: Severity,
    pub code: Option<Code>,
    pub words: String,
}

impl Said {
    fn of(code: Code, message: &str) -> Self {
        Self { severity: code.severity(), code: Some(code), words: format!("{code}: {message}") }
    }

    /// As it is printed.
    pub fn line(&self) -> String {
        match self.severity {
            Severity::Error | Severity::Warning => format!("warning: {}", self.words),
            Severity::Note => format!("note: {}", self.words),
        }
    }
}

/// What makes rules worth less than they say, and is no reason to leave them out; and what is worth knowing.
pub fn warnings(protected: &Ports, links: &[Link]) -> Vec<Said> {
    let mut all: Vec<Said> = match tunnels() {
        Ok(found) => found.into_iter().map(|one| Said::of(Code::Encapsulation, &one.message())).collect(),
        Err(error) => vec![Said { severity: Severity::Warning, code: None, words: unknown_tunnels(&error) }],
    };
    let beside = beside::look(protected, links);
    all.extend(beside.iter().map(|fact| Said::of(fact.code(), &fact.message())));
    all
}

fn unknown_tunnels(error: &RequestError) -> String {
    format!("whether packets are taken out of UDP ports (FOU, GUE) is not known: {error}")
}

/// The same of a host that is only looked at. What the kernel does not tell is a warning.
pub fn findings(site: &Site<'_>, links: &[Link], findings: &mut Findings) -> Result<(), HostError> {
    let mut objections = objections(site, links, None);
    objections.retain(|one| site.cluster().allowing(one.word()).is_some());
    objections.extend(vrfs(site)?);
    match Ends::of(site).and_then(|ends| sources(&ends, links)) {
        Ok(found) => objections.extend(found),
        Err(error) => anstream::eprintln!("warning: {}", unknown_sources(&error)),
    }
    for objection in &objections {
        let mut allowing = site.cluster().guard().allow().iter();
        let allowing = allowing.find(|(own, _)| Allowance::of_word(objection.word()) == Some(*own));
        if let Some((_, span)) = allowing {
            let message = format!("the cluster file allows it, and it is so on this host: {}", objection.message());
            let help = "it changes no proof; take it out of `allow` where it is not needed";
            findings.push(Diagnostic::new(Code::Allowance, *span, message).help(help));
            continue;
        }
        findings.push(match objection {
            Objection::OtherSource(other) => {
                Diagnostic::placeless(objection.code(), other.message()).help(other.help())
            }
            other => Diagnostic::placeless(other.code(), other.words()).help("`ringfence apply` refuses it"),
        });
    }
    match tunnels() {
        Ok(found) => {
            found.iter().for_each(|one| findings.push(Diagnostic::placeless(Code::Encapsulation, one.message())));
        }
        Err(error) => anstream::eprintln!("warning: {}", unknown_tunnels(&error)),
    }
    for fact in beside::look(&site.protected(), links) {
        findings.push(Diagnostic::placeless(fact.code(), fact.message()));
    }
    Ok(())
}

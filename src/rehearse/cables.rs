//! The interfaces of the host in the namespace.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::named::Named;
use crate::cluster::Site;
use crate::host::links::Link;
use crate::ir::DeviceName;
use crate::net::Interface;
use crate::verify::Claims;

/// Packets come by so many: those on which the file admits somebody, those that rules name, those of the host, and one more.
const MOST_NAMED: usize = 8;
/// So many are there at all.
const MOST: usize = 150;
/// What is no name of an interface to the kernel's settings (net/core/dev.c makes them all the same).
const NO_NAMES: [&str; 3] = ["lo", "all", "default"];

/// The interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Cables {
    /// Those by which packets come.
    pub names: Vec<String>,
    /// Those that are only there.
    pub silent: Vec<String>,
}

/// Chooses them. What is left out is told.
pub(super) fn cables(site: &Site<'_>, named: &Named, links: &[Link], told: &mut Vec<String>) -> Cables {
    let claims = Claims::of(site);
    let admitted = claims.admitted().iter().flat_map(|admitted| admitted.interfaces.iter().flatten());
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !NO_NAMES.contains(&name) && !names.iter().any(|own| own == name) {
            names.push(name.to_owned());
        }
    };
    admitted.for_each(|name| add(name.as_str()));
    links.iter().filter(|link| !link.addresses.is_empty()).for_each(|link| add(&link.name));
    for device in &named.devices {
        match device {
            DeviceName::Is(name) => add(name.as_str()),
            DeviceName::Begins(_) => {}
        }
    }
    links.iter().for_each(|link| add(&link.name));
    for device in &named.devices {
        if let DeviceName::Begins(text) = device
            && !names.iter().take(MOST_NAMED).any(|name| device.fits(name))
        {
            // One that is there already, or one that fits.
            let there = names.iter().position(|name| device.fits(name)).map(|at| names.remove(at));
            match there.or_else(|| example(text)) {
                Some(name) => names.insert(names.len().min(MOST_NAMED.saturating_sub(1)), name),
                None => told.push(format!("an interface whose name begins with `{text}`")),
            }
        }
    }
    let odd: BTreeSet<&str> =
        named.devices.iter().map(|device| if let DeviceName::Is(name) = device { name.as_str() } else { "" }).collect();
    for name in NO_NAMES.into_iter().skip(1).filter(|name| odd.contains(name)) {
        told.push(format!("an interface of the name `{name}`, which this kernel's settings have for others"));
    }
    let mut silent = names.split_off(names.len().min(MOST_NAMED));
    if !silent.is_empty() {
        let all = silent.len() + names.len();
        told.push(format!("{} of {all} interfaces: {}", silent.len(), some(&silent)));
    }
    if silent.len() > MOST {
        told.push(format!("{} interfaces, which are not there at all", silent.len() - MOST));
        silent.truncate(MOST);
    }
    let is_named = |name: &str| {
        let taken = names.iter().chain(&silent).any(|own| own == name);
        taken || named.devices.iter().any(|device| device.fits(name) && *device != DeviceName::Begins(String::new()))
    };
    let other = ["eth0", "other0", "other1", "other2", "other3", "other4"];
    let free = other.into_iter().find(|name| !is_named(name));
    names.extend(free.map(str::to_owned));
    Cables { names, silent }
}

impl Cables {
    /// Where each address of the host is: where it is on the host, or on the first.
    pub fn places(&self, own: &[IpAddr], links: &[Link]) -> Vec<(String, IpAddr)> {
        let on = |address: &IpAddr| {
            let link = links.iter().find(|link| link.addresses.contains(address));
            let is_there = |name: &&str| *name == "lo" || self.names.iter().chain(&self.silent).any(|own| own == *name);
            link.map(|link| link.name.as_str()).filter(is_there).or(self.names.first().map(String::as_str))
        };
        own.iter().filter_map(|address| Some((on(address)?.to_owned(), *address))).collect()
    }
}

/// A name that begins so.
fn example(text: &str) -> Option<String> {
    let name = if text.len() < Interface::LONGEST { format!("{text}0") } else { text.to_owned() };
    name.parse::<Interface>()
        .ok()
        .map(|name| name.as_str().to_owned())
        .filter(|name| !NO_NAMES.contains(&name.as_str()))
}

/// The first of them.
pub(super) fn some(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

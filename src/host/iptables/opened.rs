//! What openings need of the tools: the table `filter`, and sets of their own.

use std::fmt::Write as _;

use super::{Error, Tools, Variant, Version};
use crate::dialect::ipset;
use crate::host::nft;
use crate::ir::Set;
use crate::net::Cidr;

/// What is filled before it takes the place of the set of that name.
const FILLING: &str = "open-ringfence_filling";
/// How many a set may get. It costs nothing, and a set that is there gets no other room.
const LEAST_ROOM: usize = 1 << 20;

/// Whether a tool can show, and so change, the table `filter` of a back end: iptables over nf_tables refuses one that nft filled with
/// what it does not know.
#[must_use]
pub fn can_change(tools: &Tools, variant: Variant, version: Version) -> bool {
    tools.save(variant, version, "filter").is_ok_and(|text| !text.contains("incompatible"))
}

/// Carries out a text for the table `filter`, whole or not at all.
///
/// # Errors
/// Where the tool refuses it.
pub fn carry_out(tools: &Tools, variant: Variant, version: Version, text: &str) -> Result<(), Error> {
    tools.restore(variant, version, text)
}

/// Makes or fills a set. What uses it finds either all that was in it or all that is to be.
///
/// # Errors
/// Where ipset fails.
pub fn fill(tools: &Tools, set: &Set) -> Result<(), Error> {
    let family = ipset::family(&set.elements);
    // hash:net takes no network of the whole family.
    let networks = set.elements.networks();
    let networks: Vec<Cidr> = networks
        .iter()
        .flat_map(|one| if one.prefix_length() == 0 { one.halves().to_vec() } else { vec![*one] })
        .collect();
    let room = networks.len().max(LEAST_ROOM);
    let mut text = String::with_capacity(networks.len() * 48 + 512);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "create {FILLING} hash:net family {family} maxelem {room}");
    networks.iter().for_each(|network| _ = writeln!(text, "add {FILLING} {network}"));
    let _ = writeln!(text, "swap {FILLING} {}\ndestroy {FILLING}", set.name);
    // What an interrupted run left may be of the other family.
    let _ = tools.ipset(&["destroy", FILLING], "");
    make(tools, &set.name, family);
    tools.ipset(&["restore"], &text).map(drop)
}

/// Makes a set with nothing in it, unless it is there: `-exist` would object to one with other room.
pub fn make(tools: &Tools, name: &str, family: &str) {
    let _ = tools.ipset(&["create", name, "hash:net", "family", family, "maxelem", &LEAST_ROOM.to_string()], "");
}

/// The sets that begin like this.
///
/// # Errors
/// Where ipset fails.
pub fn sets_called(tools: &Tools, is_it: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    if !tools.has_ipset() || !nft::can_be_asked() {
        return Ok(Vec::new());
    }
    let said = tools.ipset(&["list", "-name"], "")?;
    Ok(said.lines().filter(|name| is_it(name)).map(str::to_owned).collect())
}

/// Takes a set away that nothing uses.
///
/// # Errors
/// Where something does.
pub fn destroy(tools: &Tools, name: &str) -> Result<(), Error> {
    tools.ipset(&["destroy", name], "").map(drop)
}

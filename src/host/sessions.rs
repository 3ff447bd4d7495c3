//! Open sessions that a change of the rules ends, or ought to end.
//!
//! The guard keeps no state, so a session into a protected port ends with the admission of its source. A session that this
//! host opened itself goes on, because its replies come to a port that is not protected.

use std::net::IpAddr;

use super::HostError;
use super::links::Link;
use super::sockets::{self, DestroyError, Session, Which};
use crate::cluster::Site;
use crate::ir::{Ruleset, TcpFlags};
use crate::net::Interface;
use crate::semantics::{Door, Packet, Rules};
use crate::verify::Claims;

/// Sessions of this host.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// Into a protected port, from a source that is not admitted (any more).
    pub cut: Vec<Session>,
    /// Opened by this host, to a source that the rules in force admit and the new ones do not.
    pub outgoing: Vec<Session>,
}

/// What became of sessions that were to be ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// How many are gone.
    pub count: usize,
    /// Why some are not.
    pub failed: Option<String>,
}

/// The sessions that concern a change from the rules in force (none, if there were none) to those of a site.
///
/// # Errors
/// Where the socket table cannot be read.
pub fn affected(site: &Site<'_>, in_force: Option<&Ruleset>, links: &[Link]) -> Result<Sessions, HostError> {
    // Where nobody is blocked, nobody's session ends.
    if site.cluster().guard().is_staged() {
        return Ok(Sessions::default());
    }
    let claims = Claims::of(site);
    let old = in_force.map(Rules::new);
    let mut found = Sessions::default();
    for session in sockets::table(Which::Connected)? {
        let (remote, local) = (session.remote.ip().to_canonical(), session.local.ip().to_canonical());
        let own = |address: IpAddr| links.iter().find(|link| link.addresses.contains(&address));
        if remote.is_loopback() || remote == local || own(remote).is_some() || session.remote.port() == 0 {
            continue;
        }
        // On which interface its packets come in is not known: the owner of the address need not be it.
        let admitted = |port| claims.admits_somewhere(remote, port);
        if claims.protects(session.local.port()) {
            if !admitted(session.local.port()) {
                found.cut.push(session);
            }
        } else if claims.protects(session.remote.port()) && !admitted(session.remote.port()) {
            let interfaces = links.iter().filter_map(|link| link.name.parse().ok()).map(Some).chain([None]);
            let port = session.remote.port();
            let was =
                |old: &Rules<'_>| interfaces.into_iter().any(|on: Option<Interface>| passes(old, remote, port, on));
            if old.as_ref().is_some_and(was) {
                found.outgoing.push(session);
            }
        }
    }
    Ok(found)
}

fn passes(rules: &Rules<'_>, source: IpAddr, port: u16, interface: Option<Interface>) -> bool {
    let packet = Packet { port, interface, flags: TcpFlags::SYN, ..Packet::plain(source) };
    !rules.evaluate(Door::Input, &packet).may_block
}

/// Ends sessions: both programs see a reset.
#[must_use]
pub fn end(sessions: &[Session]) -> Ended {
    let mut ended = Ended::default();
    for session in sessions {
        match sockets::destroy(session) {
            Ok(()) => ended.count += 1,
            Err(error) => {
                ended.failed = Some(error.to_string());
                if !matches!(error, DestroyError::Request(_)) {
                    break;
                }
            }
        }
    }
    ended
}

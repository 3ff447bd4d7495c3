//! Small facts about a host, as several reports have them.

use std::fmt::Write as _;

use crate::host::sockets::Session;

/// Sessions by their ends.
#[must_use]
pub fn sessions_of(sessions: &[Session]) -> Vec<String> {
    sessions.iter().map(|session| format!("{} with {}", session.local, session.remote)).collect()
}

/// Some of them.
#[must_use]
pub fn sessions_text(sessions: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = String::new();
    for session in sessions.iter().take(SHOWN) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {session}");
    }
    if let Some(more) = sessions.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  ... and {more} more");
    }
    text
}

/// Where Erlang listens and nothing is guarded.
pub fn exposed_text(exposed: &[String]) -> String {
    let mut text = String::new();
    for one in exposed {
        let _ = writeln!(text, "EXPOSED: {one}, which no rule guards; `ringfence lint` says what to do");
    }
    text
}

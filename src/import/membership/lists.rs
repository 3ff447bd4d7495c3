//! Lists of names without states: `ringready`, `ring_members` of `riak-admin status`, and the JSON of `/stats`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{HELP, Member, Reader, State};

/// What `ringready` prints when all is well.
const RING_READY: &str = "TRUE All nodes agree on the ring";

/// What is read of `/stats`.
#[derive(Deserialize)]
struct Stats<'a> {
    #[serde(borrow)]
    ring_members: Option<Vec<Name<'a>>>,
}

/// Borrowed wherever it has no escapes, so that its place is known.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

pub(super) fn is_json(line: &str) -> bool {
    line.trim_start()
        .strip_prefix('{')
        .is_some_and(|rest| rest.trim().is_empty() || rest.trim_start().starts_with(['"', '}']))
}

/// A line that holds a list of members, or the beginning of one.
pub(super) fn is_list(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(RING_READY)
        || line.strip_prefix("ring_members").is_some_and(|rest| rest.trim_start().starts_with(':'))
}

impl<'a> Reader<'a> {
    /// The object that begins with this line, and where it ends.
    pub(super) fn json(&mut self, line: &'a str) -> (Vec<Member>, usize) {
        const STATS: &str =
            "give all that `riak-admin member-status` or `rabbitmqctl cluster_status --formatter json` prints";
        let first = line.trim();
        let text = self.behind(first);
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Stats<'_>>();
        let stats = stream.next();
        let end = self.text.len() - text.len() + stream.byte_offset();
        let names = match stats {
            Some(Ok(Stats { ring_members: Some(names) })) => names,
            Some(Ok(Stats { ring_members: None })) | None => {
                let message = "the JSON has neither the `ring_members` of Riak nor the `running_nodes` of RabbitMQ";
                self.refuse(self.span(first), message, STATS);
                return (Vec::new(), end);
            }
            Some(Err(error)) => {
                let lines = error.line().saturating_sub(1);
                let at = text.lines().nth(lines).map_or(first, str::trim);
                let message = format!("this is no JSON: {error}");
                self.refuse(self.span(at), message, STATS);
                return (Vec::new(), end);
            }
        };
        let members: Vec<Member> = names.iter().filter_map(|name| self.member(&name.0, State::Unstated)).collect();
        self.check_twice(&members);
        (members, end)
    }

    /// The list of atoms that begins in this line, and may go on in others, and where it ends.
    pub(super) fn list(&mut self, line: &'a str) -> (Vec<Member>, usize) {
        let mut members = Vec::new();
        let text = self.behind(line.trim());
        let whole = text.find('[').and_then(|start| Some((start, start + text.get(start..)?.find(']')?)));
        let end = self.text.len() - text.len() + whole.map_or(0, |(_, end)| end);
        let Some(inside) = whole.and_then(|(start, end)| text.get(start + 1..end)) else {
            self.refuse(self.span(line.trim()), "the list of members has no end: the output was cut", HELP);
            return (members, end);
        };
        for name in inside.split(',').map(str::trim) {
            // The caller reports an empty list.
            if !(name.is_empty() && inside.trim().is_empty()) {
                members.extend(self.member(name, State::Unstated));
            }
        }
        self.check_twice(&members);
        (members, end)
    }

    /// The text from a part of it on.
    pub(super) fn behind(&self, part: &str) -> &'a str {
        self.text.get(self.span(part).start as usize..).unwrap_or_default()
    }
}

//! The tables of `member-status` and of `cluster plan`.

use super::{HELP, Member, Membership, Reader, State, plan, state};

/// A table of members.
pub(super) struct Table<'a> {
    pub header: &'a str,
    pub members: Vec<Member>,
}

const TITLES: &str =
    "the states are `joining`, `valid`, `leaving`, `exiting` and `down`; give the output as Riak prints it";
const CUT: &str = "the end of the table is missing; give all that Riak prints";

pub(super) fn is_header(line: &str) -> bool {
    is_title(line, " Membership ")
}

/// A title between `=`.
pub(super) fn is_title(line: &str, title: &str) -> bool {
    let line = line.trim();
    line.starts_with("==") && line.ends_with("==") && line.trim_matches('=') == title
}

/// A line of dashes alone.
pub(super) fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 5 && line.bytes().all(|byte| byte == b'-')
}

impl<'a> Reader<'a> {
    /// All tables of the text, and what they say together.
    pub(super) fn tables(&mut self, lines: &[&'a str]) -> Option<(Vec<Member>, Option<Vec<Member>>)> {
        let mut tables: Vec<Table<'a>> = Vec::new();
        for (index, header) in lines.iter().enumerate().filter(|(_, line)| is_header(line)) {
            let behind = lines.get(index + 1..).unwrap_or_default();
            let table = self.table(header, behind);
            self.check_twice(&table.members);
            tables.push(table);
        }
        if lines.iter().any(|line| plan::is_of_plan(line)) {
            let Membership { today, planned, .. } = self.plan(lines, &tables)?;
            return Some((today, planned));
        }
        let mut tables = tables.into_iter();
        let first = tables.next()?;
        for other in tables {
            if !is_same(&first.members, &other.members) {
                let message = "this table contradicts the first one";
                self.refuse(self.span(other.header.trim()), message, "give one output only, the latest");
            }
        }
        Some((first.members, None))
    }

    fn table(&mut self, header: &'a str, lines: &[&'a str]) -> Table<'a> {
        let mut table = Table { header, members: Vec::new() };
        let rules: Vec<usize> = lines
            .iter()
            .take_while(|line| !line.trim().starts_with("=="))
            .enumerate()
            .filter(|(_, line)| is_rule(line))
            .map(|(index, _)| index)
            .take(2)
            .collect();
        let (Some(&first), last) = (rules.first(), rules.get(1)) else {
            self.refuse(self.span(header.trim()), "the table has no rows", CUT);
            return table;
        };
        let rows = lines.get(first + 1..last.copied().unwrap_or(lines.len())).unwrap_or_default();
        let mut all_read = true;
        for row in rows.iter().filter(|row| !row.trim().is_empty()) {
            match self.row(row.trim()) {
                Some(member) => table.members.push(member),
                None => all_read = false,
            }
        }
        let totals = last.and_then(|last| lines.get(last + 1..)?.iter().find(|line| !line.trim().is_empty()));
        match totals.map(|line| (line.trim(), counts(line))) {
            Some((line, Some(counts))) if all_read => self.check_totals(line, &counts, &table.members),
            Some((_, Some(_))) => {}
            Some((_, None)) | None => self.refuse(self.span(header.trim()), "the table has no line of totals", CUT),
        }
        table
    }

    /// `valid      34.4%     50.0%    'dev1@127.0.0.1'`, maybe with ` (legacy)` behind the state and ` (LOCATION)` behind all.
    fn row(&mut self, row: &'a str) -> Option<Member> {
        let (word, rest) = split_word(row);
        let Some(state) = state(word) else {
            self.refuse(self.span(word), format!("`{word}` is no state of a member"), TITLES);
            return None;
        };
        let rest = rest.strip_prefix("(legacy)").map_or(rest, str::trim_start);
        let (ring, rest) = split_word(rest);
        let (pending, rest) = split_word(rest);
        let name_end = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.find('\'').map_or(rest.len(), |end| end + 2),
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        let (name, behind) = rest.split_at(name_end);
        let behind = behind.trim();
        let is_location = behind.is_empty() || (behind.starts_with('(') && behind.ends_with(')'));
        if !is_percentage(ring) || !is_percentage(pending) || name.is_empty() || !is_location {
            self.refuse(self.span(row), format!("`{row}` is no row of a member"), HELP);
            return None;
        }
        self.member(name, state)
    }

    fn check_totals(&mut self, line: &str, totals: &[(State, usize)], members: &[Member]) {
        let count = |state: State| members.iter().filter(|member| member.state == state).count();
        let unstated = count(State::Unstated);
        let said: usize = totals.iter().map(|&(_, count)| count).fold(0, usize::saturating_add);
        let listed = members.len() - count(State::Invalid);
        let all_agree = totals.iter().all(|&(state, said)| said == count(state));
        if said != listed {
            let message = format!("the totals say {said} members, but the table lists {listed}");
            self.refuse(self.span(line), message, "the output was cut or edited; give all that Riak prints");
        } else if unstated == 0 && !all_agree {
            let message = "the totals of the states contradict the table";
            self.refuse(self.span(line), message, "the output was cut or edited; give all that Riak prints");
        }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (word, rest.trim_start())
}

fn is_percentage(word: &str) -> bool {
    word == "--" || word.strip_suffix('%').is_some_and(|number| number.parse::<f64>().is_ok())
}

/// `Valid:2 / Leaving:1 / Exiting:0 / Joining:0 / Down:0`, with blanks or not.
fn counts(line: &str) -> Option<Vec<(State, usize)>> {
    line.trim()
        .split('/')
        .map(|part| {
            let (name, count) = part.split_once(':')?;
            Some((state(&name.trim().to_ascii_lowercase())?, count.trim().parse().ok()?))
        })
        .collect()
}

fn is_same(one: &[Member], other: &[Member]) -> bool {
    let sorted = |members: &[Member]| {
        let mut members: Vec<(String, u8)> =
            members.iter().map(|member| (member.name.clone(), member.state as u8)).collect();
        members.sort();
        members
    };
    sorted(one) == sorted(other)
}

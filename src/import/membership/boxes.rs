//! `cluster status`: a table in a box of `+`, `-` and `|`, or of the characters that Unicode has for it.

use super::{HELP, Member, Reader, state};

const UPRIGHT: [char; 4] = ['|', '│', '┃', '║'];

/// A row that names the columns.
pub(super) fn is_header(line: &str) -> bool {
    let cells = cells(line);
    cells.contains(&"node") && cells.contains(&"status")
}

/// A line of the box between two rows.
fn is_border(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.chars().all(|c| "+-=".contains(c) || ('─'..='╿').contains(&c)) && !is_row(line)
}

fn is_row(line: &str) -> bool {
    line.trim().starts_with(UPRIGHT)
}

fn cells(line: &str) -> Vec<&str> {
    let Some(inside) = line.trim().strip_prefix(UPRIGHT) else { return Vec::new() };
    let inside = inside.strip_suffix(UPRIGHT).unwrap_or(inside);
    inside.split(UPRIGHT).map(str::trim).collect()
}

impl<'a> Reader<'a> {
    /// The table that begins with its header, and where it ends.
    pub(super) fn boxes(&mut self, lines: &[&'a str]) -> (Vec<Member>, usize) {
        let mut members = Vec::new();
        let Some((header, behind)) = lines.split_first() else { return (members, self.text.len()) };
        let titles = cells(header);
        let column = |title: &str| titles.iter().position(|&cell| cell == title);
        let table: Vec<&'a str> = behind.iter().copied().take_while(|line| is_row(line) || is_border(line)).collect();
        let end = self.span(table.last().unwrap_or(header)).end as usize;
        let (Some(node), Some(status)) = (column("node"), column("status")) else { return (members, end) };
        for row in table.iter().filter(|line| is_row(line)) {
            let cells = cells(row);
            let (Some(&node), Some(&status)) = (cells.get(node), cells.get(status)) else {
                self.refuse(self.span(row.trim()), format!("`{}` is no row of this table", row.trim()), HELP);
                continue;
            };
            members.extend(self.box_row(row.trim(), node, status));
        }
        if table.last().is_none_or(|line| !is_border(line)) {
            let message = "the table has no end: the output was cut";
            self.refuse(self.span(header.trim()), message, "give all that Riak prints");
        }
        self.check_twice(&members);
        (members, end)
    }

    fn box_row(&mut self, row: &str, node: &str, status: &str) -> Option<Member> {
        if status.is_empty() {
            let message = format!("`{row}` goes on with the row above it, and names cannot be told apart");
            self.refuse(self.span(row), message, HELP);
            return None;
        }
        let Some(state) = state(status) else {
            let help =
                "the states are `joining`, `valid`, `leaving`, `exiting` and `down`; give the output as Riak prints it";
            self.refuse(self.span(status), format!("`{status}` is no state of a member"), help);
            return None;
        };
        // The claimant is marked.
        self.member(node.strip_prefix("(C)").map_or(node, str::trim_start), state)
    }
}

//! A rehearsal as plain text, for a terminal or a file.

use std::fmt::Write as _;

use super::{Agreement, Counts, Disagreement, Group, Judged, Rehearsed};

/// Clients that fare alike stand together where there are more rows.
const MOST_ROWS: usize = 40;
/// So many disagreements are told one by one.
const MOST_TOLD: usize = 10;

impl Rehearsed {
    /// All of it as text; with colours for a terminal.
    #[must_use]
    pub fn text(&self, coloured: bool) -> String {
        let of = self.node.as_deref().map_or_else(|| "every node".to_owned(), |node| format!("node {node}"));
        let whose =
            if self.rules == "compiled" { "the rules that the cluster file makes" } else { "the rules in these files" };
        // Writing to a String cannot fail.
        let mut text =
            format!("Rehearsal of {whose}, {}, {of}, by {} on Linux {}\n", self.cluster, self.backend, self.kernel);
        if self.host {
            text.push_str("With this host's other rules, its interfaces and their addresses; not with its routes, settings and services\n");
        }
        text.push('\n');
        self.matrix(&mut text, coloured);
        text.push('\n');
        self.summary(&mut text);
        self.told(&mut text);
        text
    }

    fn matrix(&self, text: &mut String, coloured: bool) {
        let mut head = [vec![String::new(); 2], vec![String::new(); 2]];
        head[0].extend(self.services.iter().map(|own| own.name.clone()));
        head[1].extend(self.services.iter().map(|own| few(&own.ports)));
        let mut table: Vec<Vec<String>> = head.into();
        let mut bad = vec![Vec::new(); table.len()];
        for (label, family, cells) in self.shown_rows() {
            let words = cells.iter().map(Counts::word);
            table.push([label, family].into_iter().chain(words).collect());
            bad.push(cells.iter().map(Counts::tone).collect());
        }
        let columns = table.first().map_or(0, Vec::len);
        let width = |at: usize| table.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        for (row, tones) in table.iter().zip(&bad) {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
                let tone = at.checked_sub(2).and_then(|at| tones.get(at)).copied().flatten().filter(|_| coloured);
                match tone {
                    Some(tone) => _ = write!(line, "\u{1b}[{tone}m{cell}\u{1b}[0m{pad}"),
                    None => _ = write!(line, "{cell}{pad}"),
                }
            }
            let _ = writeln!(text, "  {}", line.trim_end());
        }
    }

    /// The rows; of very many clients those that fare alike together, and of one source the interfaces on which it does.
    fn shown_rows(&self) -> Vec<(String, String, Vec<Counts>)> {
        let together = self.rows.len() > MOST_ROWS;
        let mut shown: Vec<Shown<'_>> = Vec::new();
        for row in &self.rows {
            let words = |cells: &[Counts]| cells.iter().map(Counts::word).collect::<Vec<_>>();
            let client = |group: &Group| group.who.starts_with("client ");
            let like = |other: &&mut Shown<'_>| {
                let by_name =
                    client(row) && client(other.row) && row.interface == other.row.interface && other.interfaces == 0;
                let by_interface = row.who == other.row.who && other.clients == 0;
                row.family == other.row.family
                    && (by_name || by_interface)
                    && words(&row.cells) == words(&other.row.cells)
            };
            match shown.iter_mut().find(like).filter(|_| together) {
                Some(other) => {
                    let count = if row.who == other.row.who { &mut other.interfaces } else { &mut other.clients };
                    *count += 1;
                    other.cells.iter_mut().zip(&row.cells).for_each(|(all, one)| *all = all.and(one));
                }
                None => shown.push(Shown { row, clients: 0, interfaces: 0, cells: row.cells.clone() }),
            }
        }
        let more = |count| if count == 0 { String::new() } else { format!(" and {count} more") };
        let named = shown.into_iter().map(|Shown { row, clients, interfaces, cells }| {
            let on = row.interface.as_ref().map(|name| format!(" on {name}{}", more(interfaces))).unwrap_or_default();
            (format!("{}{}{on}", row.who, more(clients)), row.family.to_owned(), cells)
        });
        named.collect()
    }

    fn summary(&self, text: &mut String) {
        let Counts { tried, through, by_guard, by_others, by_rules, by_kernel, undecided, disagree, .. } = self.packets;
        let places = if self.places_tried < self.places {
            format!(
                ", at {} of {} peers and networks of clients, the edges of each included",
                self.places_tried, self.places
            )
        } else {
            String::new()
        };
        let _ = writeln!(text, "  {tried} packets from {} addresses{places}: {through} got through", self.sources);
        let by = [
            (by_guard, "dropped by the guard, by its counters"),
            (by_others, "dropped by other rules"),
            (by_rules, "dropped by rules; whose is not told"),
            (by_kernel, "dropped by the kernel without any rules, too, so that nothing was observed of these"),
        ];
        for (count, words) in by.into_iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(text, "  {count} {words}");
        }
        if self.without_ipv6 {
            text.push_str("  IPv6 was NOT rehearsed: this kernel has none\n");
        }
        for own in &self.not_tried {
            let _ = writeln!(text, "  NOT tried: {own}");
        }
        for own in &self.not_copied {
            let _ = writeln!(text, "  NOT copied of this host: {own}");
        }
        let _ = writeln!(
            text,
            "  {}",
            match self.verdict {
                Agreement::Undecided if undecided == 0 => {
                    "UNDECIDED: of the packets all agree, and not all of this host was there".to_owned()
                }
                Agreement::Agree if by_kernel > 0 => format!(
                    "observed, wanted by the cluster file, computed from the rules: the three AGREE about each of the {} that were observed",
                    tried - by_kernel
                ),
                Agreement::Agree =>
                    "observed, wanted by the cluster file, computed from the rules: the three AGREE about each of them"
                        .to_owned(),
                Agreement::OnPurpose => {
                    "nobody is kept out ON PURPOSE, as the cluster file wants it for now (`on-block = \"log-only\"`)"
                        .to_owned()
                }
                Agreement::Undecided => format!("UNDECIDED: of {undecided} it cannot be computed what becomes of them"),
                Agreement::Disagree => format!(
                    "observed, wanted by the cluster file, computed from the rules: the three DISAGREE about {disagree} of them"
                ),
            }
        );
        text.push_str(match self.claims {
            Judged::Proved if self.host => "  these packets are a sample; of all packets the rules, with this host's others, were PROVED to do what the cluster file wants\n",
            Judged::Proved => "  these packets are a sample; of all packets the rules were PROVED to do what the cluster file wants\n",
            Judged::OnPurpose => "  these packets are a sample; of all packets the rules were judged, and nobody is kept out on purpose\n",
            Judged::Violated => "  these packets are a sample; of all packets the rules do NOT do what the cluster file wants: `ringfence verify` shows which\n",
            Judged::Undecided => "  these packets are a sample; of all packets it is UNDECIDED whether the rules do what the cluster file wants: `ringfence verify` says why\n",
        });
    }

    /// The disagreements; what is the same at several services once.
    fn told(&self, text: &mut String) {
        let like = |one: &Disagreement, other: &Disagreement| {
            let said =
                |own: &Disagreement| (own.who.clone(), own.packet_from(), own.observed, own.wanted, own.computed);
            said(one) == said(other)
        };
        let groups: Vec<&[Disagreement]> = self.disagreements.chunk_by(like).collect();
        for group in groups.iter().take(MOST_TOLD) {
            let Some(one) = group.first() else { continue };
            let services: Vec<&str> = group.iter().map(|own| own.service.as_str()).collect();
            let _ = writeln!(text, "\n  {}, at {}: {}", one.who, services.join(", "), one.words());
            let _ = writeln!(text, "    packet:   {} ({})", one.packet, one.kind);
            let _ = writeln!(text, "    observed: {}", seen_text(one.observed));
            let _ = writeln!(text, "    wanted:   {}", one.wanted);
            let _ = writeln!(text, "    computed: {}", one.computed);
        }
        if groups.len() > MOST_TOLD {
            text.push_str("\n  ... and more; `--json` has the first packet of each cell\n");
        }
    }
}

/// Rows that are shown as one.
struct Shown<'a> {
    row: &'a Group,
    /// So many other clients are in it.
    clients: usize,
    /// So many other interfaces.
    interfaces: usize,
    cells: Vec<Counts>,
}

impl Counts {
    /// What a cell of the matrix says.
    fn word(&self) -> String {
        if self.tried == 0 {
            return "-".to_owned();
        }
        let all = |count: usize| count == self.tried;
        let by = [
            (self.by_guard, "guard"),
            (self.by_others, "other rules"),
            (self.by_rules, "rules"),
            (self.by_kernel, "kernel"),
        ];
        let blockers: Vec<&str> = by.into_iter().filter(|(count, _)| *count > 0).map(|(_, word)| word).collect();
        let what = if all(self.through) {
            "through".to_owned()
        } else if all(self.by_kernel) {
            "- kernel".to_owned()
        } else if self.through == 0 {
            format!("blocked: {}", blockers.join(", "))
        } else {
            format!("{} of {} through", self.through, self.tried)
        };
        match (self.disagree, self.undecided) {
            (0, 0) => what,
            (0, _) => format!("UNDECIDED {what}"),
            (_, _) => format!("WRONG {what}"),
        }
    }

    /// Its colour, as a terminal's number.
    fn tone(&self) -> Option<u8> {
        match (self.disagree, self.undecided, self.tried) {
            (1.., ..) => Some(31),
            (0, 1.., _) => Some(33),
            (0, 0, tried) if tried > 0 && self.through == tried => Some(32),
            (0, 0, _) => None,
        }
    }
}

impl Disagreement {
    /// Where it comes from, by which interface.
    fn packet_from(&self) -> String {
        let from = self.packet.split(" to ").next().unwrap_or_default();
        let on = self.packet.split(", ").find(|part| part.starts_with("in on ")).unwrap_or_default();
        format!("{from} {on}")
    }

    /// What is wrong, and with what.
    fn words(&self) -> &'static str {
        let through = self.observed == "through";
        let wanted = self.wanted == "through";
        match (self.observed == "kernel", through == wanted) {
            (true, _) => "the rules do not do what the cluster file wants, though this kernel drops it anyway",
            (false, true) => {
                "it fares as it is to, and the rules compute to something else: a mistake in ringfence, please report it"
            }
            (false, false) if (self.computed == "through") == through && self.computed != "undecided" => {
                if through {
                    "the rules let it in, and the cluster file does not"
                } else {
                    "the rules block it, and the cluster file admits it"
                }
            }
            (false, false) if self.computed == "undecided" => {
                "it does not fare as it is to; what the rules compute to cannot be said of it"
            }
            (false, false) => "it does not fare as it is to, nor as the rules compute to: please report it",
        }
    }
}

fn seen_text(word: &str) -> &str {
    match word {
        "through" => "it got through",
        "guard" => "dropped by the guard",
        "other-rules" => "dropped by rules that are not the guard's",
        "rules" => "dropped by rules",
        "kernel" => "nothing: the kernel drops it without any rules, too",
        other => other,
    }
}

fn few(ports: &[String]) -> String {
    const SHOWN: usize = 2;
    let shown: Vec<&str> = ports.iter().take(SHOWN).map(String::as_str).collect();
    match ports.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

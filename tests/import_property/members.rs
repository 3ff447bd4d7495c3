//! The outputs that say who is in a cluster.

use crate::generate::Random;
use crate::model::{Model, Node};

const RULE: &str = "-------------------------------------------------------------------------------";

pub fn write(model: &Model, random: &mut Random) -> String {
    // The others show no states, and would admit an invalid member.
    let stateless = model.nodes.iter().all(|node| node.state != "invalid");
    let text = match random.below(if stateless { 7 } else { 4 }) {
        0 => status(model, true, random),
        1 => status(model, false, random),
        2 => boxes(model),
        3 => plan(model).unwrap_or_else(|| status(model, true, random)),
        4 => format!("TRUE All nodes agree on the ring [{}]\n", names(model, "'", random)),
        5 => format!(
            "{{\"vnode_gets\":0,\"nodename\":\"{}\",\"connected_nodes\":[],\"ring_members\":[{}],\"sys_otp_release\":\"R16\"}}\n",
            model.nodes[0].name,
            names(model, "\"", random)
        ),
        _ => format!(
            "1-minute stats for 'x'\n{RULE}\nconnected_nodes : []\nnodename : '{}'\nring_members : [{}]\nvnode_gets : 0\n",
            model.nodes[0].name,
            names(model, "'", random)
        ),
    };
    let before = *random.pick(&["", "", "Attempting to restart script through sudo -H -u riak\n"]);
    let text = format!("{before}{text}");
    if random.chance(15) { text.replace('\n', "\r\n") } else { text }
}

fn names(model: &Model, quote: &str, random: &mut Random) -> String {
    let names: Vec<String> = model.nodes.iter().map(|node| format!("{quote}{}{quote}", node.name)).collect();
    names.join(*random.pick(&[",", ", ", ",\n     "]))
}

/// With the totals of the states below it.
fn table(rows: &[(&str, &Node)], old: bool, random: Option<&mut Random>) -> String {
    let mut text = format!(
        "================================= Membership ==================================\n\
         Status     Ring    Pending    Node\n{RULE}\n"
    );
    let mut random = random;
    for (state, node) in rows {
        let mut chance = |percent| random.as_mut().is_some_and(|random| random.chance(percent));
        let legacy = if old && chance(10) { " (legacy)" } else { "" };
        let location = if !old && chance(30) { " (rack_a)" } else { "" };
        let pending = if chance(30) { " 12.5%" } else { "  --  " };
        let quote = if old { "'" } else { "" };
        let state = format!("{state}{legacy}");
        text.push_str(&format!("{state:<10} 14.3%    {pending}    {quote}{}{quote}{location}\n", node.name));
    }
    let count = |state: &str| rows.iter().filter(|(own, _)| *own == state).count();
    let blank = if old { "" } else { " " };
    let totals = ["Valid", "Leaving", "Exiting", "Joining", "Down"].map(|title| {
        let number = count(&title.to_lowercase());
        format!("{title}:{blank}{number}")
    });
    text + &format!("{RULE}\n{}\n", totals.join(" / "))
}

fn status(model: &Model, old: bool, random: &mut Random) -> String {
    let rows: Vec<(&str, &Node)> = model.nodes.iter().map(|node| (node.state, node)).collect();
    table(&rows, old, Some(random))
}

fn boxes(model: &Model) -> String {
    let width = model.nodes.iter().map(|node| node.name.len()).max().unwrap_or_default() + 6;
    let border = format!("+{}+-------+-------+-----+-------+\n", "-".repeat(width));
    let mut text = format!(
        "---- Cluster Status ----\nRing ready: true\n\n{border}|{:^width$}|status | avail |ring |pending|\n",
        "node"
    );
    text.push_str(&border);
    for (number, node) in model.nodes.iter().enumerate() {
        let name = format!(" {} {} ", if number == 0 { "(C)" } else { "   " }, node.name);
        text.push_str(&format!("|{name:<width$}|{:<7}|  up   | 14.3|  --   |\n", node.state));
    }
    text + &border + "\nKey: (C) = Claimant; availability marked with '!' is unexpected\n"
}

/// Joiners and leavers as staged changes; there is no plan without any.
fn plan(model: &Model) -> Option<String> {
    let change = |node: &Node| match node.state {
        "joining" => Some(format!("join           '{}'\n", node.name)),
        "leaving" => Some(format!("leave          '{}'\n", node.name)),
        _ => None,
    };
    let changes: String = model.nodes.iter().filter_map(change).collect();
    if changes.is_empty() {
        return None;
    }
    let state = |node: &Node| if node.state == "joining" { "valid" } else { node.state };
    let rows: Vec<(&str, &Node)> = model.nodes.iter().map(|node| (state(node), node)).collect();
    Some(format!(
        "=============================== Staged Changes ================================\n\
         Action         Details(s)\n{RULE}\n{changes}{RULE}\n\n\n\
         NOTE: Applying these changes will result in 1 cluster transition\n\n\
         ###############################################################################\n                         \
         After cluster transition 1/1\n\
         ###############################################################################\n\n{}\n",
        table(&rows, true, None)
    ))
}

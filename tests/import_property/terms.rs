//! Erlang terms in all their spellings.

use std::net::IpAddr;

use crate::generate::Random;

/// A term, as far as configuration files have them.
#[derive(Clone)]
pub enum Term {
    Atom(String),
    Number(u16),
    Text(String),
    Address(IpAddr),
    Tuple(Vec<Term>),
    List(Vec<Term>),
    /// Something that is no setting of a listener's, as it stands.
    Raw(&'static str),
}

pub fn atom(name: &str) -> Term {
    Term::Atom(name.to_owned())
}

/// `{Key, Value}`.
pub fn pair(key: &str, value: Term) -> Term {
    Term::Tuple(vec![atom(key), value])
}

pub fn listener((address, port): (IpAddr, u16)) -> Term {
    Term::Tuple(vec![Term::Address(address), Term::Number(port)])
}

/// White space and comments, where a term may have them.
fn gap(random: &mut Random) -> &'static str {
    const GAPS: &[&str] = &[
        "",
        "",
        "",
        "",
        " ",
        "\n",
        "\t",
        "\r\n ",
        "  %% {http, [ {\"10.9.9.9\", 1} ]},\n",
        " % ]}. \"\n\t",
        "%\n",
        "\n\n",
    ];
    random.pick::<&str>(GAPS)
}

pub fn spell(term: &Term, random: &mut Random) -> String {
    let (before, after) = (gap(random), gap(random));
    let text = match term {
        Term::Atom(name) if random.chance(20) => format!("'{name}'"),
        Term::Atom(name) => name.clone(),
        Term::Number(number) => spell_number(*number, random),
        Term::Text(text) => spell_text(text, random),
        Term::Address(address) => spell_address(*address, random),
        Term::Tuple(parts) => format!("{{{}}}", spell_all(parts, random)),
        Term::List(items) => format!("[{}]", spell_all(items, random)),
        Term::Raw(text) => (*text).to_owned(),
    };
    format!("{before}{text}{after}")
}

fn spell_all(terms: &[Term], random: &mut Random) -> String {
    let all: Vec<String> = terms.iter().map(|term| spell(term, random)).collect();
    all.join(",")
}

fn spell_number(number: u16, random: &mut Random) -> String {
    match random.below(8) {
        0 => format!("16#{number:x}"),
        1 => format!("16#{number:X}"),
        2 => format!("8#{number:o}"),
        3 => format!("2#{number:b}"),
        4 => format!("0{number}"),
        _ => number.to_string(),
    }
}

fn spell_text(text: &str, random: &mut Random) -> String {
    if random.chance(10) && text.len() > 2 {
        let (one, two) = text.split_at(2);
        return format!("\"{one}\" \"{two}\"");
    }
    let escaped: String = text
        .chars()
        .map(|c| match random.below(30) {
            0 => format!("\\x{{{:x}}}", u32::from(c)),
            1 => format!("\\{:03o}", u32::from(c)),
            _ => c.to_string(),
        })
        .collect();
    if random.chance(10) { format!("<<\"{text}\">>") } else { format!("\"{escaped}\"") }
}

fn spell_address(address: IpAddr, random: &mut Random) -> String {
    if random.chance(70) {
        return spell_text(&address.to_string(), random);
    }
    let numbers: Vec<u16> = match address {
        IpAddr::V4(address) => address.octets().iter().map(|octet| u16::from(*octet)).collect(),
        IpAddr::V6(address) => address.segments().to_vec(),
    };
    let parts: Vec<Term> = numbers.into_iter().map(Term::Number).collect();
    format!("{{{}}}", spell_all(&parts, random))
}

/// In any order.
pub fn shuffle<T>(list: &mut [T], random: &mut Random) {
    for last in (1..list.len()).rev() {
        list.swap(last, random.below(last + 1));
    }
}

/// A whole configuration file, with applications that have nothing to do with it.
pub fn file(applications: Vec<(&str, Vec<Term>)>, random: &mut Random) -> String {
    const OTHERS: [&str; 4] = [
        "{sasl, [{sasl_error_logger, {file, \"log/sasl-error.log\"}}, {errlog_type, error}, {utc_log, true}]}",
        "{bitcask, [{data_root, \"/var/lib/riak\"}, {io_mode, erlang}, {ratio, 1.5e-3}, {pair, [a | b]}]}",
        "{riak_sysmon, [{process_limit, 30}, {'a key', <<1, 2:16, \"x\">>}, {chars, [$a, $\\s, $\\n]}]}",
        "{lager, [{handlers, [{lager_file_backend, [{\"/var/log/riak/error.log\", error, 10485760, \"$D0\", 5}]}]}]}",
    ];
    let mut terms: Vec<Term> = OTHERS.iter().filter(|_| random.chance(40)).map(|other| Term::Raw(other)).collect();
    for (name, mut settings) in applications {
        if !settings.is_empty() || random.chance(30) {
            shuffle(&mut settings, random);
            terms.push(pair(name, Term::List(settings)));
        }
    }
    shuffle(&mut terms, random);
    // A full stop is one only before white space or a comment.
    let end = *random.pick(&["\n", " % the end\n", "\r\n"]);
    format!("{}.{end}", spell(&Term::List(terms), random))
}

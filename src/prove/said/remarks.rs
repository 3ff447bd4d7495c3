//! The remarks of a text, in whatever way its dialect writes them.

/// A remark of a text: the number of its line, and what it says.
pub type Remark = (usize, String);

/// How a dialect writes remarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Behind any `#` that does not stand in quotes, which may go on over lines, and in which nothing is escaped: nft.
    Anywhere,
    /// In lines that begin with it: what iptables and ipset restore.
    AtTheBeginning,
}

/// What the header said of services that are unused, and what it says now.
const BEFORE: &str = "NOT guarded, because said to be unused: ";
const NOW: &str = "NOT guarded, because declared unused: ";

/// All remarks of a text whose first line has this number, wherever they stand: lines of their own, and behind what they are about. With
/// whatever else than a letter or a number a remark begins, such as `##` or `# |`, it reads as the same one.
pub fn remarks(text: &str, first: usize, hash: Hash) -> Vec<Remark> {
    let mut quoted = false;
    let numbered = text.lines().enumerate().map(|(at, line)| (at + first, line));
    let said = numbered.filter_map(|(at, line)| {
        let said = match hash {
            Hash::Anywhere => behind_hash(line, &mut quoted)?,
            Hash::AtTheBeginning => {
                line.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace()).strip_prefix('#')?
            }
        };
        // Rules that an earlier build made say it so.
        let said = bare(said);
        let said = said.strip_prefix(BEFORE).map_or_else(|| said.to_owned(), |rest| format!("{NOW}{rest}"));
        Some((at, said))
    });
    said.filter(|(_, said)| !said.is_empty()).collect()
}

/// What stands behind the first `#` of a line that is not in quotes, of which some may have begun before.
fn behind_hash<'l>(line: &'l str, quoted: &mut bool) -> Option<&'l str> {
    for (at, c) in line.char_indices() {
        match c {
            '#' if !*quoted => return line.get(at..),
            '"' => *quoted = !*quoted,
            _ => {}
        }
    }
    None
}

/// A remark from its first letter or number on.
pub(super) fn bare(line: &str) -> &str {
    line.trim_start_matches(|c: char| !c.is_alphanumeric()).trim_end()
}

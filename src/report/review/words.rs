//! Words of somebody else's as they may be shown, and numbers as they are read.

/// A text in which nothing controls what shows it: control characters, marks that turn the direction of writing around and such as
/// cannot be seen become their numbers. Everything that is shown anywhere in the document is made of this.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// What controls, or has no look of its own: Unicode 16, categories Cc, Cf, Zl and Zp, and the fillers that are blank.
pub(in crate::report) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The same, and no longer than a reader takes in. A rule may hold ten thousand addresses.
pub(super) fn clipped(text: &str) -> String {
    const LONGEST: usize = 240;
    let mut all = text.chars();
    let start: String = all.by_ref().take(LONGEST).collect();
    let more = if all.next().is_some() { " …" } else { "" };
    plain(&start) + more
}

/// A number in groups of three digits; one of IPv6 as a power of two.
pub(super) fn count(digits: &str) -> String {
    const READABLE: usize = 13;
    if digits.len() > READABLE {
        let bits = digits.parse::<u128>().map_or(128, |number| (number as f64).log2().round() as u32);
        return format!("about 2^{bits}");
    }
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The first few of some words, and how many more there are.
pub(super) fn few(words: &[String], named: usize, more: usize) -> String {
    let shown: Vec<&str> = words.iter().take(named).map(String::as_str).collect();
    match words.len().saturating_sub(named) + more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_is_shown_as_its_number() {
        assert_eq!(plain("a\u{1b}[31m\u{202e}\nb\u{9b}\u{200b}é"), "a\\u{1b}[31m\\u{202e}\\u{a}b\\u{9b}\\u{200b}é");
        assert_eq!(clipped(&"x".repeat(1000)).chars().count(), 242);
    }

    #[test]
    fn numbers_as_they_are_read() {
        assert_eq!(["7", "256", "65536", "4294967294"].map(count), ["7", "256", "65,536", "4,294,967,294"]);
        assert_eq!(count("340282366920938463463374607431768211456"), "about 2^128");
        assert_eq!(count("18446744073709551616"), "about 2^64");
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            (few(&words, 2, 0), few(&words, 3, 4)),
            ("a, b and 1 more".to_owned(), "a, b, c and 4 more".to_owned())
        );
    }
}

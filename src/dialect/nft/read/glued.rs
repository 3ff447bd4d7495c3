//! Words that nft takes for several: its scanner (scanner.l) needs no blank behind a number or an asterisk, so `8098accept` is a port and a
//! verdict.

use std::net::Ipv6Addr;

/// Whether it is one word, or several that stand for themselves whatever stands between them, as in `10.0.0.1-10.0.0.9` and `80:accept`.
pub fn is_one(word: &str) -> bool {
    let bytes = word.as_bytes();
    let letters = || bytes.iter().any(u8::is_ascii_alphabetic);
    match bytes.first() {
        Some(b'0'..=b'9' | b':' | b'[') if letters() => {}
        Some(b'0'..=b'9' | b':' | b'[') => return true,
        _ => {
            let mut stars = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'*').map(|(at, _)| at);
            let last = bytes.len().saturating_sub(1);
            let inside =
                |at: usize| at != 0 && at != last && at.checked_sub(1).and_then(|at| bytes.get(at)) != Some(&b'\\');
            if stars.any(inside) {
                return false;
            }
            if !bytes.contains(&b':') {
                return true;
            }
        }
    }
    word.split(['/', '-', '[', ']']).all(|part| {
        if part.bytes().filter(|byte| *byte == b':').count() > 1 {
            // Behind an address there may be a verdict, too: `fe80::return`.
            return part.parse::<Ipv6Addr>().is_ok() || is_ethernet(part);
        }
        part.split(':').all(|part| !part.starts_with(|c: char| c.is_ascii_digit()) || is_number(part))
    })
}

fn is_ethernet(part: &str) -> bool {
    let mut octets = part.split(':');
    octets.clone().count() == 6
        && octets.all(|octet| matches!(octet.len(), 1 | 2) && octet.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A number in any of nft's forms, a time among them, or one with its unit.
fn is_number(part: &str) -> bool {
    let digits = part.bytes().take_while(u8::is_ascii_digit).count();
    let unit = part.get(digits..).unwrap_or_default();
    if part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        || matches!(unit, "bytes" | "kbytes" | "mbytes" | "packets")
        // Names of protocols, and classes of tc, which are hexadecimal; no verdict is.
        || matches!(part, "8021q" | "8021ad")
        || part.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return true;
    }
    if let Some(hex) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        return !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    // A time: `1d2h3m4s5ms`, of which each may be left out.
    let mut rest = part;
    for unit in ["d", "h", "m", "s", "ms"] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let behind = rest.get(digits..).unwrap_or_default();
        let own = behind.strip_prefix(unit).filter(|_| digits > 0 && !(unit == "m" && behind.starts_with("ms")));
        rest = own.unwrap_or(rest);
    }
    rest.is_empty()
}

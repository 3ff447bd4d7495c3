//! What an `include` takes in.

use std::fs;
use std::io;
use std::path::Path;

/// More names than this are not shown.
const SHOWN: usize = 5;

/// The files that fit a path or pattern, as seen from a folder; `None` where that cannot be known.
pub(super) fn files(folder: &Path, pattern: &str) -> Option<Vec<String>> {
    let (inner, pattern) = pattern.rsplit_once('/').map_or(("", pattern), |(inner, pattern)| match inner {
        "" => ("/", pattern),
        _ => (inner, pattern),
    });
    if inner.contains('*') {
        return None;
    }
    let at = Path::new(".").join(folder).join(inner);
    let names: io::Result<Vec<String>> = match fs::read_dir(at) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let mut names: Vec<String> = names.ok()?.into_iter().filter(|name| fits(name, pattern)).collect();
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    Some(names)
}

/// `*` stands for any characters, or none.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return name == pattern };
    let (parts, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut name) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else { return false };
    for part in parts.split('*') {
        let Some((_, behind)) = name.split_once(part) else { return false };
        name = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("*.conf", ["a.conf", ".conf"], ["a.config", "conf"]),
            ("a*b*c", ["abc", "axbbc"], ["ab", "acb"]),
            ("a*a", ["aa", "aba"], ["a", "ab"]),
            ("**", ["", "a"], ["\u{0}", "\u{0}"]),
            ("a.conf", ["a.conf", "a.conf"], ["b.conf", "a.confx"]),
        ] {
            assert!(yes.iter().all(|name| fits(name, pattern)), "{pattern}");
            assert!(pattern == "**" || !no.iter().any(|name| fits(name, pattern)), "{pattern}");
        }
    }

    #[test]
    fn what_is_there_and_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(files(folder.path(), "conf.d/*.conf"), Some(Vec::new()));
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        fs::write(folder.path().join("conf.d/b.conf"), "").unwrap();
        fs::write(folder.path().join("conf.d/a.conf"), "").unwrap();
        assert_eq!(files(folder.path(), "conf.d/*.conf").unwrap(), ["a.conf", "b.conf"]);
        assert_eq!(files(folder.path(), "conf.d/*.other"), Some(Vec::new()));
        assert_eq!(files(folder.path(), "*/a.conf"), None);
    }
}

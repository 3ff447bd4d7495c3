//! Runs that are written down word for word.

use std::fs;
use std::path::Path;

/// Holds what came out against what is written, or writes it where `RINGFENCE_BLESS` asks for that. Read the difference before you
/// commit it.
pub fn held_against(path: &Path, written: &str, found: &str) {
    if std::env::var_os("RINGFENCE_BLESS").is_some() {
        fs::write(path, found).unwrap();
        return;
    }
    let different = written.lines().zip(found.lines()).enumerate().find(|(_, (old, new))| old != new);
    if let Some((number, (old, new))) = different {
        panic!("{}:{}\n  expected {old}\n  found    {new}", path.display(), number + 1);
    }
    assert_eq!(written, found, "{}", path.display());
}

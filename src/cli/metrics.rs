//! Metrics of what is in force, as a file for the textfile collector of node_exporter.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::files::only_over;
use crate::report::{Status, metrics};

/// Everybody may read it: whoever collects it is not root.
const MODE: u32 = 0o644;

/// Whole or not at all, under a name that no collector reads until then.
pub fn write(file: &Path, found: Option<&Status>) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let are_metrics = |bytes: &[u8]| bytes.is_empty() || bytes.starts_with(b"# HELP ringfence_");
    only_over(file, are_metrics, "metrics of ringfence")?;
    let written = || {
        let mut new = NamedTempFile::new_in(folder)?;
        new.write_all(metrics(found).as_bytes())?;
        new.as_file().set_permissions(Permissions::from_mode(MODE))?;
        new.persist(file).map(drop).map_err(|error| error.error)
    };
    written().with_context(|| format!("cannot write {}", file.display()))
}

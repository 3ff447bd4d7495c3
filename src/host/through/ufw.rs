//! ufw: by its own means.

use std::path::Path;

use crate::host::HostError;
use crate::ir::Opening;

/// Whether it runs in this network namespace.
#[must_use]
pub fn is_active() -> bool {
    false
}

/// Whether anything of ours is in its configuration.
#[must_use]
pub fn has_ours(_root: &Path) -> bool {
    false
}

/// What is to be written, a line each.
///
/// # Errors
/// Where it cannot be asked.
pub fn planned(_root: &Path, _openings: &[Opening]) -> Result<Vec<String>, HostError> {
    Ok(Vec::new())
}

/// Writes it. Says whether there was anything to write.
///
/// # Errors
/// Where it refuses.
pub fn bring(_root: &Path, _openings: &[Opening]) -> Result<bool, HostError> {
    Ok(false)
}

/// What it would be, for whoever brings it in by hand.
///
/// # Errors
/// Where it cannot be said to it.
pub fn text(_openings: &[Opening]) -> Result<String, HostError> {
    Ok(String::new())
}

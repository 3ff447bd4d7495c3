//! What versions of nft leave out of their JSON.

use serde_json::Value;

/// A version of nft, as far as its document says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Option<(u32, u32, u32)>);

impl Version {
    /// What `metainfo` says.
    pub fn of(metainfo: &Value) -> Self {
        let text = metainfo.get("version").and_then(Value::as_str).unwrap_or_default();
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        Self(match (next(), next(), next()) {
            (Some(major), Some(minor), patch) => Some((major, minor, patch.unwrap_or(0))),
            _ => None,
        })
    }
}

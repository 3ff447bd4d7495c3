//! Whether the text of a file may be shown to whoever asked.
//!
//! Somebody may be allowed to run this program as root, and nothing else. What it says of a file that it cannot use would tell them
//! its lines: of `/etc/shadow`, named as a cluster file. So nothing is shown of a file that they could not read themselves, but which
//! line is wrong. Where that is not certain, for groups beyond the first, it is taken for unreadable. Our own folder is no secret.
//!
//! Not looked at: who exchanges a file while it is being read, and access control lists.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where cluster files are.
const OWN: &str = "/etc/ringfence";
/// The bits of the classes of st_mode (inode(7)), of others; those of the group and the owner are 3 and 6 further.
const READ: u32 = 0o4;
const ENTER: u32 = 0o1;

/// Who really asks, where it is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asker {
    user: u32,
    group: Option<u32>,
}

thread_local! {
    static KNOWN: RefCell<HashMap<String, bool>> = RefCell::default();
}

/// Whether what stands in this file may be shown. A name that is none of a file, as that of standard input, is of what the user gave.
#[must_use]
pub fn may_be_shown(name: &str) -> bool {
    let Some(asker) = Asker::of_process() else { return true };
    KNOWN.with_borrow_mut(|known| {
        *known.entry(name.to_owned()).or_insert_with(|| !Path::new(name).exists() || asker.may_read(Path::new(name)))
    })
}

/// What is said in place of a text that may not be shown.
pub const NOT_SHOWN: &str = "this line cannot be used; its text is not shown, because the user who runs this through sudo may not \
                             read the file";

impl Asker {
    /// sudo(8) says who it was in SUDO_UID and SUDO_GID, pkexec(1) in PKEXEC_UID.
    fn of_process() -> Option<Self> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let user = number("SUDO_UID").or_else(|| number("PKEXEC_UID")).filter(|user| *user != 0)?;
        Some(Self { user, group: number("SUDO_GID") })
    }

    fn may_read(self, path: &Path) -> bool {
        let Ok(path) = fs::canonicalize(path) else { return false };
        if path.starts_with(OWN) {
            return true;
        }
        let is_open = |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|found| self.has(&found, bit));
        is_open(&path, READ) && path.ancestors().skip(1).all(|folder| is_open(folder, ENTER))
    }

    /// The first class that fits decides (path_resolution(7)).
    fn has(self, found: &Metadata, bit: u32) -> bool {
        let shift = if found.uid() == self.user {
            6
        } else if self.group == Some(found.gid()) {
            3
        } else {
            0
        };
        // Of further groups of theirs nothing is known: what the class of the group lacks may be what they have.
        found.mode() & (bit << shift) != 0 && (shift != 0 || found.mode() & (bit << 3) != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_the_asker_may_read_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "x").unwrap();
        let own = fs::metadata(&file).unwrap();
        let stranger = Asker { user: own.uid() + 1, group: Some(own.gid() + 1) };
        let owner = Asker { user: own.uid(), group: None };
        let of_group = Asker { group: Some(own.gid()), ..stranger };
        for (mode, expected) in [
            (0o600, [false, true, false]),
            (0o640, [false, true, true]),
            (0o644, [true; 3]),
            (0o604, [false, true, false]),
        ] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!([stranger, owner, of_group].map(|asker| asker.may_read(&file)), expected, "{mode:o}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.may_read(&file) && owner.may_read(&file));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/shadow", &link).unwrap();
        assert!(!stranger.may_read(&link));
    }
}

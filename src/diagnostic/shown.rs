//! Whether the text of a file may be shown to whoever asked.
//!
//! Somebody may be allowed to run this program as root, and nothing else. What it says of a file that it cannot use would tell them
//! its lines: of `/etc/shadow`, named as a cluster file. So nothing is shown of a file that they could not read themselves, but which
//! line is wrong. That is decided once, of the file that was opened: what its name leads to may be another one by the time that something
//! is said of it. What is not certain is not shown: of further groups of theirs nothing is known, and what is no regular file, or one
//! of the kernel's own, may tell root what it tells nobody else. Our own folder is no secret.
//!
//! Not looked at: access control lists, and who exchanges a folder of their own on the way to a file while it is being opened.

use std::fs::{self, File, Metadata};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where cluster files are.
const OWN: &str = "/etc/ringfence";
/// File systems of the kernel, whose files answer by who reads them: `/proc/kallsyms` may be opened by everybody, and tells root more.
const OF_KERNEL: [&str; 2] = ["/proc", "/sys"];
/// The bits of the classes of st_mode (inode(7)), of others; those of the group and the owner are 3 and 6 further.
const READ: u32 = 0o4;
const ENTER: u32 = 0o1;

/// Who really asks, where it is not root; what is not known of them is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asker {
    user: Option<u32>,
    group: Option<u32>,
}

/// Whether what stands in this file may be shown.
#[must_use]
pub fn may_be_shown(file: &File) -> bool {
    Asker::of_process().is_none_or(|asker| asker.may_read(file))
}

/// Whether this runs for somebody who is not root, and with other rights than theirs.
#[must_use]
pub fn is_for_another() -> bool {
    Asker::of_process().is_some()
}

/// What is said in place of a text that may not be shown.
pub const NOT_SHOWN: &str = "this line cannot be used; its text is not shown, because the user who runs this through sudo may not \
                             read the file";

impl Asker {
    /// sudo(8) says who it was in SUDO_UID and SUDO_GID, pkexec(1) in PKEXEC_UID, doas(1) in DOAS_USER, by name.
    fn of_process() -> Option<Self> {
        Self::of(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn of(said: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| said(name).and_then(|value| value.parse::<u32>().ok());
        let is_other = |name: &&str| said(name).is_some() && number(name) != Some(0);
        if let Some(name) = ["SUDO_UID", "PKEXEC_UID"].into_iter().find(is_other) {
            return Some(Self { user: number(name), group: number("SUDO_GID") });
        }
        said("DOAS_USER").filter(|name| name != "root").map(|_| Self { user: None, group: None })
    }

    fn may_read(self, file: &File) -> bool {
        // Where it is in fact. Of a file that is gone, the folder still stands there.
        let (Ok(path), Ok(found)) = (fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())), file.metadata())
        else {
            return false;
        };
        let of_kernel =
            |root: &&str| path.starts_with(root) || fs::metadata(root).is_ok_and(|root| root.dev() == found.dev());
        if !found.is_file() || OF_KERNEL.iter().any(|root| of_kernel(&root)) {
            return false;
        }
        let is_open = |folder: &Path| fs::metadata(folder).is_ok_and(|found| self.has(&found, ENTER));
        path.starts_with(OWN) || self.has(&found, READ) && path.ancestors().skip(1).all(is_open)
    }

    /// The first class that fits decides (path_resolution(7)).
    fn has(self, found: &Metadata, bit: u32) -> bool {
        let of = |shift: u32| found.mode() & (bit << shift) != 0;
        if self.user == Some(found.uid()) {
            of(6)
        } else if self.group == Some(found.gid()) {
            of(3)
        } else {
            // What the class of the group lacks, or the owner's where nobody knows who asks, may be what they have.
            of(0) && of(3) && (self.user.is_some() || of(6))
        }
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
        let path = folder.path().join("secret");
        fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        let own = file.metadata().unwrap();
        let stranger = Asker { user: Some(own.uid() + 1), group: Some(own.gid() + 1) };
        let owner = Asker { user: Some(own.uid()), group: None };
        let of_group = Asker { group: Some(own.gid()), ..stranger };
        let unknown = Asker { user: None, group: None };
        for (mode, expected) in [
            (0o600, [false, true, false, false]),
            (0o640, [false, true, true, false]),
            (0o644, [true; 4]),
            (0o604, [false, true, false, false]),
            (0o244, [true, false, true, false]),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!([stranger, owner, of_group, unknown].map(|asker| asker.may_read(&file)), expected, "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.may_read(&file) && owner.may_read(&file));
        // The name is gone, and the file is what it was.
        fs::remove_file(&path).unwrap();
        assert!(!stranger.may_read(&file));
        for name in ["/proc/kallsyms", "/proc/self/status", "/dev/null"] {
            let Ok(file) = File::open(name) else { continue };
            assert!(!stranger.may_read(&file), "{name}");
        }
    }

    #[test]
    fn who_asks_is_known_from_any_of_the_programs() {
        let asker = |said: &[(&str, &str)]| {
            Asker::of(|name| said.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
        };
        let known = |user, group| Some(Asker { user, group });
        assert_eq!(asker(&[]), None);
        assert_eq!(asker(&[("SUDO_UID", "0"), ("SUDO_GID", "0")]), None);
        assert_eq!(asker(&[("SUDO_UID", "1000"), ("SUDO_GID", "100")]), known(Some(1000), Some(100)));
        assert_eq!(asker(&[("SUDO_UID", "0"), ("PKEXEC_UID", "7")]), known(Some(7), None));
        assert_eq!(asker(&[("SUDO_UID", "x")]), known(None, None));
        assert_eq!(asker(&[("DOAS_USER", "anna")]), known(None, None));
        assert_eq!(asker(&[("DOAS_USER", "root")]), None);
    }
}

//! The ports that the kernel gives to no outgoing connection as its source, net.ipv4.ip_local_reserved_ports
//! (Documentation/networking/ip-sysctl.rst): one list for IPv4 and IPv6, per network namespace.
//!
//! Others may reserve ports too, and a write replaces the whole list. So what is written is always a union with what is
//! there, and only ports that this program brought are taken away again. What lasts beyond the machine's run are files as
//! sysctl.d(5) describes; `root` stands before every such path, `/` for this host.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::dialect::sysctl;
use crate::host::store::{Folder, StoreError};
use crate::net::{PortRange, Ports};

/// Of the calling thread's network namespace (proc_sys(5)).
const LIST: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const GIVEN_OUT: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Every second port is the longest list, and takes less than 200 KiB.
const LONGEST: usize = 1 << 19;
/// The kernel takes at most a page in one call, and what is cut off there must not be half a number
/// (kernel/sysctl.c, proc_do_large_bitmap; seen: 4092 bytes of a longer list). No page is smaller than 4096 bytes.
const PIECE: usize = 4000;
const KEY: &str = "net.ipv4.ip_local_reserved_ports";
/// Our file. systemd-sysctl and sysctl read the files in the order of their names, and the last one counts.
const FILE: &str = "60-ringfence.conf";
const FOLDER: &str = "etc/sysctl.d";
/// Files with one name: the one in the folder named first counts (sysctl.d(5)).
const FOLDERS: [&str; 5] = [FOLDER, "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
/// Read after all others by sysctl(8), `--system`, and by systemd-sysctl only where a link in a folder points to it.
const LAST: &str = "etc/sysctl.conf";
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// Why the list was not read or set.
#[derive(Debug, Error)]
pub enum ReservedError {
    /// It cannot be read.
    #[error("cannot read {LIST}: {0}")]
    Read(#[source] io::Error),
    /// It cannot be written.
    #[error("cannot write {LIST} ({0}): run as root, where /proc/sys may be written")]
    Write(#[source] io::Error),
    /// It says something that is no list of ports.
    #[error("cannot make sense of what is in {LIST}: `{0}`")]
    Unreadable(String),
    /// It was written, and does not hold what was written.
    #[error("{LIST} holds `{found}` after `{meant}` was written: another program may have changed it; try again")]
    Different {
        /// What was written.
        meant: Ports,
        /// What was read then.
        found: Ports,
    },
    /// Our file cannot be written or removed.
    #[error(transparent)]
    File(#[from] StoreError),
    /// The text for our file cannot be made.
    #[error("cannot write down the reserved ports")]
    Text(#[from] std::fmt::Error),
}

/// A place in a file of somebody else that sets the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file, with `root` before it.
    pub path: PathBuf,
    /// From 1; 0 where the file as a whole cannot be read.
    pub line: usize,
    /// The ports; `None` where they cannot be read.
    pub ports: Option<Ports>,
    /// Whether it is read after our file, and so replaces what ours sets when the machine starts.
    pub after_ours: bool,
}

/// The ports that are reserved in the network namespace of the calling thread. Port 0, which is no port, is left out.
///
/// # Errors
/// Where the kernel does not tell.
pub fn in_force() -> Result<Ports, ReservedError> {
    let mut bytes = vec![0; LONGEST];
    // In one call: the kernel gives what fits into the first and says that this was all.
    let length = File::open(LIST).and_then(|mut list| list.read(&mut bytes)).map_err(ReservedError::Read)?;
    bytes.truncate(length);
    if length == LONGEST {
        return Err(ReservedError::Read(io::ErrorKind::FileTooLarge.into()));
    }
    let text = String::from_utf8_lossy(&bytes);
    read_list(&text).ok_or_else(|| ReservedError::Unreadable(text.trim().to_owned()))
}

/// The first and the last port that the kernel gives to outgoing connections in the network namespace of the calling
/// thread, unless they are reserved (ip-sysctl, ip_local_port_range).
///
/// # Errors
/// Where the kernel does not tell.
pub fn given_out() -> Result<(u16, u16), ReservedError> {
    let text = fs::read_to_string(GIVEN_OUT).map_err(ReservedError::Read)?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok((first, last)),
        _ => Err(ReservedError::Unreadable(text.trim().to_owned())),
    }
}

/// Makes these the reserved ports, and no others, in the network namespace of the calling thread.
///
/// A list longer than 4000 bytes, some 600 ranges, takes several calls; for a moment only its beginning is in force.
///
/// # Errors
/// [`ReservedError::Different`] where something else is in force then. What was there before may be gone too.
pub fn set(ports: &Ports) -> Result<(), ReservedError> {
    write_pieces(&pieces(ports)).map_err(ReservedError::Write)?;
    let found = in_force()?;
    if found != *ports {
        return Err(ReservedError::Different { meant: ports.clone(), found });
    }
    Ok(())
}

/// What is in force with ours added.
#[must_use]
pub fn union(in_force: &Ports, ours: &Ports) -> Ports {
    in_force.ranges().iter().chain(ours.ranges()).copied().collect()
}

/// What is in force without the ports of another list.
#[must_use]
pub fn without(in_force: &Ports, to_remove: &Ports) -> Ports {
    in_force.without(to_remove)
}

/// Through one open file: the kernel replaces the list with what is written at its beginning, and adds what comes behind.
fn write_pieces(pieces: &[String]) -> io::Result<()> {
    let mut list = File::options().write(true).open(LIST)?;
    for piece in pieces {
        // No write_all: what the kernel did not take in one call, it may have cut in the middle of a number.
        if list.write(piece.as_bytes())? != piece.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// The list in lines that the kernel takes. An empty line, not an empty write, empties it.
fn pieces(ports: &Ports) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for range in ports.ranges() {
        let range = range.to_string();
        match pieces.last_mut() {
            Some(piece) if piece.is_empty() => piece.push_str(&range),
            Some(piece) if piece.len() + 1 + range.len() < PIECE => {
                piece.push(',');
                piece.push_str(&range);
            }
            _ => pieces.push(range),
        }
    }
    pieces.iter_mut().for_each(|piece| piece.push('\n'));
    pieces
}

/// Ports as the kernel writes and reads them. Port 0, which it takes and nobody can use, is left out.
fn read_list(text: &str) -> Option<Ports> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Ports::default());
    }
    let range = |range: &str| {
        let range = range.trim();
        match range.strip_prefix("0-") {
            _ if range == "0" => Some(None),
            Some(last) => last.parse().ok().and_then(|last| PortRange::new(1, last)).map(Some),
            None => range.parse().ok().map(Some),
        }
    };
    let ranges: Option<Vec<Option<PortRange>>> = text.split(',').map(range).collect();
    Some(ranges?.into_iter().flatten().collect())
}

/// Where files of others set the list, in the order in which they are read when the machine starts. Files that are hidden by
/// one of the same name are left out, as is ours. A key with a pattern in it (`net.ipv4.*`) is not looked at.
#[must_use]
pub fn other_settings(root: &Path) -> Vec<Setting> {
    let mut by_name = BTreeMap::new();
    for folder in FOLDERS {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "conf") {
                by_name.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    let last = root.join(LAST);
    let mut found = Vec::new();
    for (name, path) in &by_name {
        // Debian has a link to it among the folders; it is read there, and once is enough.
        let is_last = fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(&last).is_ok_and(|last| path == last));
        if name != FILE && !is_last {
            found.append(&mut settings(path, name.as_os_str() > OsStr::new(FILE)));
        }
    }
    found.append(&mut settings(&last, true));
    found
}

fn settings(path: &Path, after_ours: bool) -> Vec<Setting> {
    let setting = |line, ports| Setting { path: path.to_owned(), line, ports, after_ours };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // A link that leads nowhere sets nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(_) => return vec![setting(0, None)],
    };
    let text = String::from_utf8_lossy(&bytes);
    let of_line = |(index, line)| value(line).map(|value| setting(index + 1, read_list(value)));
    text.lines().enumerate().filter_map(of_line).collect()
}

/// What a line of sysctl.d(5) sets our key to.
fn value(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    // A minus sign says that a failure is not to be reported.
    let key = key.trim();
    let key = key.strip_prefix('-').unwrap_or(key).trim_start();
    (key == KEY || key == KEY.replace('.', "/")).then_some(value)
}

/// Whether our file is there.
#[must_use]
pub fn is_there(root: &Path) -> bool {
    root.join(FOLDER).join(FILE).symlink_metadata().is_ok()
}

/// Writes our file, so that these ports are reserved when the machine starts next. With no ports it is removed: an empty
/// setting would take away what others reserve.
///
/// # Errors
/// Where it cannot be written; what was there is there still. A link in its place is left alone: it is how sysctl.d(5) says
/// to switch a file off.
pub fn write_file(root: &Path, ports: &Ports) -> Result<(), ReservedError> {
    if ports.is_empty() {
        return remove_file(root);
    }
    let text = sysctl::write(ports)?;
    let folder = Folder::make(&root.join(FOLDER), FOLDER_MODE)?;
    folder.wait_to_write()?;
    if folder.read(FILE).is_ok_and(|there| there.as_deref() == Some(text.as_bytes())) {
        return Ok(());
    }
    Ok(folder.replace(FILE, &[text.as_bytes()], FILE_MODE)?)
}

/// Whether [`write_file`] would have nothing to do, or could not do it.
#[must_use]
pub fn is_written(root: &Path, ports: &Ports) -> bool {
    let wanted = if ports.is_empty() { None } else { sysctl::write(ports).ok() };
    match Folder::open(&root.join(FOLDER)).map(|folder| folder.map(|folder| folder.read(FILE))) {
        Ok(None) => wanted.is_none(),
        Ok(Some(Ok(there))) => there.as_deref() == wanted.as_deref().map(str::as_bytes),
        Ok(Some(Err(_))) | Err(_) => true,
    }
}

/// Removes our file, where it is there.
///
/// # Errors
/// Where it cannot be removed, or is no regular file.
pub fn remove_file(root: &Path) -> Result<(), ReservedError> {
    let Some(folder) = Folder::open(&root.join(FOLDER))? else { return Ok(()) };
    folder.wait_to_write()?;
    Ok(folder.remove(FILE)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::lab::in_new_network;

    fn ports(text: &str) -> Ports {
        read_list(text).unwrap()
    }

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(ports("\n"), Ports::default());
        assert_eq!(ports(" 4369, 6000-6009\n").to_string(), "4369, 6000-6009");
        assert_eq!(ports("0,9").to_string(), "9");
        assert_eq!(ports("0-3,9").to_string(), "1-3, 9");
        for bad in ["x", "1,,2", "010", "5-3", "0-0", "70000"] {
            assert_eq!(read_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn ports_are_added_and_taken_away_exactly() {
        let (theirs, ours) = (ports("5000-5010,9000"), ports("4999,5005-5020"));
        assert_eq!(union(&theirs, &ours).to_string(), "4999-5020, 9000");
        assert_eq!(without(&theirs, &ours).to_string(), "5000-5004, 9000");
        assert_eq!(without(&theirs, &Ports::default()), theirs);
        assert_eq!(without(&theirs, &theirs), Ports::default());
        assert_eq!(without(&ports("1-65535"), &ports("65535")).to_string(), "1-65534");
    }

    #[test]
    fn the_kernel_holds_what_was_set() {
        in_new_network(|| {
            assert_eq!(in_force().unwrap(), Ports::default());
            let every_second: String = (1..=65_535).step_by(2).map(|port: u32| format!("{port},")).collect();
            let longest = ports(every_second.trim_end_matches(','));
            assert!(pieces(&longest).len() > 40 && pieces(&longest).iter().all(|piece| piece.len() <= PIECE));
            for list in [ports("4369,6000-6009"), longest.clone(), ports("1-65535"), ports("8098"), Ports::default()] {
                set(&list).unwrap();
                assert_eq!(in_force().unwrap(), list);
            }
            set(&longest).unwrap();
            set(&ports("9")).unwrap();
            assert_eq!(in_force().unwrap(), ports("9"));
        });
    }

    #[test]
    fn a_reserved_port_is_no_source() {
        in_new_network(|| {
            fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003").unwrap();
            set(&ports("40000-40002")).unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:5").unwrap();
            let to = listener.local_addr().unwrap();
            let client = std::net::TcpStream::connect(to).unwrap();
            assert_eq!(client.local_addr().unwrap().port(), 40_003);
            assert!(std::net::TcpStream::connect(to).is_err());
        });
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn settings_of_others_in_the_order_in_which_they_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(other_settings(root), []);
        let text = format!("# {KEY}=1\n; {KEY}=1\nnet.ipv4.ip_forward=1\n\n  {KEY} = 1, 5-7 \n");
        put(root, "etc/sysctl.d/50-a.conf", &text);
        put(root, "usr/lib/sysctl.d/50-a.conf", &format!("{KEY}=2"));
        put(root, "run/sysctl.d/70-b.conf", "-net/ipv4/ip_local_reserved_ports = 010");
        put(root, "usr/lib/sysctl.d/10-c.conf", &format!("{KEY} =\nnet.ipv4.ip_local_reserved_portss=1\n-{KEY}"));
        put(root, "usr/lib/sysctl.d/60-ringfence.conf", &format!("{KEY}=3"));
        put(root, "usr/lib/sysctl.d/80-off.conf", &format!("{KEY}=4"));
        put(root, "usr/lib/sysctl.d/90-d.conf~", &format!("{KEY}=4"));
        put(root, "etc/sysctl.conf", &format!("kernel.x=1\n{KEY}=8"));
        symlink("/dev/null", root.join("etc/sysctl.d/80-off.conf")).unwrap();
        symlink("../sysctl.conf", root.join("etc/sysctl.d/99-sysctl.conf")).unwrap();
        symlink("nowhere", root.join("etc/sysctl.d/98-x.conf")).unwrap();
        fs::create_dir(root.join("etc/sysctl.d/97-folder.conf")).unwrap();
        let shown: Vec<String> = other_settings(root)
            .into_iter()
            .map(|Setting { path, line, ports, after_ours }| {
                let ports = ports.map_or("?".to_owned(), |ports| ports.to_string());
                format!("{}:{line} {ports} {after_ours}", path.strip_prefix(root).unwrap().display())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "usr/lib/sysctl.d/10-c.conf:1  false",
                "etc/sysctl.d/50-a.conf:5 1, 5-7 false",
                "run/sysctl.d/70-b.conf:1 ? true",
                "etc/sysctl.d/97-folder.conf:0 ? true",
                "etc/sysctl.conf:2 8 true",
            ]
        );
    }

    #[test]
    fn our_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let path = root.join("etc/sysctl.d/60-ringfence.conf");
        remove_file(root).unwrap();
        assert!(!root.join("etc").exists());
        write_file(root, &ports("4369")).unwrap();
        write_file(root, &ports("4369,8087")).unwrap();
        assert_eq!(sysctl::read(&fs::read_to_string(&path).unwrap()), Some(ports("4369,8087")));
        assert_eq!(other_settings(root), []);
        write_file(root, &Ports::default()).unwrap();
        assert!(!path.exists());
        symlink("/dev/null", &path).unwrap();
        assert!(matches!(write_file(root, &ports("1")), Err(ReservedError::File(StoreError::NotAFile(_)))));
        assert!(matches!(remove_file(root), Err(ReservedError::File(StoreError::NotAFile(_)))));
        fs::remove_file(&path).unwrap();
        remove_file(root).unwrap();
        assert_eq!(fs::read_dir(root.join("etc/sysctl.d")).unwrap().count(), 0);
    }
}

//! Which tools there are.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::child::{self, Environment};
use super::needs::{has_nf_tables, named};

use super::{Error, Variant, Version};

/// Where root's programs are, which a user's `PATH` may lack.
const ALWAYS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The tools of iptables and ipset on this machine.
#[derive(Clone, Debug)]
pub struct Tools {
    environment: Environment,
    folders: Vec<PathBuf>,
    /// What `iptables-restore` and `ip6tables-restore` are.
    plain: [Option<Variant>; 2],
    /// Where rules are to go.
    wanted: [Variant; 2],
}

impl Tools {
    /// The tools in the folders of `PATH`, `/usr/sbin` and `/sbin`. Rules will go where `iptables-restore` puts them; where that is
    /// iptables-nft and the kernel has no nf_tables, to iptables-legacy if that is there.
    ///
    /// # Errors
    /// If iptables or ip6tables is missing.
    pub fn find() -> Result<Self, Error> {
        let tools = Self::find_in(&env::var_os("PATH").unwrap_or_default())?;
        Ok(tools.for_kernel(has_nf_tables))
    }

    /// The same tools, with rules to go to iptables-legacy where they would go to nf_tables, the kernel has none, and there are the
    /// tools for it.
    fn for_kernel(self, has_nf_tables: impl Fn() -> bool) -> Self {
        if self.wanted.contains(&Variant::Nft) && !has_nf_tables() {
            return self.clone().for_variant(Variant::Legacy).unwrap_or(self);
        }
        self
    }

    /// The same with another value of `PATH`.
    ///
    /// # Errors
    /// If iptables or ip6tables is missing.
    pub fn find_in(path: &OsStr) -> Result<Self, Error> {
        let folders = folders(path);
        let path = env::join_paths(&folders).map_err(|_| Error::Path)?;
        let environment = Environment { path, lock_file: env::var_os("XTABLES_LOCKFILE") };
        let mut tools = Self { environment, folders, plain: [None, None], wanted: [Variant::Nft; 2] };
        tools.plain = [tools.variant_of(Version::V4)?, tools.variant_of(Version::V6)?];
        for version in Version::ALL {
            let plain = tools.plain_of(version);
            let variants = Variant::ALL.into_iter();
            let mut there = variants.filter(|&variant| tools.program(variant, version, "restore").is_ok());
            let wanted = plain.or_else(|| there.next()).ok_or_else(|| missing(&format!("{version}-restore")))?;
            match version {
                Version::V4 => tools.wanted = [wanted, wanted],
                Version::V6 => tools.wanted = [tools.wanted(Version::V4), wanted],
            }
        }
        Ok(tools)
    }

    /// The same tools, with rules to go to this back end.
    ///
    /// # Errors
    /// If its tools are missing.
    pub fn for_variant(mut self, variant: Variant) -> Result<Self, Error> {
        for version in Version::ALL {
            self.program(variant, version, "restore")?;
        }
        self.wanted = [variant; 2];
        Ok(self)
    }

    /// The same tools, with another file for iptables-legacy to lock: its usual one is the whole machine's, whatever
    /// the namespace. `XTABLES_LOCKFILE` does the same.
    #[must_use]
    pub fn with_lock_file(mut self, path: impl Into<OsString>) -> Self {
        self.environment.lock_file = Some(path.into());
        self
    }

    /// The back end that rules of a family go to.
    #[must_use]
    pub fn wanted(&self, version: Version) -> Variant {
        let [v4, v6] = self.wanted;
        if version == Version::V4 { v4 } else { v6 }
    }

    /// Whether there is a tool that shows what a back end has.
    pub(super) fn can_save(&self, variant: Variant, version: Version) -> bool {
        self.program(variant, version, "save").is_ok()
    }

    /// What `iptables-save` or another tool of that kind prints of a table, with counters.
    pub(super) fn save(&self, variant: Variant, version: Version, table: &str) -> Result<String, Error> {
        self.run(&self.program(variant, version, "save")?, &["-c", "-t", table], "")
    }

    /// Checks a text without changing anything.
    pub(super) fn test(&self, variant: Variant, version: Version, text: &str) -> Result<(), Error> {
        let program = self.program(variant, version, "restore")?;
        self.run(&program, &["--noflush", "-w", "10", "--test"], text).map(drop).map_err(named)
    }

    /// What the tool says of itself.
    pub(super) fn version(&self, variant: Variant, version: Version) -> Result<String, Error> {
        let said = self.run(&self.program(variant, version, "restore")?, &["--version"], "")?;
        Ok(said.trim().to_owned())
    }

    /// Carries a text out, one table after the other.
    pub(super) fn restore(&self, variant: Variant, version: Version, text: &str) -> Result<(), Error> {
        self.run(&self.program(variant, version, "restore")?, &["--noflush", "-w", "10"], text).map(drop).map_err(named)
    }

    /// Whether ipset is there.
    pub(super) fn has_ipset(&self) -> bool {
        self.search("ipset").is_some()
    }

    /// Runs ipset.
    pub(super) fn ipset(&self, arguments: &[&str], input: &str) -> Result<String, Error> {
        self.run(&self.search("ipset").ok_or_else(|| missing("ipset"))?, arguments, input)
    }

    fn run(&self, program: &Path, arguments: &[&str], input: &str) -> Result<String, Error> {
        child::run(&self.environment, program, arguments, input)
    }

    fn plain_of(&self, version: Version) -> Option<Variant> {
        let [v4, v6] = self.plain;
        if version == Version::V4 { v4 } else { v6 }
    }

    /// What the tools without a variant in their name are. Before iptables 1.8 there was one variant, and it did not say.
    fn variant_of(&self, version: Version) -> Result<Option<Variant>, Error> {
        let Some(program) = self.search(&format!("{version}-restore")) else { return Ok(None) };
        let said = self.run(&program, &["--version"], "")?;
        Ok(Some(if said.contains("nf_tables") { Variant::Nft } else { Variant::Legacy }))
    }

    fn program(&self, variant: Variant, version: Version, action: &str) -> Result<PathBuf, Error> {
        let named = format!("{version}-{variant}-{action}");
        let plain = (self.plain_of(version) == Some(variant)).then(|| self.search(&format!("{version}-{action}")));
        plain.flatten().or_else(|| self.search(&named)).ok_or_else(|| missing(&named))
    }

    fn search(&self, name: &str) -> Option<PathBuf> {
        search(&self.folders, name)
    }
}

/// Whether the program nft is there.
pub(in crate::host) fn has_nft() -> bool {
    search(&folders(&env::var_os("PATH").unwrap_or_default()), "nft").is_some()
}

/// Gives a text to `nft -f`, which carries it out in one transaction or not at all.
///
/// # Errors
/// If there is no nft, or it refuses. After [`Error::TimeOut`] and [`Error::Run`] it is not known what it did.
pub(in crate::host) fn nft(text: &str) -> Result<(), Error> {
    let folders = folders(&env::var_os("PATH").unwrap_or_default());
    let program = search(&folders, "nft").ok_or_else(|| missing("nft"))?;
    let path = env::join_paths(&folders).map_err(|_| Error::Path)?;
    let environment = Environment { path, lock_file: None };
    let said = child::run(&environment, &program, &["--version"], "")?.trim().to_owned();
    if super::needs::nft_is_too_old(&said) {
        return Err(Error::TooOld { tool: "nft".to_owned(), said, oldest: "0.9.3" });
    }
    match child::run(&environment, &program, &["-f", "-"], text) {
        // The kernel's word for an expression that it does not know, and for nothing else in a file that brings all that
        // it names.
        Err(Error::Failed { words, .. }) if words.contains("process rule: No such file or directory") => {
            Err(Error::NoExtension {
                name: words,
                module: "one of nft_fib_inet, nft_limit, nft_log, nft_reject_inet".into(),
            })
        }
        other => other.map(drop),
    }
}

/// Runs any program of this machine and gives what it printed.
///
/// # Errors
/// If it is not there, does not end, or fails.
pub(in crate::host) fn program(name: &str, arguments: &[&str], input: &str) -> Result<String, Error> {
    let folders = folders(&env::var_os("PATH").unwrap_or_default());
    let program = search(&folders, name).ok_or_else(|| missing(name))?;
    let path = env::join_paths(&folders).map_err(|_| Error::Path)?;
    let environment = Environment { path, lock_file: env::var_os("XTABLES_LOCKFILE") };
    child::run(&environment, &program, arguments, input)
}

/// Gives a text to a program that loads rules, by its name, with another file to lock than the machine's.
///
/// # Errors
/// If it is not there, refuses, or takes too long.
pub fn load(name: &str, arguments: &[&str], input: &str, lock_file: &str) -> Result<(), Error> {
    let folders = folders(&env::var_os("PATH").unwrap_or_default());
    let program = search(&folders, name).ok_or_else(|| missing(name))?;
    let path = env::join_paths(&folders).map_err(|_| Error::Path)?;
    let environment = Environment { path, lock_file: Some(lock_file.into()) };
    child::run(&environment, &program, arguments, input).map(drop)
}

/// What a program of this machine prints that is asked about rules and changes none.
///
/// # Errors
/// If it is not there, fails, or takes too long.
pub fn printed(name: &str, arguments: &[&str]) -> Result<String, Error> {
    program(name, arguments, "")
}

/// Where programs are looked for. A relative folder is whatever the working directory makes of it, which root must not
/// follow.
fn folders(path: &OsStr) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
    for folder in ALWAYS.map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn search(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    folders.iter().map(|folder| folder.join(name)).find(is_program)
}

/// Debian, Ubuntu and RHEL up to 8 call the package `iptables`; from RHEL 9 on there is `iptables-nft`.
fn missing(tool: &str) -> Error {
    let package = match tool {
        "ipset" => "`ipset`",
        "nft" => "`nftables`",
        "firewall-cmd" | "firewall-offline-cmd" => "`firewalld`",
        "ufw" => "`ufw`",
        tool if tool.contains("-legacy-") => "`iptables` (or `iptables-legacy`)",
        _ => "`iptables` (or `iptables-nft`)",
    };
    Error::Missing { tool: tool.to_owned(), package }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_folders_are_not_searched_and_those_of_root_always_are() {
        let Ok(tools) = Tools::find_in(OsStr::new("bin:/usr/local/bin:.:")) else { return };
        let path = tools.environment.path.to_string_lossy().into_owned();
        assert_eq!(path, "/usr/local/bin:/usr/sbin:/sbin");
    }

    #[test]
    fn a_kernel_without_nf_tables_gets_the_tools_that_it_can_do_with() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, says: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        for version in Version::ALL {
            make(&format!("{version}-restore"), "iptables-restore v1.8.9 (nf_tables)");
            make(&format!("{version}-legacy-restore"), "iptables-restore v1.8.9 (legacy)");
        }
        let wanted = |has_nf_tables: bool| {
            let tools = Tools::find_in(folder.path().as_os_str()).unwrap().for_kernel(|| has_nf_tables);
            Version::ALL.map(|version| tools.wanted(version))
        };
        assert_eq!(wanted(true), [Variant::Nft; 2]);
        assert_eq!(wanted(false), [Variant::Legacy; 2]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        assert_eq!(missing("ipset").to_string(), "ipset is not installed: install the package `ipset`");
    }
}

//! Why nothing was rehearsed, and the way round it.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

use crate::dialect::netlink::RequestError;
use crate::host::{HostError, iptables};

/// Why nothing was rehearsed. Nothing of the host was touched in any of these cases.
#[derive(Debug, Error)]
pub enum RehearseError {
    /// Whoever is not root is not told this host's rules.
    #[error(
        "--with-host reads this host's own rules, which only root is told: run it as root, or leave --with-host out"
    )]
    NotRoot,
    /// No network namespace.
    #[error("no network namespace can be made for it ({errno}): {way}", errno = .0.desc(), way = way_round(*.0))]
    NoNamespace(Errno),
    /// A user namespace in which nobody is root.
    #[error(
        "a user namespace was made for it, and this system does not let anybody be root there ({0}): run it as root, which needs none"
    )]
    NoRoot(io::Error),
    /// No pair of devices.
    #[error(
        "a pair of virtual interfaces cannot be made ({0}): the kernel needs its module veth (CONFIG_VETH), which comes with the rest of \
         the kernel's modules (linux-modules-extra, kernel-modules); `modprobe veth` as root loads it"
    )]
    NoVeth(RequestError),
    /// Another request about interfaces, addresses or routes.
    #[error("the network for it cannot be set up: {what}: {error}")]
    Network {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        error: RequestError,
    },
    /// A socket, or another thing of the system's.
    #[error("{what} failed: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Without any rules a plain request has to arrive.
    #[error(
        "without any rules no {family} packet arrives on `{interface}` in the namespace that was made for it, so that nothing would be shown \
         by packets that do not arrive with them"
    )]
    Silent {
        /// IPv4 or IPv6.
        family: &'static str,
        /// The interface.
        interface: String,
    },
    /// The rules cannot be loaded.
    #[error("the rules cannot be loaded in the namespace: {0}")]
    NotLoaded(HostError),
    /// A tool that loads files is missing.
    #[error(
        "{tool}, which loads {files}, is not installed: install the package {package}, or rehearse what the cluster file makes, without `--ruleset`"
    )]
    NoTool {
        /// Its name.
        tool: String,
        /// Files of what.
        files: &'static str,
        /// What has it.
        package: &'static str,
    },
    /// A tool refuses a file.
    #[error("{tool} does not load these files in the namespace: {words}")]
    Refused {
        /// Its name.
        tool: String,
        /// What it said.
        words: String,
    },
    /// A file would have its tool reach for something else.
    #[error("these files are not given to {tool}: they hold {what}; take it out to rehearse the rest")]
    ReachesOut {
        /// The tool.
        tool: String,
        /// What is in them.
        what: &'static str,
    },
}

impl RehearseError {
    pub(super) fn system(what: &'static str, error: impl Into<io::Error>) -> Self {
        Self::System { what, error: error.into() }
    }
}

impl From<HostError> for RehearseError {
    fn from(error: HostError) -> Self {
        Self::NotLoaded(error)
    }
}

impl From<iptables::Error> for RehearseError {
    fn from(error: iptables::Error) -> Self {
        Self::NotLoaded(error.into())
    }
}

/// What the administrator can do. user_namespaces(7), and the settings of distributions.
fn way_round(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC | Errno::EUSERS => {
            "namespaces are switched off or used up: run it as root, or raise the sysctls user.max_user_namespaces and user.max_net_namespaces"
        }
        Errno::EPERM | Errno::EACCES => {
            "user namespaces are only for root here: run it as root, or allow them (the sysctl kernel.unprivileged_userns_clone=1 of \
             Debian, kernel.apparmor_restrict_unprivileged_userns=0 of Ubuntu; a container needs `--cap-add SYS_ADMIN`)"
        }
        Errno::EINVAL | Errno::ENOSYS => {
            "this kernel has no namespaces of users or networks (CONFIG_USER_NS, CONFIG_NET_NS): rehearse on another machine"
        }
        _ => "run it as root",
    }
}

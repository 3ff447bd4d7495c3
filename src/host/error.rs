//! What can go wrong on a machine, in the words of whoever has to put it right.

use thiserror::Error;

use super::agreed::Aspect;
use super::iptables;
use super::judge::Standing;
use super::reserved::ReservedError;
use super::store::{LockError, StoreError};
use crate::diagnostic::Code;
use crate::dialect::netlink::{CommitError, NotWritable, RequestError};
use crate::outcome::Outcome;
use crate::prove::NotEmitted;
use crate::semantics::TooLarge;
use crate::verify::Report;

/// What goes by the name of the loopback interface.
pub(super) const LO_IS_TAKEN: &str = "`lo` is not the name of the loopback interface on this host, and these rules leave alone \
whatever has that name: give it back (`ip link set NAME name lo`), or use `--backend nft` of a ringfence with libnftnl, which \
goes by its number";

/// Why something did not happen on this host.
#[derive(Debug, Error)]
pub enum HostError {
    /// The kernel lacks nf_tables.
    #[error(
        "this kernel has no nf_tables: use iptables, by `--backend iptables`, or `--format iptables` of `rehearse`"
    )]
    NoNfTables,
    /// CAP_NET_ADMIN is missing.
    #[error("reading and changing firewall rules needs root (CAP_NET_ADMIN); nothing was changed")]
    NoRight,
    /// `nft` did not load the rules.
    #[error("{0}; nothing was changed")]
    NotLoaded(iptables::Error),
    /// Netlink.
    #[error(transparent)]
    Netlink(RequestError),
    /// The transaction.
    #[error("{0}; nothing was changed")]
    Commit(CommitError),
    /// What the kernel did is not known.
    #[error("the kernel did not say what it did: the change may be in force or not; `ringfence status` shows which")]
    Lost,
    /// iptables or ipset.
    #[error(transparent)]
    Iptables(#[from] iptables::Error),
    /// The state or the volatile folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The same, before anything else was done.
    #[error("{0}; nothing was changed")]
    NotWritten(StoreError),
    /// The rules name the loopback interface, and the name is another's, or may become it.
    #[error("{LO_IS_TAKEN}; nothing was changed")]
    Loopback,
    /// Another run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The reserved ports.
    #[error(transparent)]
    Reserved(#[from] ReservedError),
    /// The machine does not say what it is.
    #[error("cannot read {what}: {error}")]
    Place {
        /// What.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// Something that compilers here do not make.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
    /// Which addresses are this host's is not known.
    #[error("what this host's routing tables make local cannot be read: {0}; nothing was changed")]
    Routing(#[source] RequestError),
    /// iptables has no reset here.
    #[error("iptables cannot reject in the tables raw and mangle: write `on-block = \"drop\"` in the cluster file")]
    Reject,
    /// A mistake of this program.
    #[error("a mistake in ringfence, please report it with the cluster file: {0}; nothing was changed")]
    Internal(String),
    /// What was compiled does not do what the file says.
    #[error("what was compiled does not do what the cluster file says; nothing was changed")]
    NotProved(Box<Report>),
    /// A table or a chain of somebody else whose name would have to be quoted.
    #[error(
        "a table or chain is called {0:?}, and nothing is put into one with such a name: give it a name of letters and digits"
    )]
    OddName(String),
    /// Somebody else changes the tables that are to be opened, again and again.
    #[error(
        "another program keeps changing the tables in which the admitted are to be let through, and each attempt found them changed: try again when it has stopped"
    )]
    Changing,
    /// A rule of somebody else asks a set of ours.
    #[error(
        "a rule of somebody else uses a set of ringfence's, so that the set cannot be deleted: take that rule away first ({0})"
    )]
    InUse(String),
    /// Rules were given back, and what was opened for them was not.
    #[error(
        "what other firewalls of this host let through is not what it was before: {0}; the guard blocks strangers all the same"
    )]
    StillOpen(Box<HostError>),
    /// What other firewalls were to let through, they do not for certain.
    #[error(
        "{code}: it is not certain that everybody whom the file admits gets through this host's other firewalls: {0}; `--allow {code}` applies it all the same",
        code = Code::NotThrough
    )]
    OpenThrough(String),
    /// Other firewalls of this host could not be told to let the admitted through.
    #[error("{0}; what was in force before is in force again")]
    NotOpened(Box<HostError>),
    /// Too many kinds of packets.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The kernel holds something else than was to be brought back.
    #[error("the earlier rules were brought back, and the kernel holds something else now: run `ringfence status`")]
    NotRestored,
    /// A change that nobody could take back.
    #[error("the watchdog that would take the change back did not start; nothing was changed")]
    NoWatchdog,
    /// The run took longer than the time to confirm, and then as long again as a watchdog waits for it.
    #[error(
        "the change took so long that its watchdog has taken it back: what was in force before is in force again; give it more time with `--confirm-within`"
    )]
    TakenBack,
    /// Another change waits.
    #[error(
        "a change is waiting to be confirmed: `ringfence confirm` keeps it, `ringfence rollback` takes it back, `ringfence apply --replace-waiting` applies another in its place; nothing was changed"
    )]
    Waiting,
    /// The change that is to be confirmed is not what is in force.
    #[error(
        "nothing was confirmed: the rules in the kernel are not the ones that wait to be confirmed; `ringfence status` shows what is in force, `ringfence rollback` brings back the rules from before the change"
    )]
    NotInForce(Standing),
    /// Nothing waits.
    #[error("no change is waiting to be confirmed")]
    NothingWaits,
    /// What is in force is not what was brought in.
    #[error("the kernel does not hold what was loaded; {0}")]
    Mismatch(Restored),
    /// The program of another firewall did not do as it was told.
    #[error("`{command}` failed: {words}; {help}")]
    Through {
        /// What was run.
        command: String,
        /// What it said.
        words: String,
        /// What to do.
        help: &'static str,
    },
    /// What another firewall has at runtime is not what is in its files, and it would have to load these.
    #[error(
        "firewalld has to load its files again, and would lose or bring in what differs from what it runs with: {}; keep it with `firewall-cmd --runtime-to-permanent`, or let it go with `firewall-cmd --reload`, and try again", .0.join("; ")
    )]
    WouldBeLost(Vec<String>),
    /// What somebody put into ufw's chains by iptables, and ufw would throw out.
    #[error(
        "ufw has to load its rules again, and would lose what is in the kernel and not in its files: {}; give it to ufw (as `ufw insert 1 deny from …`) or take it away, and try again", .0.join("; ")
    )]
    LostByUfw(Vec<String>),
    /// A set of ours that a file of the admin's names.
    #[error(
        "{} names the ipset `{set}`, which is ringfence's and has to go, and firewalld would not load without it: take it out there first", .path.display()
    )]
    Named {
        /// The set.
        set: String,
        /// Where it is named.
        path: std::path::PathBuf,
    },
    /// A file of the admin's that has to be looked at.
    #[error("cannot read {}: {error}; nothing was taken away", .path.display())]
    Unread {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A policy of the admin's that would come too late.
    #[error(
        "firewalld's policies behind `{}` have the priority of ringfence's, stand behind it and keep somebody out: nothing is let through until they have a lower one (`firewall-cmd --permanent --policy=… --set-priority=32766`, then `--reload`)", .0.join("`, `")
    )]
    Behind(Vec<String>),
    /// A zone that keeps out somebody of whom no address is known.
    #[error(
        "firewalld's zone behind `{0}` keeps out who is bound to it by something other than an address that stays (a MAC, an ipset whose entries expire), and who that is would be let through: bind addresses, or write a rich rule that drops him in the zone that he comes in by"
    )]
    BannedOtherwise(String),
    /// More sources than rules can be made for.
    #[error(
        "`{name}` has {count} sources and ufw, which has a rule for each, gets {most} at most: write their networks in the cluster file, or open through another firewall"
    )]
    TooManySources {
        /// The opening.
        name: String,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A file that has the name of one of ours.
    #[error("{} was not made by ringfence, which would write a file of this name: give it another name", .0.display())]
    NotOurs(std::path::PathBuf),
    /// Another firewall was told, and does not do it.
    #[error("{program} was told to let through what is admitted, and does not: {}; look at its log", .missing.join("; "))]
    NotThrough {
        /// Its name.
        program: &'static str,
        /// What is missing, or too much.
        missing: Vec<String>,
    },
    /// What a plan was made of is another by now.
    #[error(
        "{code}: since the plan was made, {} changed: look at `ringfence diff` again, and make another plan with `--out`; nothing was changed",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and "), code = Code::PlanOutdated
    )]
    Outdated(Vec<Aspect>),
    /// Something is left that ought not to be.
    #[error("{0}")]
    Warning(String),
    /// Bytes that are no snapshot.
    #[error("the saved copy of the rules from before the change cannot be read")]
    BadSnapshot,
}

/// What became of the rules after a change that went wrong.
#[derive(Debug, Error)]
pub enum Restored {
    /// They are as they were.
    #[error("the rules from before are in force again")]
    Done,
    /// They are not.
    #[error("bringing back the rules from before FAILED, too: {0}; run `ringfence status` now")]
    Failed(Box<HostError>),
}

impl From<RequestError> for HostError {
    fn from(error: RequestError) -> Self {
        use nix::errno::Errno;
        match &error {
            RequestError::Refused(refusal) => match refusal.errno {
                Errno::EPERM | Errno::EACCES => Self::NoRight,
                // nfnetlink says so of a subsystem that nobody has registered.
                Errno::EINVAL | Errno::EOPNOTSUPP if refusal.words.is_none() => Self::NoNfTables,
                _ => Self::Netlink(error),
            },
            _ => Self::Netlink(error),
        }
    }
}

impl From<CommitError> for HostError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Request(error) => error.into(),
            CommitError::Lost | CommitError::Partly(_) => Self::Lost,
            other => Self::Commit(other),
        }
    }
}

impl HostError {
    /// How a command ends that fails with it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            // What was compiled or is in force is not what the file says.
            Self::NotProved(_)
            | Self::NotRestored
            | Self::Outdated(_)
            | Self::Mismatch(Restored::Failed(_))
            | Self::Iptables(iptables::Error::NotRestored { .. }) => Outcome::No,
            Self::Lock(LockError::Held { .. }) => Outcome::Held,
            Self::Lost | Self::TooLarge(_) | Self::OpenThrough(_) => Outcome::Undecided,
            Self::NotInForce(standing) => standing.outcome(),
            Self::NotOpened(why) => why.outcome(),
            Self::NothingWaits => Outcome::Absent,
            Self::Waiting | Self::TakenBack => Outcome::Unconfirmed,
            Self::Mismatch(Restored::Done) => Outcome::FellBack,
            Self::NoNfTables
            | Self::NoRight
            | Self::NotLoaded(_)
            | Self::Netlink(_)
            | Self::Commit(_)
            | Self::Iptables(_)
            | Self::Store(_)
            | Self::NotWritten(_)
            | Self::Loopback
            | Self::Lock(LockError::Store(_))
            | Self::Reserved(_)
            | Self::Place { .. }
            | Self::NotWritable(_)
            | Self::Routing(_)
            | Self::Reject
            | Self::Internal(_)
            | Self::NoWatchdog
            | Self::Through { .. }
            | Self::WouldBeLost(_)
            | Self::LostByUfw(_)
            | Self::Behind(_)
            | Self::Named { .. }
            | Self::Unread { .. }
            | Self::BannedOtherwise(_)
            | Self::NotOurs(_)
            | Self::TooManySources { .. }
            | Self::NotThrough { .. }
            | Self::Warning(_)
            | Self::OddName(_)
            | Self::Changing
            | Self::InUse(_)
            | Self::StillOpen(_)
            | Self::BadSnapshot => Outcome::Unusable,
        }
    }

    /// Its code: that of the objection which it is, else the word for how a command ends with it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let inner = if let Self::NotOpened(why) = self { why } else { self };
        match inner {
            Self::OpenThrough(_) => Code::NotThrough.as_str(),
            Self::Outdated(_) => Code::PlanOutdated.as_str(),
            _ => self.outcome().word(),
        }
    }

    /// What is to be written down before a change was not, so that there was none.
    pub(super) fn before_change(self) -> Self {
        match self {
            Self::Store(error) => Self::NotWritten(error),
            other => other,
        }
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<NotEmitted> for HostError {
    fn from(error: NotEmitted) -> Self {
        match error {
            NotEmitted::NotProved { report, .. } => Self::NotProved(report),
            NotEmitted::TooLarge(error) => Self::TooLarge(error),
            NotEmitted::Unwritable(_) | NotEmitted::Unreadable(_) | NotEmitted::NotOpened(_) => Self::internal(error),
        }
    }
}

//! The stable names of all findings.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is written or applied.
    Error,
    /// The run goes on.
    Warning,
    /// Nothing is wrong; worth knowing. Counts for no exit code.
    Note,
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, $severity:ident;)+) => {
        /// The kind of a finding. Its text never changes once released; each is explained in the reference page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])+ $variant,)+ }

        impl Code {
            /// Every code, in the order of the reference page.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable kebab-case name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Error, warning or note.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    /// The file is no TOML.
    Syntax = "syntax", Error;
    /// A key that does not exist.
    UnknownKey = "unknown-key", Error;
    /// A key that must be there is not.
    MissingKey = "missing-key", Error;
    /// A string where a list should be, and the like.
    WrongType = "wrong-type", Error;
    /// A word that is none of the allowed ones.
    UnknownValue = "unknown-value", Error;
    /// A name with characters outside the allowed set, or too long.
    BadName = "bad-name", Error;
    /// No profile of that name, or its file cannot be read.
    UnknownProfile = "unknown-profile", Error;
    /// A cluster without nodes.
    NoNodes = "no-nodes", Error;
    /// Two nodes or clients of one name.
    DuplicateName = "duplicate-name", Error;
    /// One address twice.
    DuplicateAddress = "duplicate-address", Error;
    /// A text that is no address or network.
    BadAddress = "bad-address", Error;
    /// A host name where an address is needed.
    HostName = "host-name", Error;
    /// A number with a leading zero in an address.
    LeadingZero = "leading-zero", Error;
    /// A network with bits behind its prefix.
    HostBits = "host-bits", Error;
    /// Loopback, multicast, unspecified, link-local or IPv4-mapped.
    UnusableAddress = "unusable-address", Error;
    /// A network where a node's single address is needed.
    NetworkAsNode = "network-as-node", Error;
    /// A node outside every private network.
    NodeOutsidePrivate = "node-outside-private", Error;
    /// A node inside an untrusted network.
    NodeInUntrusted = "node-in-untrusted", Error;
    /// A private network in public address space.
    PublicNetwork = "public-network", Error;
    /// A client network that is open to the world.
    ClientOpenToAll = "client-open-to-all", Error;
    /// A client network inside an untrusted one.
    ClientInUntrusted = "client-in-untrusted", Error;
    /// A service name that neither profile nor cluster file knows.
    UnknownService = "unknown-service", Error;
    /// A client for a service that is blocked or unused.
    ServiceNotOpen = "service-not-open", Error;
    /// A service without ports.
    MissingPorts = "missing-ports", Error;
    /// A text or number that is no port or range.
    BadPort = "bad-port", Error;
    /// A range that ends before it begins.
    InvertedRange = "inverted-range", Error;
    /// Two services on one port.
    PortOverlap = "port-overlap", Error;
    /// A folder that is to have cluster files, and has none, or too many; or one beside a cluster file in whose place it is.
    ClusterFolder = "cluster-folder", Error;
    /// Files of clusters that are guarded together say different things of what there is only one of.
    GuardConflict = "guard-conflict", Error;
    /// Somebody whom one of the files admits and another distrusts.
    UntrustedConflict = "untrusted-conflict", Error;
    /// Something that only somebody who is there may allow.
    NeverAllowed = "never-allowed", Error;
    /// No service is open or blocked.
    NothingGuarded = "nothing-guarded", Error;
    /// `from = "private"` too often for too many networks.
    TooManySources = "too-many-sources", Error;
    /// A text that is no interface name.
    BadInterface = "bad-interface", Error;
    /// A text that is no day.
    BadUntil = "bad-until", Error;
    /// `--node` names no node.
    UnknownNode = "unknown-node", Error;
    /// A line of what `ip` is to have printed that it does not print.
    RoutesSyntax = "routes-syntax", Error;
    /// A part of what `ip` is to have printed is not there.
    MissingRoutes = "missing-routes", Error;
    /// An `include` that must not be followed, or that leads to no file.
    BadInclude = "bad-include", Error;
    /// The requested dialect cannot express this.
    NotInDialect = "not-in-dialect", Error;
    /// A node whose `addresses` lack the address in its name.
    AddressMismatch = "address-mismatch", Warning;
    /// A port that the file of one cluster of this host leaves alone and that of another guards.
    UnguardedOverlap = "unguarded-overlap", Warning;
    /// A distribution range with fewer ports than the cluster has nodes.
    NarrowRange = "narrow-range", Warning;
    /// The header of a ruleset has another digest than the cluster file.
    HeaderInput = "header-input", Warning;
    /// The header of a ruleset says something else of who is admitted than the cluster file.
    HeaderAdmits = "header-admits", Warning;
    /// The header of a ruleset says that its rules are of another cluster or for another node than is asked about.
    HeaderNode = "header-node", Warning;
    /// The header of a ruleset says that its rules rest on something else than they do.
    HeaderRests = "header-rests", Warning;
    /// Beside the header of a ruleset stand remarks that this program does not make.
    HeaderAdded = "header-added", Warning;
    /// Ports among those that the kernel hands out to outgoing connections.
    EphemeralOverlap = "ephemeral-overlap", Warning;
    /// The guard would cover SSH.
    CoversSsh = "covers-ssh", Warning;
    /// The guard only logs.
    Staged = "staged", Warning;
    /// Ports for a service that is unused.
    UnguardedPorts = "unguarded-ports", Warning;
    /// More ports than some programs that set the sysctl can take.
    LongPortList = "long-port-list", Warning;
    /// A private network of a family in which no node has an address.
    FamilyWithoutNodes = "family-without-nodes", Warning;
    /// A client that is admitted to nothing or from nowhere.
    UnusedClient = "unused-client", Warning;
    /// A client who was wanted until a day that is past.
    ClientExpired = "client-expired", Warning;
    /// A private network without node or client.
    UnusedNetwork = "unused-network", Warning;
    /// An open service that admits nobody.
    UnusedService = "unused-service", Warning;
    /// A node's interfaces, in rules that fit every node.
    InterfacesWidened = "interfaces-widened", Warning;
    /// A node whose address is the first or last of its network.
    NetworkAddress = "network-address", Warning;
    /// An Erlang term file that Erlang would refuse.
    ErlangSyntax = "erlang-syntax", Error;
    /// A line of riak.conf that is no `key = value`.
    RiakConfSyntax = "riak-conf-syntax", Error;
    /// A flag of vm.args without what belongs to it.
    VmArgsSyntax = "vm-args-syntax", Error;
    /// An output that shows no members.
    MembershipSyntax = "membership-syntax", Error;
    /// A text that is none of what `ansible-inventory --list` prints.
    InventorySyntax = "inventory-syntax", Error;
    /// A variable of a host of an inventory that is not there, or whose value cannot be used.
    InventoryVariable = "inventory-variable", Error;
    /// A group that an inventory does not have.
    UnknownGroup = "unknown-group", Error;
    /// A line of a file of addresses that is none of hosts(5).
    AddressesSyntax = "addresses-syntax", Error;
    /// A file that another one takes in, and that was not read.
    NotRead = "not-read", Warning;
    /// A value of riak.conf that is not known from the file, or hardly what was meant.
    RiakConfValue = "riak-conf-value", Warning;
    /// Words of vm.args that belong to no flag.
    VmArgsWords = "vm-args-words", Warning;
    /// A template with placeholders instead of a file.
    Template = "template", Error;
    /// A setting of Riak whose value is no address, port, or word that Riak takes.
    BadSetting = "bad-setting", Error;
    /// A file that is none of Riak's.
    UnknownFile = "unknown-file", Error;
    /// A file that cannot be read.
    UnreadableFile = "unreadable-file", Error;
    /// Riak's files were looked for and not found, or found more than once.
    NoFiles = "no-files", Error;
    /// Riak's files are in several of the usual places.
    SeveralPlaces = "several-places", Error;
    /// The files are of another cluster than the members.
    WrongCluster = "wrong-cluster", Error;
    /// It is not known who is in the cluster.
    NoMembership = "no-membership", Error;
    /// A node's address is not known.
    MissingAddress = "missing-address", Error;
    /// A file that Riak does not read, beside those that it does.
    IgnoredFile = "ignored-file", Warning;
    /// An address without its port, or the other way round.
    HalfPair = "half-pair", Warning;
    /// A node whose files were read and that is no member.
    NotAMember = "not-a-member", Warning;
    /// No node's settings are known, or not those of all nodes.
    UnknownSettings = "unknown-settings", Warning;
    /// Nobody said who is in the cluster but the files of its nodes.
    UnknownMembers = "unknown-members", Warning;
    /// The private networks are a proposal.
    ConfirmNetworks = "confirm-networks", Warning;
    /// No client is known.
    NoClients = "no-clients", Warning;
    /// Handoff runs over another network than the nodes' names.
    SecondNetwork = "second-network", Warning;
    /// Erlang takes any free port for distribution.
    UnboundedDistribution = "unbounded-distribution", Warning;
    /// A node listens on a port of no service.
    UnknownListener = "unknown-listener", Warning;
    /// A service that is blocked listens beyond loopback.
    BlockedListener = "blocked-listener", Warning;
    /// Other clusters replicate from this node, and are not admitted.
    BlockedReplication = "blocked-replication", Warning;
    /// Other clusters replicate from this node, and it is not known whether they are among the clients.
    ReplicationClients = "replication-clients", Note;
    /// A service that is not guarded listens beyond loopback.
    UnguardedListener = "unguarded-listener", Error;
    /// A service that others are to reach listens on loopback only.
    LoopbackOnly = "loopback-only", Error;
    /// A service listens on a port that the cluster file does not have for it.
    UndeclaredPort = "undeclared-port", Error;
    /// A service listens on every interface or a public address, or the port mapper on a public address.
    WideListener = "wide-listener", Warning;
    /// The Erlang port mapper listens on every interface.
    EpmdEverywhere = "epmd-everywhere", Warning;
    /// Which port Erlang's distribution takes depends on its release.
    FixedPort = "fixed-port", Warning;
    /// The distribution range is a single port.
    MinimumOnly = "minimum-only", Warning;
    /// Riak's distribution range is not that of the cluster file.
    RangeDiffers = "range-differs", Error;
    /// The kernel may give a port of the distribution range to an outgoing connection.
    EphemeralUnreserved = "ephemeral-unreserved", Warning;
    /// The node's VM listens where nothing is guarded.
    OutsideRange = "outside-range", Error;
    /// A member that the cluster file lacks.
    MissingMember = "missing-member", Error;
    /// A node with addresses of one family among nodes with others.
    OneFamily = "one-family", Warning;
    /// An Erlang node of another name listens where nothing is guarded.
    OtherErlang = "other-erlang", Note;
    /// Of the program of this profile no files are read.
    SocketsOnly = "sockets-only", Note;
    /// A setting that another one overrides.
    Overridden = "overridden", Note;
    /// A pattern of `include` that no file fits.
    EmptyInclude = "empty-include", Note;
    /// A limit of the VM that has `ports` in its name.
    MaxPorts = "max-ports", Note;
    /// A member that is none any more.
    InvalidMember = "invalid-member", Note;
    /// The SSH session that an apply runs in, or another one, would end.
    CutSsh = "cut-ssh", Error;
    /// This host is not one node of the file.
    NoNode = "no-node", Error;
    /// Somebody is admitted on an interface that is not there.
    MissingInterface = "missing-interface", Error;
    /// The node has an address that this host lacks.
    ForeignAddress = "foreign-address", Error;
    /// The node's address is on an interface on which peers are not admitted.
    OtherInterface = "other-interface", Error;
    /// Somebody is admitted on an interface, and not on its VRF.
    VrfInterface = "vrf-interface", Error;
    /// The file is of another cluster than the rules in force.
    OtherCluster = "other-cluster", Error;
    /// The first rules would block a session of what may be a peer.
    CutPeer = "cut-peer", Error;
    /// A node that a change takes out of the cluster runs still.
    RunningNode = "running-node", Warning;
    /// Peers know this host by another address than it takes towards them.
    OtherSource = "other-source", Error;
    /// It is not certain that whom the file admits gets through the other firewalls of this host.
    NotThrough = "not-through", Error;
    /// Rules that block would become rules that only log.
    Unblocks = "unblocks", Error;
    /// A plan was made of something that is another by now.
    PlanOutdated = "plan-outdated", Error;
    /// A plan was made by another version, or on another machine.
    ForeignPlan = "foreign-plan", Error;
    /// A file is no plan, was edited, or may be written by others.
    BadPlan = "bad-plan", Error;
    /// Packets are taken out of others where no hook sees them.
    Encapsulation = "encapsulation", Warning;
    /// A part of the kernel that may change, drop or take packets where no rule is asked.
    BesideRules = "beside-rules", Warning;
    /// A program that others reach is connected to a protected port from inside.
    LocalProxy = "local-proxy", Warning;
    /// The file allows what `apply` refuses otherwise, and it is so on this host.
    Allowance = "allowance", Note;
    /// Addresses of 127.0.0.0/8 are taken from outside.
    RouteLocalnet = "route-localnet", Note;
    /// Interfaces that lead to other network namespaces.
    OtherNamespace = "other-namespace", Note;
    /// Something that passes by the rules could not be looked for.
    NotLooked = "not-looked", Note;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_kebab_case() {
        for (index, code) in Code::ALL.iter().enumerate() {
            let text = code.as_str();
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
            assert!(Code::ALL[..index].iter().all(|other| other.as_str() != text), "{text} twice");
        }
    }
}

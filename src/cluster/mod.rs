//! Who is in the cluster, and who may talk to it: the model, the file that it is read from, and the profiles.
//!
//! [`load`] turns a cluster file, or a folder with one for each cluster of a host, into a [`Cluster`] or into findings. A `Cluster` has private fields and only this room
//! makes one, so whoever holds it holds a valid one: addresses are usable and unique, every service that is guarded has
//! ports, no port has two services, every node lies in a private network and in no untrusted one.
//!
//! INVARIANT (characters): every string of a `Cluster` is made of printable characters without quotes, backslashes and
//! line ends, so that a dialect may write it into a comment as it is.

mod change;
mod check;
mod config;
mod day;
mod folder;
mod guard;
mod join;
mod keys;
mod model;
mod name;
mod node;
mod profile;
mod site;
mod syntax;
mod toml_reader;
mod values;

pub use config::{DEFAULT_PROFILE, Included, Loaded, closed, included_now, parse, parse_kept};
pub use day::{Day, NoDay, Term, civil, expired};
pub use folder::{KeptFile, cluster_files, load, parse_kept_together};
pub use guard::{Allowance, Guard, OnBlock, Through};
pub use keys::{Form, Key, NOWHERE};
pub use model::{AND, Client, Cluster, DefaultBind, Service, ServiceId, Source, State};
pub use node::Node;
pub use profile::{Beside, Profile, default_profile, embedded_profile, embedded_profiles, profiles_with};
pub use site::{Site, SitePart, SiteService};
pub use toml_reader::closest;
pub use values::ForeignValue;

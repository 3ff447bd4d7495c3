//! Addresses, networks, ports and interfaces: strict to read, canonical to print.
//!
//! Everything that reaches a ruleset passes through a type of this room. Each is parsed by one `FromStr` that accepts
//! exactly one spelling of a value, because firewall tools do not agree on the others: `010.0.0.1` is 8.0.0.1 to nft
//! and 10.0.0.1 to some parsers. What `Display` prints is what every dialect reads back as the same value.

mod address;
mod elsewhere;
mod hosts;
mod interface;
mod networks;
mod ports;
mod surroundings;

pub use address::{AddressClass, Cidr, ParseAddressError, parse_address};
pub use elsewhere::{Elsewhere, Entry as ElsewhereEntry};
pub use hosts::Hosts;
pub use interface::{Interface, ParseInterfaceError};
pub use networks::{Networks, WIDEST_V4, WIDEST_V6};
pub use ports::{ParsePortError, PortRange, Ports};
pub use surroundings::{Alike, Listed, Refused, Region, Surroundings, Turn, Way, is_numbered};

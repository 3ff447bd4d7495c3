//! sysctl text: the protected ports as reserved ports, so that no outgoing connection takes one as its source.

use std::fmt;

use askama::Template;

use crate::net::Ports;

#[derive(Template)]
#[template(path = "sysctl.txt")]
struct File {
    ports: String,
}

/// The setting for these ports, as a file for /etc/sysctl.d.
pub fn write(ports: &Ports) -> Result<String, fmt::Error> {
    let list: Vec<String> = ports.ranges().iter().map(ToString::to_string).collect();
    File { ports: list.join(",") }.render().map_err(|_| fmt::Error)
}

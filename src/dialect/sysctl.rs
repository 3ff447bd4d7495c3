//! sysctl text: the protected ports as reserved ports, so that no outgoing connection takes one as its source.

use std::fmt;

use askama::Template;

use crate::net::{PortRange, Ports};

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

/// The ports that a file reserves; `None` if it sets nothing, or something else, or what is no list of ports.
#[must_use]
pub fn read(text: &str) -> Option<Ports> {
    let mut settings = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let (key, value) = settings.next()?.split_once('=')?;
    if key.trim() != "net.ipv4.ip_local_reserved_ports" || settings.next().is_some() {
        return None;
    }
    value.trim().split(',').map(|range| range.parse::<PortRange>().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let ports: Ports =
            ["4369", "6000-6009", "65535"].iter().map(|text| text.parse::<PortRange>().unwrap()).collect();
        assert_eq!(read(&write(&ports).unwrap()), Some(ports));
        for bad in ["", "# x\n", "net.ipv4.ip_local_port_range = 1-2", "net.ipv4.ip_local_reserved_ports = 1,x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

//! Ports, and what to say about those that are none.

use std::borrow::Cow;
use std::str::FromStr;

use toml::de::DeValue;

use super::{Reader, Text, Value, printable};
use crate::diagnostic::{Code, Diagnostic};
use crate::net::{ParsePortError, PortRange, Ports};

impl Reader<'_> {
    /// Ports: a number, or a string such as `"6000-6009"`, or a list of those.
    pub fn ports(&mut self, value: &Value<'_>, what: &str) -> Option<Ports> {
        match value.get_ref() {
            DeValue::Array(list) if list.iter().next().is_none() => {
                let finding =
                    Diagnostic::new(Code::MissingPorts, self.span(value), format!("{what} are an empty list"));
                self.push(finding.help("name a port or a range such as `\"6000-6009\"`"));
                None
            }
            DeValue::Array(list) => {
                let ranges: Vec<_> = list.iter().map(|item| self.port_range(item, what)).collect();
                ranges.into_iter().collect::<Option<Ports>>()
            }
            _ => self.port_range(value, what).map(|range| [range].into_iter().collect()),
        }
    }

    fn port_range(&mut self, value: &Value<'_>, what: &str) -> Option<PortRange> {
        let text = match value.get_ref() {
            DeValue::String(text) => Cow::Borrowed(&**text),
            DeValue::Integer(number) => Cow::Owned(number.to_string()),
            other => return self.wrong_type(value, what, "a port number or a string such as \"6000-6009\"", other),
        };
        self.port_text(Text { text: &text, span: self.span(value) }, what)
    }

    /// A port or a range of them.
    pub fn port_text(&mut self, text: Text<'_>, what: &str) -> Option<PortRange> {
        match PortRange::from_str(text.text) {
            Ok(range) => Some(range),
            Err(error) => {
                let (code, help) = match &error {
                    ParsePortError::NotAPort if protocol_of(text.text).is_some() => {
                        (Code::BadPort, ONLY_TCP.to_owned())
                    }
                    ParsePortError::NotAPort => {
                        (Code::BadPort, "write a number such as `8098` or a range such as `\"6000-6009\"`".to_owned())
                    }
                    ParsePortError::Inverted { meant } => (Code::InvertedRange, format!("did you mean `\"{meant}\"`?")),
                };
                let message = match protocol_of(text.text) {
                    Some("tcp") => format!("{what}: `{}` names its protocol", printable(text.text)),
                    Some(_) => format!("{what}: `{}` is no TCP port", printable(text.text)),
                    None => format!("{what}: `{}` is {}", printable(text.text), describe_port_error(&error)),
                };
                self.push(Diagnostic::new(code, text.span, message).help(help));
                None
            }
        }
    }
}

/// What there is to do about a protocol: nothing but TCP is guarded.
pub(super) const ONLY_TCP: &str = "only TCP is guarded, and every port is one of TCP: write the number alone, `8098`; \
     what the program does over another protocol, such as UDP, is for the host's other firewall to guard";

/// The protocol that a port names, as `5478/udp` and `tcp:8098` do.
fn protocol_of(text: &str) -> Option<&'static str> {
    let words = || text.split(['/', ':', ' ']).map(str::to_ascii_lowercase);
    ["tcp", "udp", "sctp"].into_iter().find(|protocol| words().any(|word| word == *protocol))
}

fn describe_port_error(error: &ParsePortError) -> String {
    match error {
        ParsePortError::NotAPort => error.to_string(),
        ParsePortError::Inverted { .. } => "a range that begins above its end".to_owned(),
    }
}

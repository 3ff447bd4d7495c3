//! The lines of a program's files that move its services, as a profile writes them: `listener.http.* = IP:PORT`.
//!
//! The text is the line as it stands in the file, with words for what is to be read there. Which file it is of, and how such a file is
//! read, is not known here.

use std::net::IpAddr;

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `IP:PORT`, and in Erlang's terms `{IP, PORT}` or a list of them: where it listens.
    Listener,
    /// `[IP:]PORT`, and in Erlang's terms `[PORT, {IP, PORT}]`: the same, or a port alone on every interface.
    PortOrListener,
    /// `PORT`, or `PORT-20000`, a number that lies so far below the port.
    Port(u16),
    /// `IP`: the address of a port that is set by another line, or by none.
    Address,
    /// `MIN`: the first port of a range.
    First,
    /// `MAX`: the last one.
    Last,
    /// `{MIN, MAX}`: both.
    Range,
    /// `none`: it listens nowhere.
    Nowhere,
    /// Any other word: the service listens only where it is set so.
    Word(String),
}

/// What RabbitMQ's `listeners.tcp` is set to where there are to be none.
pub const NOWHERE: &str = "none";

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    key: String,
    written: String,
    form: Form,
    is_sure: bool,
}

impl Key {
    /// Reads a line. What has no `=` is a key alone, as of a listener.
    pub(super) fn parse(text: &str) -> Self {
        let (key, written) = text.split_once(" = ").unwrap_or((text, "IP:PORT"));
        let (written, is_sure) = written.strip_suffix('?').map_or((written, true), |written| (written, false));
        let form = match written {
            "IP:PORT" | "{IP, PORT}" | "[{IP, PORT}]" => Form::Listener,
            "[IP:]PORT" | "[PORT, {IP, PORT}]" => Form::PortOrListener,
            NOWHERE => Form::Nowhere,
            "IP" => Form::Address,
            "MIN" => Form::First,
            "MAX" => Form::Last,
            "{MIN, MAX}" => Form::Range,
            other => match (other.strip_prefix("PORT"), other.strip_prefix("PORT-").map(str::parse)) {
                (Some(""), _) => Form::Port(0),
                (_, Some(Ok(below))) => Form::Port(below),
                _ => Form::Word(other.to_owned()),
            },
        };
        Self { key: key.to_owned(), written: written.to_owned(), form, is_sure }
    }

    /// Whether every release heeds it; a `?` behind the line says that one does not, or that something else may listen as if it were not
    /// there.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// What stands before the `=`. A `*` stands for any one part.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands behind it.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Whether it is this key, taken apart at its dots.
    #[must_use]
    pub fn is(&self, parts: &[&str]) -> bool {
        let mut own = self.key.split('.');
        parts.iter().all(|part| own.next().is_some_and(|own| own == "*" || own == *part)) && own.next().is_none()
    }

    /// Whether the service listens only where this is set so.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        matches!(self.form, Form::Word(_))
    }

    /// Whether an address stands in it.
    #[must_use]
    pub fn has_address(&self) -> bool {
        matches!(self.form, Form::Listener | Form::PortOrListener | Form::Address)
    }

    /// What is to be written for an address and a port; `name` is what a `*` is to be.
    #[must_use]
    pub fn value(&self, address: &str, port: u16, name: &str) -> (String, String) {
        let key = self.key.replace('*', name);
        let listener = match address.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) if self.form == Form::Listener => format!("[{address}]:{port}"),
            _ => format!("{address}:{port}"),
        };
        let value = match &self.form {
            Form::Listener if self.written.starts_with('{') => format!("{{\"{address}\", {port}}}"),
            Form::Listener if self.written.starts_with('[') => format!("[{{\"{address}\", {port}}}]"),
            Form::PortOrListener if self.written.ends_with("}]") => format!("[{{\"{address}\", {port}}}]"),
            Form::Listener | Form::PortOrListener => listener,
            Form::Address => address.to_owned(),
            Form::Port(below) => port.saturating_sub(*below).to_string(),
            Form::First | Form::Last | Form::Range | Form::Nowhere | Form::Word(_) => self.written.clone(),
        };
        (key, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_read_from_it() {
        let form = |text: &str| Key::parse(text).form().clone();
        assert_eq!(form("listener.http.*"), Form::Listener);
        assert_eq!(form("riak_api http = [{IP, PORT}]"), Form::Listener);
        assert_eq!(form("listeners.tcp.* = [IP:]PORT"), Form::PortOrListener);
        assert_eq!((form("a = PORT"), form("NODE_PORT = PORT-20000")), (Form::Port(0), Form::Port(20000)));
        assert_eq!((form("a = PORT-x"), form("search = on")), (Form::Word("PORT-x".into()), Form::Word("on".into())));
        assert_eq!([form("a = MIN"), form("a = MAX"), form("a = {MIN, MAX}")], [Form::First, Form::Last, Form::Range]);
        let key = Key::parse("listener.http.* = IP:PORT");
        assert!(key.is(&["listener", "http", "internal"]) && !key.is(&["listener", "http"]));
        assert!(!key.is(&["listener", "http", "a", "b"]) && !key.is(&["listener", "https", "a"]));
        assert_eq!(key.value("fd20::1", 8098, "x"), ("listener.http.x".to_owned(), "[fd20::1]:8098".to_owned()));
        assert_eq!(Key::parse("a = IP").value("10.0.0.1", 1, "").1, "10.0.0.1");
    }
}

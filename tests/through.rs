//! Through the other firewalls of a host: the real firewalld and ufw of this machine, each in a mount, process and network
//! namespace of its own with copies of its files and its own D-Bus, real connections, and what it holds afterwards byte for byte.
//!
//! Needs root, firewalld, ufw, dbus and fail2ban.

// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "through/commands.rs"]
mod commands;
#[path = "through/fail2ban.rs"]
mod fail2ban;
#[path = "through/firewalld.rs"]
mod firewalld;
#[path = "through/honest.rs"]
mod honest;
#[allow(dead_code, reason = "other tests use the rest")]
mod lab;
#[path = "through/observed.rs"]
mod observed;
#[path = "through/slow.rs"]
mod slow;
#[path = "through/stage.rs"]
mod stage;
#[path = "through/ufw.rs"]
mod ufw;

//! ufw: rules of our own.

//! A filter for the kernel's table of sockets (linux/inet_diag.h): only those whose other end has one of some ports.
//!
//! A server with ten thousand clients is asked for a handful of sockets, so the kernel picks them.

use crate::net::Ports;

const JUMP: u8 = 1;
const REMOTE_AT_LEAST: u8 = 4;
const REMOTE_AT_MOST: u8 = 5;
/// An instruction, and one with a port behind it.
const PLAIN: u8 = 4;
const WITH_PORT: u8 = 8;

/// The instructions. Each has how far it is to the next where its test holds and where it does not; whoever comes to the very end is
/// taken, and who goes 4 bytes further is not.
pub fn to_ports(ports: &Ports) -> Vec<u8> {
    const RANGE: usize = 20;
    let ranges = ports.ranges();
    let length = (ranges.len() * RANGE).saturating_sub(usize::from(PLAIN));
    let mut code: Vec<u8> = Vec::with_capacity(length);
    for (number, range) in ranges.iter().enumerate() {
        let is_last = number + 1 == ranges.len();
        let next = if is_last { length + usize::from(PLAIN) } else { (number + 1) * RANGE };
        for (test, port) in [(REMOTE_AT_LEAST, range.first()), (REMOTE_AT_MOST, range.last())] {
            let otherwise = next - code.len();
            instruction(&mut code, test, WITH_PORT, otherwise);
            instruction(&mut code, 0, 0, usize::from(port));
        }
        if !is_last {
            let end = length - code.len();
            instruction(&mut code, JUMP, PLAIN, end);
        }
    }
    code
}

fn instruction(code: &mut Vec<u8>, test: u8, holds: u8, otherwise: usize) {
    code.extend_from_slice(&[test, holds]);
    // 65,535 ports make no more than 32,768 ranges, but nobody protects more than a few.
    code.extend_from_slice(&u16::try_from(otherwise).unwrap_or(u16::MAX).to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::PortRange;

    #[test]
    fn ranges_follow_each_other() {
        let ports = [PortRange::new(6000, 6009), PortRange::single(8098)].into_iter().flatten().collect();
        let words: Vec<(u8, u8, u16)> = to_ports(&ports)
            .chunks_exact(4)
            .map(|one| (one[0], one[1], u16::from_ne_bytes([one[2], one[3]])))
            .collect();
        let first = [(4, 8, 20), (0, 0, 6000), (5, 8, 12), (0, 0, 6009), (1, 4, 20)];
        let second = [(4, 8, 20), (0, 0, 8098), (5, 8, 12), (0, 0, 8098)];
        assert_eq!(words, [first.as_slice(), &second].concat());
        assert!(to_ports(&Ports::default()).is_empty());
    }
}

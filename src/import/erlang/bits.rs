//! Bits in a row.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// How many bits of the last byte are used, from the highest; 0 for all of them.
    used: u8,
}

impl Bits {
    pub fn new(bytes: Vec<u8>, used: u8) -> Self {
        Self { bytes, used }
    }

    pub fn into_parts(self) -> (Vec<u8>, u8) {
        (self.bytes, self.used)
    }

    pub fn len(&self) -> usize {
        let missing = if self.used == 0 { 0 } else { 8 - usize::from(self.used) };
        self.bytes.len() * 8 - missing
    }

    /// Adds the lowest `count` bits of `value`, at most 8.
    pub fn push(&mut self, value: u8, count: u8) {
        if count == 0 {
            return;
        }
        let value = u16::from(value) & ((1 << count) - 1);
        // Aligned to the highest bit of 16, then moved behind the bits that are there.
        let aligned = value << (16 - count) >> self.used;
        let [high, low] = aligned.to_be_bytes();
        match self.bytes.last_mut().filter(|_| self.used > 0) {
            Some(last) => *last |= high,
            None => self.bytes.push(high),
        }
        let filled = self.used + count;
        if self.used > 0 && filled > 8 {
            self.bytes.push(low);
        }
        self.used = filled % 8;
    }

    /// Adds the first `count` bits of the other.
    pub fn extend(&mut self, other: &Self, count: usize) {
        let whole = other.bytes.get(..count / 8).unwrap_or(&other.bytes);
        if self.used == 0 {
            self.bytes.extend_from_slice(whole);
        } else {
            whole.iter().for_each(|&byte| self.push(byte, 8));
        }
        let rest = (count % 8) as u8;
        if let Some(byte) = other.bytes.get(count / 8).filter(|_| rest > 0) {
            self.push(byte >> (8 - rest), rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_line_up() {
        for first in 0..=8 {
            for second in 0..=8 {
                let mut bits = Bits::default();
                bits.push(0xff, first);
                bits.push(0, second);
                bits.push(0xff, 8);
                let length = usize::from(first + second) + 8;
                assert_eq!(bits.len(), length);
                let all = bits.clone().into_parts().0.iter().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte));
                let all = all >> (length.div_ceil(8) * 8 - length);
                assert_eq!(all, ((1 << first) - 1) << (second + 8) | 0xff, "{first} {second}");
                let mut copy = Bits::default();
                copy.extend(&bits, length);
                assert_eq!(copy, bits);
                let mut shifted = Bits::default();
                shifted.push(1, 3);
                shifted.extend(&bits, length);
                assert_eq!(shifted.len(), length + 3);
            }
        }
    }
}

//! Numbers of any size, as far as terms need them: from digits to decimal, and to the bits of a binary.

/// A natural number in digits of 32 bits, the lowest first, without zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl Natural {
    /// From digits of a base up to 36, between which there may be `_`. Takes quadratic time.
    pub fn from_digits(digits: &str, base: u32) -> Self {
        let mut number = Self(Vec::new());
        // As many digits at a time as fit into 32 bits.
        let (mut factor, mut sum) = (1_u64, 0_u64);
        for digit in digits.chars().filter_map(|c| c.to_digit(base)) {
            factor *= u64::from(base);
            sum = sum * u64::from(base) + u64::from(digit);
            if factor * u64::from(base) > u64::from(u32::MAX) {
                number.multiply_add(factor, sum);
                (factor, sum) = (1, 0);
            }
        }
        number.multiply_add(factor, sum);
        number
    }

    /// `factor` and `sum` are below 2^32.
    fn multiply_add(&mut self, factor: u64, sum: u64) {
        let mut carry = sum;
        for digit in &mut self.0 {
            let value = u64::from(*digit) * factor + carry;
            *digit = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Decimal digits. Takes quadratic time.
    pub fn to_decimal(&self) -> String {
        const CHUNK: u64 = 1_000_000_000;
        let mut rest = self.0.clone();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let mut remainder = 0;
            for digit in rest.iter_mut().rev() {
                let value = (remainder << 32) + u64::from(*digit);
                *digit = (value / CHUNK) as u32;
                remainder = value % CHUNK;
            }
            chunks.push(remainder);
            while rest.last() == Some(&0) {
                rest.pop();
            }
        }
        let mut chunks = chunks.iter().rev();
        let first = chunks.next().map_or_else(|| "0".to_owned(), ToString::to_string);
        chunks.fold(first, |text, chunk| format!("{text}{chunk:09}"))
    }

    /// The lowest `count` bytes of the number or, if `negative`, of its two's complement; the lowest byte first.
    pub fn to_bytes(&self, negative: bool, count: usize) -> Vec<u8> {
        let bytes = self.0.iter().flat_map(|digit| digit.to_le_bytes()).chain(std::iter::repeat(0)).take(count);
        if !negative {
            return bytes.collect();
        }
        let mut carry = true;
        bytes
            .map(|byte| {
                let (value, carries) = (!byte).overflowing_add(u8::from(carry));
                carry = carries;
                value
            })
            .collect()
    }

    /// The nearest floating-point number in the way of Erlang, which rounds after each 64 bits; none if it is too large.
    pub fn to_float(&self) -> Option<f64> {
        const STEP: f64 = 18_446_744_073_709_551_616.0;
        let digits: Vec<u64> = self
            .0
            .chunks(2)
            .map(|pair| pair.iter().rev().fold(0, |sum, &digit| sum << 32 | u64::from(digit)))
            .collect();
        let value = digits.iter().rev().fold(0.0, |sum, &digit| sum * STEP + digit as f64);
        value.is_finite().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_base_become_decimal() {
        let decimal = |digits: &str, base| Natural::from_digits(digits, base).to_decimal();
        assert_eq!(decimal("0", 10), "0");
        assert_eq!(decimal("000", 2), "0");
        assert_eq!(decimal("ff", 16), "255");
        assert_eq!(decimal("f_F", 16), "255");
        assert_eq!(decimal("zz", 36), "1295");
        assert_eq!(decimal("100000000", 16), "4294967296");
        assert_eq!(decimal("ffffffffffffffffffffffffffffffff", 16), u128::MAX.to_string());
        let long = "9".repeat(500);
        assert_eq!(decimal(&long, 10), long);
        assert_eq!(decimal(&format!("00{long}"), 10), long);
    }

    #[test]
    fn bytes_are_those_of_the_machine() {
        for value in [0_u128, 1, 255, 256, 1 << 32, u128::MAX / 3] {
            let number = Natural::from_digits(&value.to_string(), 10);
            for count in 0..16 {
                assert_eq!(number.to_bytes(false, count), value.to_le_bytes()[..count]);
                assert_eq!(number.to_bytes(true, count), value.wrapping_neg().to_le_bytes()[..count]);
            }
        }
    }

    #[test]
    fn too_large_for_a_float() {
        assert_eq!(Natural::from_digits("12", 10).to_float(), Some(12.0));
        assert_eq!(Natural::from_digits(&format!("1{}", "0".repeat(300)), 10).to_float(), Some(1e300));
        assert_eq!(Natural::from_digits(&format!("1{}", "0".repeat(310)), 10).to_float(), None);
    }
}

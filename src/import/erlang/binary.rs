//! `<<…>>`: what each segment adds, as `erl_bits` and `eval_bits` of OTP 25 have it
//! (<https://www.erlang.org/doc/reference_manual/expressions.html#bit-syntax-expressions>).

use super::bits::Bits;
use super::natural::Natural;
use super::{Kind, LARGEST_BINARIES};

/// The size behind the colon.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Size {
    /// None is written.
    Default,
    /// A number.
    Number(u64),
    /// The atom `all`, which stands for the default of binaries.
    All,
    /// The atom `undefined`, which stands for the default of the types `utf8`, `utf16` and `utf32`.
    Undefined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Binary,
    Utf8,
    Utf16,
    Utf32,
}

/// What stands behind the slash, each at most once or the same again.
#[derive(Clone, Debug, Default)]
pub(super) struct Specifiers {
    kind: Option<Type>,
    unit: Option<u64>,
    signed: Option<bool>,
    endian: Option<Endian>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endian {
    Big,
    Little,
    Native,
}

/// A segment that is understood.
pub(super) struct Segment {
    kind: Type,
    little: bool,
    /// In bits; none for everything that is there.
    size: Option<u64>,
    unit: u64,
}

type Wrong = String;

fn merge<T: PartialEq>(old: &mut Option<T>, new: T, word: &str) -> Result<(), Wrong> {
    match old {
        Some(old) if *old != new => Err(format!("`{word}` contradicts what is before it")),
        Some(_) | None => {
            *old = Some(new);
            Ok(())
        }
    }
}

impl Specifiers {
    /// Takes one word, and the number behind its colon if there is one.
    pub fn add(&mut self, word: &str, number: Option<&str>) -> Result<(), Wrong> {
        if let Some(number) = number {
            let unit = number.parse().ok().filter(|unit| (1..=256).contains(unit));
            return match unit {
                Some(unit) if word == "unit" => merge(&mut self.unit, unit, word),
                Some(_) | None => Err(format!("`{word}:{number}` is no type; a unit is 1 to 256")),
            };
        }
        match word {
            "integer" => merge(&mut self.kind, Type::Integer, word),
            "float" => merge(&mut self.kind, Type::Float, word),
            "binary" => merge(&mut self.kind, Type::Binary, word),
            "bytes" => merge(&mut self.kind, Type::Binary, word).and_then(|()| merge(&mut self.unit, 8, word)),
            "bits" | "bitstring" => {
                merge(&mut self.kind, Type::Binary, word).and_then(|()| merge(&mut self.unit, 1, word))
            }
            "utf8" => merge(&mut self.kind, Type::Utf8, word),
            "utf16" => merge(&mut self.kind, Type::Utf16, word),
            "utf32" => merge(&mut self.kind, Type::Utf32, word),
            "signed" => merge(&mut self.signed, true, word),
            "unsigned" => merge(&mut self.signed, false, word),
            "big" => merge(&mut self.endian, Endian::Big, word),
            "little" => merge(&mut self.endian, Endian::Little, word),
            "native" => merge(&mut self.endian, Endian::Native, word),
            other => Err(format!("`{other}` is no type of a segment")),
        }
    }

    /// What it all means together with the size.
    pub fn segment(&self, size: &Size) -> Result<Segment, Wrong> {
        let kind = self.kind.unwrap_or(Type::Integer);
        let little = match self.endian.unwrap_or(Endian::Big) {
            Endian::Big => false,
            Endian::Little => true,
            Endian::Native => cfg!(target_endian = "little"),
        };
        let (size, unit) = match kind {
            Type::Integer => self.numbers(size, 8)?,
            Type::Float => self.numbers(size, 64)?,
            Type::Binary => match size {
                Size::Default | Size::All => (None, self.unit.unwrap_or(8)),
                Size::Number(size) => (Some(*size), self.unit.unwrap_or(8)),
                Size::Undefined => return Err("`undefined` is no size of a binary".to_owned()),
            },
            Type::Utf8 | Type::Utf16 | Type::Utf32 => match (size, self.unit) {
                (Size::Default | Size::Undefined, None) => (None, 1),
                _ => return Err("a segment of a type `utf…` has neither size nor unit".to_owned()),
            },
        };
        Ok(Segment { kind, little, size, unit })
    }

    fn numbers(&self, size: &Size, default: u64) -> Result<(Option<u64>, u64), Wrong> {
        match (size, self.unit) {
            (Size::Default, None) => Ok((Some(default), 1)),
            (Size::Default, Some(_)) => Err("a unit needs a size before it".to_owned()),
            (Size::Number(size), unit) => Ok((Some(*size), unit.unwrap_or(1))),
            (Size::All | Size::Undefined, _) => Err("the size of a number is a number".to_owned()),
        }
    }
}

/// What is left of [`LARGEST_BINARIES`], in bits.
pub(super) struct Budget(u64);

impl Budget {
    pub fn new() -> Self {
        Self(LARGEST_BINARIES as u64 * 8)
    }

    fn spend(&mut self, bits: u64) -> Result<usize, Wrong> {
        let left = self.0.checked_sub(bits);
        let left =
            left.ok_or_else(|| format!("binaries of more than {LARGEST_BINARIES} bytes, which no setting needs"))?;
        self.0 = left;
        Ok(bits as usize)
    }
}

impl Segment {
    /// Adds the bits of a value.
    pub fn add(&self, value: &Kind, bits: &mut Bits, budget: &mut Budget) -> Result<(), Wrong> {
        match value {
            // Each character is a segment of its own. The type must be fit for characters even if there are none.
            Kind::String(text) => {
                for c in text.chars() {
                    self.add_one(&Kind::Integer(u32::from(c).to_string()), bits, budget)?;
                }
                if text.is_empty() {
                    self.add_one(&Kind::Integer("0".to_owned()), &mut Bits::default(), budget)?;
                }
                Ok(())
            }
            other => self.add_one(other, bits, budget),
        }
    }

    fn total(&self, budget: &mut Budget) -> Result<usize, Wrong> {
        budget.spend(self.size.unwrap_or(0).saturating_mul(self.unit))
    }

    fn add_one(&self, value: &Kind, bits: &mut Bits, budget: &mut Budget) -> Result<(), Wrong> {
        match self.kind {
            Type::Integer => {
                let Kind::Integer(digits) = value else { return Err("an integer is needed here".to_owned()) };
                let total = self.total(budget)?;
                let (negative, number) = natural(digits);
                self.add_bytes(number.to_bytes(negative, total.div_ceil(8)), total, bits);
                Ok(())
            }
            Type::Float => self.add_float(value, bits, budget),
            Type::Binary => self.add_binary(value, bits, budget),
            Type::Utf8 | Type::Utf16 | Type::Utf32 => self.add_character(value, bits, budget),
        }
    }

    /// Adds `total` bits of a number whose lowest byte is the first.
    fn add_bytes(&self, mut bytes: Vec<u8>, total: usize, bits: &mut Bits) {
        let rest = (total % 8) as u8;
        let partial = if rest == 0 { None } else { bytes.pop() };
        if self.little {
            bits.extend(&Bits::new(bytes, 0), total - usize::from(rest));
            partial.into_iter().for_each(|byte| bits.push(byte, rest));
        } else {
            bytes.reverse();
            partial.into_iter().for_each(|byte| bits.push(byte, rest));
            bits.extend(&Bits::new(bytes, 0), total - usize::from(rest));
        }
    }

    fn add_float(&self, value: &Kind, bits: &mut Bits, budget: &mut Budget) -> Result<(), Wrong> {
        let value = match value {
            Kind::Float(value) => *value,
            Kind::Integer(digits) => to_float(digits).ok_or("the integer is too large for a float")?,
            _ => return Err("a number is needed here".to_owned()),
        };
        let total = self.total(budget)?;
        let mut bytes = match total {
            16 => half(value as f32).to_le_bytes().to_vec(),
            32 => (value as f32).to_le_bytes().to_vec(),
            64 => value.to_le_bytes().to_vec(),
            other => return Err(format!("a float has 16, 32 or 64 bits, and not {other}")),
        };
        if !self.little {
            bytes.reverse();
        }
        bits.extend(&Bits::new(bytes, 0), total);
        Ok(())
    }

    fn add_binary(&self, value: &Kind, bits: &mut Bits, budget: &mut Budget) -> Result<(), Wrong> {
        let value = match value {
            Kind::Binary(bytes) => Bits::new(bytes.clone(), 0),
            Kind::Bitstring(bytes, used) => Bits::new(bytes.clone(), *used),
            _ => return Err("a binary is needed here".to_owned()),
        };
        let there = value.len() as u64;
        let wanted = match self.size {
            Some(size) => size.saturating_mul(self.unit),
            None if there.is_multiple_of(self.unit) => there,
            None => return Err(format!("the binary has {there} bits, which is no multiple of {}", self.unit)),
        };
        if wanted > there {
            return Err(format!("the binary has {there} bits only"));
        }
        // What was copied counts even if it is cut.
        budget.spend(there)?;
        bits.extend(&value, wanted as usize);
        Ok(())
    }

    fn add_character(&self, value: &Kind, bits: &mut Bits, budget: &mut Budget) -> Result<(), Wrong> {
        let Kind::Integer(digits) = value else { return Err("a character is needed here".to_owned()) };
        let c = digits.parse().ok().and_then(char::from_u32).ok_or("the number is no character")?;
        let units = |unit: u16| if self.little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        let code = u32::from(c);
        let bytes = match self.kind {
            Type::Utf16 => c.encode_utf16(&mut [0; 2]).iter().flat_map(|&unit| units(unit)).collect(),
            Type::Utf32 => if self.little { code.to_le_bytes() } else { code.to_be_bytes() }.to_vec(),
            Type::Utf8 | Type::Integer | Type::Float | Type::Binary => c.to_string().into_bytes(),
        };
        let total = budget.spend(bytes.len() as u64 * 8)?;
        bits.extend(&Bits::new(bytes, 0), total);
        Ok(())
    }
}

fn natural(digits: &str) -> (bool, Natural) {
    let positive = digits.strip_prefix('-');
    (positive.is_some(), Natural::from_digits(positive.unwrap_or(digits), 10))
}

/// Erlang rounds integers of up to 60 bits once, as they fit into a machine's word.
fn to_float(digits: &str) -> Option<f64> {
    if let Ok(small) = digits.parse::<i64>() {
        return Some(small as f64);
    }
    let (negative, number) = natural(digits);
    number.to_float().map(|value| if negative { -value } else { value })
}

/// The nearest number of IEEE 754 in 16 bits; of two, the even one. What is too large becomes infinite.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    let exponent = (magnitude >> 23) as i32 - 127;
    // In units of the last place of the result, and what is cut off.
    let (kept, cut, width) = if exponent >= 16 {
        return sign | 0x7c00;
    } else if exponent >= -14 {
        let rebased = magnitude - (112 << 23);
        (rebased >> 13, rebased & 0x1fff, 13)
    } else if exponent >= -26 {
        let shift = (-exponent - 1) as u32;
        let significand = magnitude & 0x7f_ffff | 0x80_0000;
        (significand >> shift, significand & ((1 << shift) - 1), shift)
    } else {
        return sign;
    };
    let middle = 1_u32 << (width - 1);
    let up = cut > middle || (cut == middle && kept & 1 == 1);
    sign | (kept + u32::from(up)) as u16
}

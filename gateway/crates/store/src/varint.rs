//! Numbers in as few bytes as they need: seven bits a byte, the lowest first.

use crate::Damage;

pub(crate) fn push(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A number that may be negative and is likely to be near 0.
pub(crate) fn push_signed(out: &mut Vec<u8>, value: i64) {
    push(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// How far `to` is from `from`, around the corner if need be; [`moved`] goes there.
pub(crate) const fn distance(from: u64, to: u64) -> i64 {
    to.wrapping_sub(from).cast_signed()
}

/// Where one is, `by` from `from`.
pub(crate) const fn moved(from: u64, by: i64) -> u64 {
    from.wrapping_add(by.cast_unsigned())
}

/// Bytes that are read from their front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damage> {
        let (&byte, rest) = self.0.split_first().ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damage> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(Damage::Invalid("number"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damage::Invalid("number"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Damage> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.number()?).map_err(|_| Damage::Invalid("number"))
    }

    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Damage> {
        let len = usize::try_from(self.number()?).map_err(|_| Damage::Truncated)?;
        let (head, rest) = self.0.split_at_checked(len).ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64, from: u64) {
            let mut out = Vec::new();
            push(&mut out, value);
            push_signed(&mut out, signed);
            push_signed(&mut out, distance(from, value));
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.number(), Ok(value));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.signed().map(|by| moved(from, by)), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_meaning(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            if let Ok(value) = reader.number() {
                let mut out = Vec::new();
                push(&mut out, value);
                prop_assert_eq!(out.as_slice(), &bytes[..bytes.len() - reader.0.len()]);
            }
        }
    }
}

use std::fmt;

/// Names a message: who published it, and its number among that publisher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) publisher: u16,
    pub(crate) number: u32,
}

const HEAD: usize = 12;
const MAGIC: &[u8; 2] = b"PC";

impl Key {
    /// The message's payload: its name, its length, and bytes that follow from both. Most are short, some
    /// are longer than what the store keeps in one piece.
    pub(crate) fn payload(self) -> Vec<u8> {
        let size = self.size();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.publisher.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(size).unwrap_or_default().to_be_bytes());
        bytes.resize(size, self.fill());
        bytes
    }

    /// The name in a payload; none if any byte of it is not as it was sent.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let head = payload.get(2..8)?;
        let publisher = u16::from_be_bytes(head.get(..2)?.try_into().ok()?);
        let number = u32::from_be_bytes(head.get(2..)?.try_into().ok()?);
        let key = Self { publisher, number };
        (key.payload() == payload).then_some(key)
    }

    fn size(self) -> usize {
        let spread = (self.number.wrapping_mul(0x9E37_79B1) >> 16) as usize;
        match self.number % 1000 {
            0 => 30_000 + spread % 20_000,
            1..=15 => 3_500 + spread % 3_000,
            _ => HEAD + spread % 250,
        }
    }

    fn fill(self) -> u8 {
        self.number.wrapping_mul(31).wrapping_add(u32::from(self.publisher)).to_le_bytes()[0]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_names_its_message_and_nothing_else() {
        for number in [0, 1, 7, 999, 70_000] {
            let key = Key { publisher: 3, number };
            let mut payload = key.payload();
            assert_eq!(Key::of(&payload), Some(key));
            payload.pop();
            assert_eq!(Key::of(&payload), None);
        }
        assert_eq!(Key::of(b""), None);
    }
}

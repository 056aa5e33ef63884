//! The bytes of what is kept: whose it is, the key, the value.

use crate::Damage;

const TOO_SHORT: Damage = Damage::Invalid("kept value");

/// A space has at most 255 bytes, a key 65,535: callers allow less.
pub(super) fn encode(space: &str, key: &str, value: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(3 + space.len() + key.len() + value.len());
    body.push(u8::try_from(space.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(space.as_bytes());
    body.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(value);
    body
}

pub(super) fn decode(body: &[u8]) -> Result<(&str, &str, &[u8]), Damage> {
    let (&len, rest) = body.split_first().ok_or(TOO_SHORT)?;
    let (space, rest) = rest.split_at_checked(usize::from(len)).ok_or(TOO_SHORT)?;
    let (&len, rest) = rest.split_first_chunk::<2>().ok_or(TOO_SHORT)?;
    let len = usize::from(u16::from_be_bytes(len));
    let (key, value) = rest.split_at_checked(len).ok_or(TOO_SHORT)?;
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| TOO_SHORT);
    Ok((text(space)?, text(key)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_panics() {
        let body = encode("jwt", "a/b", b"value");
        assert_eq!(decode(&body), Ok(("jwt", "a/b", &b"value"[..])));
        for cut in 0..9 {
            assert!(decode(&body[..cut]).is_err(), "{cut}");
        }
        assert_eq!(decode(&encode("", "", b"")), Ok(("", "", &b""[..])));
        assert!(decode(&[1, 0xff, 0, 0]).is_err());
    }
}

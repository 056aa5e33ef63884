//! As much of DER (X.690) as a public key needs.

/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// SEQUENCE, constructed.
pub(super) const SEQUENCE: u8 = 0x30;

/// Takes the value of this tag from the front, and leaves what follows it. `None` for another tag,
/// a length that is indefinite, longer than its value needs or beyond 65,535 bytes, and for a value
/// that ends too early.
pub(super) fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match (first, rest) {
        (0..=0x7f, _) => (usize::from(first), rest),
        (0x81, [length @ 0x80..=0xff, rest @ ..]) => (usize::from(*length), rest),
        (0x82, [high @ 1..=0xff, low, rest @ ..]) => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    if found != tag {
        return None;
    }
    let (value, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(value)
}

/// Takes the value of this tag, after which nothing may follow.
pub(super) fn only(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    take(&mut input, tag).filter(|_| input.is_empty())
}

/// Takes an integer above zero, without the zero byte that keeps its sign.
pub(super) fn take_positive<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    match take(input, INTEGER)? {
        [0, value @ ..] if value.first().is_some_and(|first| *first >= 0x80) => Some(value),
        value @ [1..=0x7f, ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_definite_and_shortest() {
        let long = [&[SEQUENCE, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(only(&long, SEQUENCE), Some(&[7; 0x80][..]));
        let longer = [&[SEQUENCE, 0x82, 1, 0][..], &[7; 0x100]].concat();
        assert_eq!(only(&longer, SEQUENCE), Some(&[7; 0x100][..]));
        assert_eq!(only(&[SEQUENCE, 0], SEQUENCE), Some(&[][..]));
        for wrong in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 1],
            &[SEQUENCE, 0x80, 0, 0],
            &[SEQUENCE, 0x81, 1, 7],
            &[SEQUENCE, 0x82, 0, 1, 7],
            &[SEQUENCE, 0x83, 0, 0, 1, 7],
            &[SEQUENCE, 0xff],
            &[SEQUENCE, 1, 7, 7],
            &[INTEGER, 1, 7],
        ] {
            assert_eq!(only(wrong, SEQUENCE), None, "{wrong:?}");
        }
    }

    #[test]
    fn integers_are_positive_and_shortest() {
        let mut input: &[u8] = &[INTEGER, 2, 0, 0x80, INTEGER, 1, 3];
        assert_eq!(take_positive(&mut input), Some(&[0x80][..]));
        assert_eq!(take_positive(&mut input), Some(&[3][..]));
        for mut wrong in [&[INTEGER, 0][..], &[INTEGER, 1, 0], &[INTEGER, 1, 0x80]] {
            assert_eq!(take_positive(&mut wrong), None);
        }
        assert_eq!(take_positive(&mut &[INTEGER, 2, 0, 1][..]), None);
    }
}

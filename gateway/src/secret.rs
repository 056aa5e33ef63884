use crate::failure::Failure;

/// Letters and digits that nobody mistakes for one another and no shell gives a meaning to.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// Characters of a password that is made here: 116 bits.
const PASSWORD_CHARACTERS: usize = 20;

/// A password that nobody has chosen.
pub(crate) fn password() -> Result<String, Failure> {
    // Bytes above the largest multiple are passed over, or the first letters would come more often.
    let fair = u8::try_from(256 / ALPHABET.len() * ALPHABET.len()).unwrap_or(u8::MAX);
    let mut password = String::with_capacity(PASSWORD_CHARACTERS);
    while password.len() < PASSWORD_CHARACTERS {
        let bytes = random::<32>()?;
        let letters = bytes.iter().filter(|byte| **byte < fair).filter_map(|byte| {
            ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied().map(char::from)
        });
        password.extend(letters.take(PASSWORD_CHARACTERS - password.len()));
    }
    Ok(password)
}

/// Bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes).map_err(|error| Failure::System {
        what: "get random numbers from the operating system",
        error: std::io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_use_the_whole_alphabet() {
        let passwords: Vec<String> = (0..200).map(|_| password().unwrap()).collect();
        assert!(passwords.iter().all(|p| p.len() == PASSWORD_CHARACTERS));
        let distinct: std::collections::BTreeSet<&String> = passwords.iter().collect();
        assert_eq!(distinct.len(), passwords.len());
        let all = passwords.concat();
        let missing: Vec<char> = ALPHABET
            .iter()
            .map(|letter| char::from(*letter))
            .filter(|letter| !all.contains(*letter))
            .collect();
        assert!(missing.is_empty(), "never used: {missing:?}");
    }
}

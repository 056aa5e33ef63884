use std::collections::BTreeSet;

use super::error::SignatureError;
use super::key::KeyId;

/// Bytes of a name, of the extension, of a hook or of a grant, and of a release, at most.
pub const MAX_NAME_BYTES: usize = 64;

/// Hooks, and grants, of one extension at most.
pub const MAX_LIST: usize = 64;

/// Keeps what is signed here apart from all else that a key may sign.
const DOMAIN: &[u8] = b"portcullis extension signature 1\0";

/// What a signature says of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the extension, so that no signed component takes the place of another one.
    pub name: String,
    /// Which version of it this is, in the words of whoever signs.
    pub release: Option<String>,
    /// SHA-256 of the component.
    pub component: [u8; 32],
    /// The hooks that it has: `authorizer`.
    pub hooks: BTreeSet<String>,
    /// What it asks for, as in `grants` of `gateway.toml`.
    pub grants: BTreeSet<String>,
}

impl Manifest {
    /// What is signed: the domain, then each field in this order, a text as its length in four bytes (the highest
    /// first) and its bytes, a list as its length and its texts in the order of their bytes. A release that is not
    /// stated is an empty list, one that is stated a list of one.
    #[must_use]
    pub fn message(&self, key: KeyId) -> Vec<u8> {
        let mut message = DOMAIN.to_vec();
        text(&mut message, key.to_string().as_bytes());
        text(&mut message, &self.component);
        text(&mut message, self.name.as_bytes());
        list(&mut message, self.release.iter());
        list(&mut message, self.hooks.iter());
        list(&mut message, self.grants.iter());
        message
    }

    /// Whether all fields are within their bounds.
    pub(super) fn check(&self) -> Result<(), SignatureError> {
        let fault = |name, wanted| Err(SignatureError::Field { name, wanted });
        let words = "a list of at most 64 names with 1 to 64 letters, digits and any of \"-_.:/\"";
        if !is_word(&self.name) {
            return fault("name", "1 to 64 letters, digits and any of \"-_.:/\"");
        }
        if self.release.as_deref().is_some_and(|it| !is_release(it)) {
            return fault("release", "1 to 64 letters, digits, and marks of ASCII");
        }
        if self.hooks.len() > MAX_LIST || !self.hooks.iter().all(|it| is_word(it)) {
            return fault("hooks", words);
        }
        if self.grants.len() > MAX_LIST || !self.grants.iter().all(|it| is_word(it)) {
            return fault("grants", words);
        }
        Ok(())
    }
}

/// Appears in logs and sentences, so nothing that could break a line.
fn is_word(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte))
}

fn is_release(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn list<'a>(message: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = &'a String>) {
    length(message, texts.len());
    for word in texts {
        text(message, word.as_bytes());
    }
}

fn text(message: &mut Vec<u8>, bytes: &[u8]) {
    length(message, bytes.len());
    message.extend(bytes);
}

/// Everything here is far shorter than four bytes can say: [`Manifest::check`] comes first.
fn length(message: &mut Vec<u8>, length: usize) {
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly as many bytes as hexadecimal digits say.
pub(super) fn digest<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    let mut digest = [0; N];
    for byte in &mut digest {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::super::SigningKey;
    use super::*;

    fn of(name: &str, hooks: &[&str], grants: &[&str]) -> Manifest {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Manifest {
            name: name.to_owned(),
            release: None,
            component: [0; 32],
            hooks: texts(hooks),
            grants: texts(grants),
        }
    }

    /// Where one text ends and the next begins is part of what is signed.
    #[test]
    fn different_manifests_have_different_messages() {
        let id = SigningKey::from_seed(&[1; 32]).unwrap().public().id();
        let all = [
            of("ab", &["c"], &[]),
            of("a", &["bc"], &[]),
            of("a", &["b", "c"], &[]),
            of("a", &["b"], &["c"]),
            of("a", &[], &["b", "c"]),
            Manifest { release: Some("b".to_owned()), ..of("a", &["c"], &[]) },
            Manifest { component: [1; 32], ..of("ab", &["c"], &[]) },
        ];
        let messages: BTreeSet<Vec<u8>> = all.iter().map(|manifest| manifest.message(id)).collect();
        assert_eq!(messages.len(), all.len());
        assert!(messages.iter().all(|message| message.starts_with(DOMAIN)));
    }

    #[test]
    fn names_are_bounded() {
        let long = "x".repeat(MAX_NAME_BYTES);
        assert_eq!(of(&long, &[&long], &[&long]).check(), Ok(()));
        for bad in ["", "a b", "a\n", "a\u{e9}", &format!("{long}x")] {
            assert!(of(bad, &[], &[]).check().is_err(), "{bad:?}");
            assert!(of("a", &[bad], &[]).check().is_err(), "{bad:?}");
            assert!(of("a", &[], &[bad]).check().is_err(), "{bad:?}");
            let release = Some(bad.to_owned());
            assert!(Manifest { release, ..of("a", &[], &[]) }.check().is_err(), "{bad:?}");
        }
        let many: Vec<String> = (0..=MAX_LIST).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(of("a", &many, &[]).check().is_err());
    }

    #[test]
    fn digests_are_read_whole_or_not() {
        assert_eq!(digest::<2>("0aFf"), Some([0x0a, 0xff]));
        for bad in ["", "0a", "0aff0", "0aff00", "0agf"] {
            assert_eq!(digest::<2>(bad), None, "{bad}");
        }
        assert_eq!(hexadecimal(&[0x0a, 0xff]), "0aff");
    }
}

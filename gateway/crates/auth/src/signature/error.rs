use std::error::Error;
use std::fmt;

use super::key::KeyId;
use super::{FORMAT, MAX_SIGNATURE_TEXT_BYTES};

/// Why a signature is none, or not that of a key. Displays as the end of a sentence that begins with its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The text is too long: its bytes.
    TooLong(usize),
    /// The text is not JSON, or not with these fields: the parser's words.
    Text(String),
    /// The format is another one: its name.
    Format(String),
    /// A field has a value that it cannot have.
    Field {
        /// Which.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The signature is not what this key makes of what is said.
    Wrong(KeyId),
    /// It is right, and for another component.
    OtherComponent {
        /// SHA-256 of the component that was signed, in hexadecimal.
        signed: String,
        /// SHA-256 of the bytes that are there.
        found: String,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(f, "has {bytes} bytes, a signature has at most {MAX_SIGNATURE_TEXT_BYTES}")
            }
            Self::Text(why) => write!(f, "is not a signature in JSON: {why}"),
            Self::Format(found) => write!(
                f,
                "has the format {found:?}, this gateway reads {FORMAT:?}; sign the component with the \
                 `portcullis extension sign` of this version"
            ),
            Self::Field { name, wanted } => write!(f, "has a \"{name}\" that is not {wanted}"),
            Self::Wrong(key) => write!(
                f,
                "was not made by the key {key} for what it says: it was changed, or signed with \
                 another key; sign the component again"
            ),
            Self::OtherComponent { signed, found } => write!(
                f,
                "is for another component: it signs SHA-256 {signed}, the component has {found}; sign this \
                 component, or restore the one that was signed"
            ),
        }
    }
}

impl Error for SignatureError {}

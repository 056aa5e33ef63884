use std::fmt;

/// Why a string is not a topic name or topic filter (4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicError {
    /// It has no characters.
    Empty,
    /// It is longer than 65535 bytes.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It contains the character U+0000.
    NulCharacter,
    /// A topic name contains `+` or `#`.
    WildcardInName,
    /// A `#` that is not alone in the last level of a filter.
    MisplacedHash,
    /// A `+` that is not alone in its level of a filter.
    MisplacedPlus,
    /// The group of a `$share/group/filter` is empty or contains a wildcard.
    ShareGroup,
    /// A `$share/group` without a filter behind it.
    ShareWithoutFilter,
}

impl TopicError {
    /// The statement of the specification that was broken.
    pub fn statement(&self) -> &'static str {
        match self {
            Self::Empty => "MQTT-4.7.3-1",
            Self::TooLong { .. } => "MQTT-4.7.3-3",
            Self::NulCharacter => "MQTT-4.7.3-2",
            Self::WildcardInName => "MQTT-4.7.0-1",
            Self::MisplacedHash => "MQTT-4.7.1-1",
            Self::MisplacedPlus => "MQTT-4.7.1-2",
            Self::ShareGroup => "MQTT-4.8.2-1",
            Self::ShareWithoutFilter => "MQTT-4.8.2-2",
        }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty, it needs one character"),
            Self::TooLong { len } => write!(f, "it has {len} bytes, it may have 65535"),
            Self::NulCharacter => write!(f, "it contains U+0000"),
            Self::WildcardInName => {
                write!(f, "it contains \"+\" or \"#\", which only a filter may")
            }
            Self::MisplacedHash => write!(f, "\"#\" must stand alone in the last level"),
            Self::MisplacedPlus => write!(f, "\"+\" must stand alone in its level"),
            Self::ShareGroup => {
                write!(f, "the group after \"$share/\" must have a character and no wildcard")
            }
            Self::ShareWithoutFilter => {
                write!(f, "the group after \"$share/\" must be followed by \"/\" and a filter")
            }
        }
    }
}

impl std::error::Error for TopicError {}

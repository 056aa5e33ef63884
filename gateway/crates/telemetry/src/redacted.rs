//! Values that are never shown.

use std::fmt;

/// A value that cannot be shown by accident: `Debug` and `Display` give `[redacted]`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for what needs it. Never for a log.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, for what needs it. Never for a log.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

const SHOWN: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_never_shown() {
        let secret = Redacted::new("hunter2");
        for shown in [format!("{secret}"), format!("{secret:?}"), format!("{:#?}", Some(secret))] {
            assert!(shown.contains("[redacted]") && !shown.contains("hunter"), "{shown}");
        }
        assert_eq!(*secret.expose(), "hunter2");
        assert_eq!(secret.into_exposed(), "hunter2");
    }
}

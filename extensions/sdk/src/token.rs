//! Shorter ways to look at a verified token, and to tell why there is none.

use crate::{HookError, TokenError, VerifiedToken};

impl VerifiedToken {
    /// The values of a claim by its path, such as `realm_access.roles`; none where there is no such claim.
    #[must_use]
    pub fn values(&self, path: &str) -> Option<&[String]> {
        let found = self.flattened.binary_search_by(|(known, _)| known.as_str().cmp(path)).ok()?;
        self.flattened.get(found).map(|(_, values)| values.as_slice())
    }

    /// The value of a claim that has exactly one.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&str> {
        match self.values(path)? {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl TokenError {
    /// Why there is no verified token, in a sentence for the log.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::UnknownKeySet => {
                "the key set is not granted; add [extensions.NAME.key-sets.KEY] to gateway.toml"
            }
            Self::Malformed(why)
            | Self::Wrong(why)
            | Self::Expired(why)
            | Self::NotYetValid(why)
            | Self::Unavailable(why)
            | Self::Other((_, why)) => why,
        }
    }

    /// What the hook answers where this is no verdict on the token; none where it is.
    #[must_use]
    pub fn as_hook_error(&self) -> Option<HookError> {
        match self {
            Self::Unavailable(why) => Some(HookError::Unavailable(why.clone())),
            Self::UnknownKeySet => Some(HookError::Internal(self.why().to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found_by_path() {
        let claim = |name: &str, values: &[&str]| {
            (name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        let token = VerifiedToken {
            claims: String::new(),
            flattened: vec![claim("a.b", &["1", "2"]), claim("none", &[]), claim("sub", &["x"])],
            subject: None,
            valid_for_ms: None,
        };
        assert_eq!(token.value("sub"), Some("x"));
        assert_eq!(token.values("a.b").map(<[_]>::len), Some(2));
        for path in ["a.b", "none", "a", "z"] {
            assert_eq!(token.value(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_verdict_is_a_failure() {
        let why = || "why".to_owned();
        assert!(TokenError::UnknownKeySet.as_hook_error().is_some());
        assert!(TokenError::Unavailable(why()).as_hook_error().is_some());
        for error in [
            TokenError::Wrong(why()),
            TokenError::Expired(why()),
            TokenError::Other((why(), why())),
        ] {
            assert_eq!(error.as_hook_error(), None, "{error:?}");
        }
    }
}

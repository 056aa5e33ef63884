//! What a verified token says.

use std::fmt;

use serde_json::{Map, Value};

/// The claims of a token that was verified. There is no other way to get them.
#[derive(Clone, PartialEq)]
pub struct Claims {
    pub(super) text: String,
    pub(super) members: Map<String, Value>,
    pub(super) expires_at: Option<u64>,
    pub(super) valid_until: Option<u64>,
}

impl Claims {
    /// The payload as it was signed: one JSON object.
    pub fn json(&self) -> &str {
        &self.text
    }

    /// `sub`: whom the token is about (RFC 7519, section 4.1.2). It names somebody among those of
    /// its issuer only (RFC 8725, section 3.8).
    pub fn subject(&self) -> Option<&str> {
        self.members.get("sub")?.as_str()
    }

    /// `iss`: who issued it (RFC 7519, section 4.1.1).
    pub fn issuer(&self) -> Option<&str> {
        self.members.get("iss")?.as_str()
    }

    /// `exp`, in Unix seconds, rounded down, without leeway. `None` where the token has none, which
    /// [`Expiry::Optional`](super::Expiry::Optional) allows.
    pub fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }

    /// When the policy that verified the token begins to refuse it, in Unix seconds: after `exp`, or the age that
    /// it allows, and the leeway. `None` for never.
    pub fn valid_until(&self) -> Option<u64> {
        self.valid_until
    }

    /// A claim by its path: names with dots between them, such as `realm_access.roles`.
    ///
    /// Names may have dots themselves (`https://example.com/roles`). At each step the longest name
    /// that is there is taken, and what was passed over is not come back to.
    pub fn claim(&self, path: &str) -> Option<Claim<'_>> {
        let (mut value, mut rest) = step(&self.members, path)?;
        while let Some(path) = rest {
            (value, rest) = step(value.as_object()?, path)?;
        }
        Some(Claim::of(value))
    }
}

/// The member of the longest name with which the path begins, and what of the path is left.
fn step<'a, 'p>(
    members: &'a Map<String, Value>,
    path: &'p str,
) -> Option<(&'a Value, Option<&'p str>)> {
    if let Some(value) = members.get(path) {
        return Some((value, None));
    }
    path.rmatch_indices('.').find_map(|(dot, _)| {
        let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        Some((members.get(name)?, Some(rest)))
    })
}

/// Names only: what claims say about people stays out of logs.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("names", &self.members.keys().collect::<Vec<_>>())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// One claim, to be looked at in different ways. A view that does not fit is `None`: a number is
/// never taken for a text.
#[derive(Clone, Copy, PartialEq)]
pub struct Claim<'a>(&'a Value);

impl<'a> Claim<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        Self(value)
    }

    pub(super) fn value(self) -> &'a Value {
        self.0
    }

    /// A string.
    pub fn as_str(self) -> Option<&'a str> {
        self.0.as_str()
    }

    /// `true` or `false`.
    pub fn as_bool(self) -> Option<bool> {
        self.0.as_bool()
    }

    /// A whole number from 0.
    pub fn as_u64(self) -> Option<u64> {
        self.0.as_u64()
    }

    /// A string as the only one, or each string of an array, as in `aud`. `None` if an element is
    /// something else.
    pub fn strings(self) -> Option<Vec<&'a str>> {
        match self.0 {
            Value::String(text) => Some(vec![text]),
            Value::Array(elements) => elements.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    /// The words of a string with spaces between them, as in `scope` (RFC 8693, section 4.2); of an
    /// array, each of its strings.
    pub fn words(self) -> Option<Vec<&'a str>> {
        match self.0 {
            Value::String(text) => Some(text.split(' ').filter(|word| !word.is_empty()).collect()),
            _ => self.strings(),
        }
    }

    /// The claim as JSON, whatever it is.
    pub fn to_json(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

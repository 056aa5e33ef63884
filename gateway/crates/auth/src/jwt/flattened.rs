//! Claims as names and texts, for whoever has no reader of JSON.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::claims::Claims;

/// Claims that [`Claims::flattened`] gives at most.
pub const MAX_FLATTENED: usize = 256;

/// Names in one of their paths at most.
pub const MAX_FLATTENED_DEPTH: usize = 8;

/// Bytes of all their paths and values at most: 64 KiB. Without a limit a token of nested claims would come to some
/// thousand times its length.
pub const MAX_FLATTENED_BYTES: usize = 64 * 1024;

impl Claims {
    /// Each claim that is no object by its path, names with dots between them, in the order of paths: a
    /// string as it is; a number, `true` and `false` as JSON writes them; an array as its elements, where an object
    /// or another array is its JSON. `null` is left out. The value is always that of
    /// [`claim`](Self::claim) under the same path.
    ///
    /// What exceeds one of the limits above is left out: whoever must see all of it reads [`json`](Self::json).
    pub fn flattened(&self) -> Vec<(String, Vec<String>)> {
        let mut paths = Paths { found: BTreeSet::new(), bytes_left: MAX_FLATTENED_BYTES };
        paths.collect(&self.members, "", 1);
        let mut bytes_left = MAX_FLATTENED_BYTES;
        let mut flattened = Vec::new();
        for path in paths.found {
            let Some(texts) = self.claim(&path).and_then(|claim| texts(claim.value())) else {
                continue;
            };
            let bytes = path.len() + texts.iter().map(String::len).sum::<usize>();
            if let Some(left) = bytes_left.checked_sub(bytes) {
                bytes_left = left;
                flattened.push((path, texts));
            }
        }
        flattened
    }
}

struct Paths {
    found: BTreeSet<String>,
    bytes_left: usize,
}

impl Paths {
    /// Values before what is nested, so that a nested flood costs no claim at the top.
    fn collect(&mut self, members: &Map<String, Value>, prefix: &str, depth: usize) {
        for (name, _) in members.iter().filter(|(_, value)| !value.is_object()) {
            let path = format!("{prefix}{name}");
            let Some(left) = self.bytes_left.checked_sub(path.len()) else { continue };
            if self.found.len() < MAX_FLATTENED && self.found.insert(path) {
                self.bytes_left = left;
            }
        }
        if depth == MAX_FLATTENED_DEPTH {
            return;
        }
        for (name, value) in members {
            if let Value::Object(inner) = value {
                self.collect(inner, &format!("{prefix}{name}."), depth + 1);
            }
        }
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Object(_) | Value::Null => None,
        Value::Array(elements) => Some(elements.iter().map(text).collect()),
        one => Some(vec![text(one)]),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

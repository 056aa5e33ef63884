//! Functions that reach beyond the gateway's memory. In a replay nothing is sent, kept or ordered: what a tape does not
//! have is a difference.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::values::{hex, read_bytes};
use super::{HostCall, VERIFY_PASSWORD};

/// One of them.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Interface and function: `http.send`.
    pub(crate) name: &'static str,
    /// How people call it.
    shown: &'static str,
    /// How many of its arguments say what it is about; a sentence about a difference shows them.
    subject: usize,
    /// What the other arguments are.
    rest: &'static [&'static str],
    /// Whether something is another afterwards: to leave it out, or to do it once more, is a difference too.
    pub(crate) has_effect: bool,
}

macro_rules! outside {
    ($($constant:ident = $name:literal $shown:literal $subject:literal $rest:expr, $effect:literal;)*) => {
        $(pub(crate) const $constant: Outside =
            Outside { name: $name, shown: $shown, subject: $subject, rest: &$rest, has_effect: $effect };)*

        const ALL: &[&Outside] = &[$(&$constant),*];
    };
}

outside! {
    GET = "key-value.get" "key-value get" 1 [], false;
    LIST_KEYS = "key-value.list-keys" "key-value list-keys" 1 ["beginning", "limit"], false;
    SET = "key-value.set" "key-value set" 1 ["value"], true;
    DELETE = "key-value.delete" "key-value delete" 1 [], true;
    COMPARE_AND_SET = "key-value.compare-and-set" "key-value compare-and-set" 1 ["expected value", "value"], true;
    INCREMENT = "key-value.increment" "key-value increment" 1 ["number"], true;
    SEND = "http.send" "http" 2 ["connection", "query", "headers", "body"], false;
    PUBLISH = "broker.publish" "broker publish" 1
        ["payload", "QoS", "retain flag", "content type", "user properties", "expiry"], true;
    DISCONNECT = "broker.disconnect" "broker disconnect" 1 ["reason code"], true;
    REPLACE_PERMISSIONS = "broker.replace-permissions" "broker replace-permissions" 1 ["permission set"], true;
}

impl Outside {
    /// The one that is called so.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|function| function.name == name)
    }

    /// What was asked for that the tape does not have; where it has something similar, what of it is other.
    pub(super) fn asked_for<'a>(
        &self,
        arguments: &Value,
        calls: impl Iterator<Item = &'a HostCall>,
    ) -> String {
        let mine = list(arguments);
        let others = calls.filter(|call| call.function == self.name).map(|call| {
            let theirs = list(&call.arguments);
            let same_subject = mine.get(..self.subject) == theirs.get(..self.subject);
            same_subject.then(|| self.other_parts(mine, theirs))
        });
        let nearest = others.flatten().min_by_key(Vec::len);
        let other = match nearest {
            Some(parts) if parts.is_empty() => " once more".to_owned(),
            Some(parts) => format!(" with another {}", parts.join(" and ")),
            None => String::new(),
        };
        format!("asked for {}{other}, which the recording does not have", self.show(mine))
    }

    /// What was not asked for that the tape has.
    pub(super) fn left_out(&self, arguments: &Value) -> String {
        format!("did not ask for {}, which the recording has", self.show(list(arguments)))
    }

    fn other_parts(&self, mine: &[Value], theirs: &[Value]) -> Vec<&'static str> {
        let part = |(at, name): (usize, &&'static str)| {
            let at = self.subject + at;
            (mine.get(at) != theirs.get(at)).then_some(*name)
        };
        self.rest.iter().enumerate().filter_map(part).collect()
    }

    fn show(&self, arguments: &[Value]) -> String {
        let subject = arguments.iter().take(self.subject).map(|argument| match argument.as_str() {
            Some(text) if is_plain(text) => text.to_owned(),
            Some(text) => format!("{text:?}"),
            None => argument.to_string(),
        });
        let subject: Vec<_> = subject.collect();
        format!("{} {}", self.shown, subject.join(" "))
    }
}

fn list(arguments: &Value) -> &[Value] {
    arguments.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a text needs no quotation marks.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
}

/// The arguments as a recording has them: of what is only compared, digests. A recording is not to be a list of what can
/// be guessed at, nor of what was sent.
pub(crate) fn written(function: &str, arguments: &Value) -> Value {
    let all = list(arguments);
    let at = |index: usize| all.get(index).unwrap_or(&Value::Null);
    match function {
        VERIFY_PASSWORD => json!([at(0), digest(at(1))]),
        "key-value.set" => json!([at(0), digest(at(1))]),
        "key-value.compare-and-set" => json!([at(0), digest(at(1)), digest(at(2))]),
        "http.send" => {
            let path = at(1).as_str().unwrap_or_default();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            json!([at(0), path, at(2), digest(&json!(query)), digest(at(3)), digest(at(4))])
        }
        "broker.publish" => {
            let rest = all.iter().skip(2).cloned();
            [at(0).clone(), digest(at(1))].into_iter().chain(rest).collect()
        }
        _ => arguments.clone(),
    }
}

/// SHA-256 of bytes, or of a value as JSON; none where there is none.
fn digest(value: &Value) -> Value {
    let bytes = match value {
        Value::Null => return Value::Null,
        value => read_bytes(value).unwrap_or_else(|| value.to_string().into_bytes()),
    };
    json!(hex(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_what_of_a_call_is_other() {
        let call = |path: &str, body: &str| {
            let arguments = json!(["POST", path, "auth", [["accept", "*/*"]], body]);
            HostCall {
                function: "http.send".to_owned(),
                arguments: written("http.send", &arguments),
                result: json!(null),
            }
        };
        let tape =
            [call("/introspect", "a"), call("/introspect?realm=x", "b"), call("/other", "a")];
        let asked = |path, body| SEND.asked_for(&call(path, body).arguments, tape.iter());
        assert_eq!(
            asked("/introspect", "c"),
            "asked for http POST /introspect with another body, which the recording does not have"
        );
        assert_eq!(
            asked("/introspect?realm=y", "b"),
            "asked for http POST /introspect with another query, which the recording does not have"
        );
        assert_eq!(asked("/x", "a"), "asked for http POST /x, which the recording does not have");
        assert_eq!(
            DELETE.left_out(&json!(["a key"])),
            "did not ask for key-value delete \"a key\", which the recording has"
        );
    }

    #[test]
    fn what_is_only_compared_is_not_written() {
        let shown = |function, arguments| written(function, &arguments).to_string();
        let told = "correct horse";
        for (function, arguments) in [
            (VERIFY_PASSWORD, json!(["p", told])),
            (SET.name, json!(["k", told])),
            (COMPARE_AND_SET.name, json!(["k", null, told])),
            (SEND.name, json!(["GET", format!("/x?{told}"), "c", [], ""])),
            (SEND.name, json!(["GET", "/x", "c", [["authorization", told]], ""])),
            (SEND.name, json!(["POST", "/x", "c", [], told])),
            (PUBLISH.name, json!(["t", told, 0, false, null, [], null])),
        ] {
            let text = shown(function, arguments.clone());
            assert!(!text.contains(told), "{text}");
            let other = arguments.to_string().replace("horse", "cow");
            let other = serde_json::from_str(&other).unwrap_or_default();
            assert_ne!(text, shown(function, other), "another is noticed");
        }
        assert_eq!(
            written(COMPARE_AND_SET.name, &json!(["k", null, null])),
            json!(["k", null, null])
        );
        assert_eq!(written("clock.now-ms", &json!([])), json!([]));
    }
}

//! For tests of the gateway, and not to be used for anything else: each client says in its user name what the
//! extension is to do. Where it succeeds the client is accepted, with the result as its principal, and may do everything.
//! Where it does not, the client is rejected, and the reason says which error it was.
//!
//! | user name | does |
//! | --- | --- |
//! | `set KEY VALUE`, `get KEY`, `delete KEY`, `add KEY NUMBER`, `keys PREFIX LIMIT [AFTER]` | `key-value` |
//! | `swap KEY EXPECTED VALUE` | `compare-and-set`; `-` is nothing |
//! | `get-from CONNECTION PATH`, `post-to CONNECTION PATH BODY` | `http` |
//! | `publish TOPIC PAYLOAD [QOS] [retain]`, `disconnect CLIENT CODE`, `forbid CLIENT FILTER` | `broker` |
//! | `nothing` | nothing |
//!
//! Grants: `key-value`, `http`, `broker`, `log`.

mod words;

use portcullis_extension::{
    Actions, Authenticator, Client, Config, Connection, Denial, Effect, Extension, Fallback, Grant,
    HookError, Outcome, PermissionSet, Qos, Rule, Secret, broker, http, key_value, reason,
};
use words::Words;

struct Probe;

impl Extension for Probe {
    fn start(_: &Config) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Authenticator for Probe {
    fn authenticate(
        &self,
        client: &Client,
        _: &Connection,
        _: Secret,
    ) -> Result<Outcome, HookError> {
        let line = client.username.as_deref().unwrap_or("nothing");
        Ok(match obey(&Words::of(line)) {
            Ok(result) => {
                let permissions = PermissionSet { rules: Vec::new(), fallback: Fallback::Allow };
                let principal = if result.is_empty() { "done".to_owned() } else { result };
                Outcome::Accept(Grant { permissions: Some(permissions), ..Grant::new(principal) })
            }
            Err(why) => Outcome::Reject(Denial::new(reason::NOT_AUTHORIZED, why)),
        })
    }
}

portcullis_extension::register!(Probe);

fn obey(words: &Words<'_>) -> Result<String, String> {
    match words.verb() {
        "nothing" => Ok(String::new()),
        "set" | "get" | "delete" | "add" | "keys" | "swap" => keep(words),
        "get-from" | "post-to" => request(words),
        "publish" | "disconnect" | "forbid" => order(words),
        other => Err(format!("{other:?} is nothing that can be done")),
    }
}

fn keep(words: &Words<'_>) -> Result<String, String> {
    let failed = |error: key_value::StoreError| format!("{error:?}");
    let key = words.plain(1)?;
    match words.verb() {
        "set" => {
            key_value::set(key, words.plain(2)?.as_bytes()).map_err(failed)?;
            Ok(String::new())
        }
        "get" => Ok(match key_value::get(key) {
            Some(value) => format!("value {}", String::from_utf8_lossy(&value)),
            None => "no value".to_owned(),
        }),
        "delete" => key_value::delete(key).map(|there| there.to_string()).map_err(failed),
        "add" => {
            let sum = key_value::increment(key, words.number(2)?).map_err(failed)?;
            Ok(sum.to_string())
        }
        "swap" => {
            let (expected, value) = (words.optional(2)?, words.optional(3)?);
            key_value::compare_and_set(key, expected, value)
                .map(|was_so| was_so.to_string())
                .map_err(failed)
        }
        _ => {
            let page = key_value::keys(key, words.plain(3).ok(), words.number(2)?);
            Ok(format!("{} more={}", page.keys.join(" "), page.more))
        }
    }
}

fn request(words: &Words<'_>) -> Result<String, String> {
    let (connection, path) = (words.plain(1)?, words.plain(2)?);
    let request = match words.verb() {
        "get-from" => http::Request::get(path),
        _ => http::Request::post(path, "text/plain", words.plain(3)?),
    };
    let response = http::send(connection, request).map_err(|error| format!("{error:?}"))?;
    let body = String::from_utf8_lossy(&response.body);
    Ok(format!("{} {}", response.status, body.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn order(words: &Words<'_>) -> Result<String, String> {
    let first = words.plain(1)?;
    let given = match words.verb() {
        "publish" => {
            let message = broker::Message::new(first, words.plain(2)?);
            let qos = match words.plain(3) {
                Ok("1") => Qos::AtLeastOnce,
                Ok("2") => Qos::ExactlyOnce,
                _ => Qos::AtMostOnce,
            };
            let retain = words.plain(4) == Ok("retain");
            broker::publish(broker::Message { retain, ..message.qos(qos) })
        }
        "disconnect" => broker::disconnect(first, words.number(2)?, "the probe was told so"),
        _ => {
            let rule = Rule {
                effect: Effect::Deny,
                actions: Actions::PUBLISH | Actions::SUBSCRIBE,
                filter: words.plain(2)?.to_owned(),
                max_qos: Qos::ExactlyOnce,
                retain: true,
                label: None,
            };
            let set = PermissionSet { rules: vec![rule], fallback: Fallback::Allow };
            broker::replace_permissions(first, &set)
        }
    };
    given.map(|()| String::new()).map_err(|error| format!("{error:?}"))
}

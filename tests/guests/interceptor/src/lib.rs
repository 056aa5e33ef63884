//! For tests of the gateway, and not to be used for anything else: what becomes of a message says the first level of its topic.
//!
//! | a publish to | |
//! | --- | --- |
//! | `pass/#` | passes |
//! | `drop/#` | is discarded |
//! | `refuse/#` | is refused with 0x99 |
//! | `upper/#` | gets its payload in capital letters |
//! | `split/#` | becomes messages to `split-out/1` and so on, one for each part of its payload between commas |
//! | `move/REST` | goes to `moved/REST` |
//! | `shape/#` | becomes a retained one of QoS 0 with a content type, a user property and an expiry |
//! | `trap/#`, `slow/#` | ends the call, or takes until it is ended |
//!
//! | a delivery from | |
//! | --- | --- |
//! | `secret/#` | has `***` in the place of its payload for whom the configuration does not clear |
//! | `hide/#` | is discarded |
//! | `break/#` | ends the call |
//!
//! Configuration: `cleared`, principals with commas between them; `publish` and `delivery`, filters in the place of those above, with commas between
//! them; `payload-bytes`, how much of a payload it is shown.
//!
//! Grants: `config`, `log`.

use portcullis_extension::{
    Client, Config, Connection, DeliveryAction, DeliveryChange, DeliveryInterceptor, Extension,
    HookError, Interest, Message, PublishAction, PublishChange, PublishInterceptor, Qos,
};

const PUBLISHED: [&str; 9] =
    ["pass/#", "drop/#", "refuse/#", "upper/#", "split/#", "move/#", "shape/#", "trap/#", "slow/#"];
const DELIVERED: [&str; 3] = ["secret/#", "hide/#", "break/#"];

/// Payload format invalid.
const REFUSED: u8 = 0x99;

struct Interceptor {
    cleared: Vec<String>,
    published: Vec<String>,
    delivered: Vec<String>,
    payload_bytes: u32,
}

impl Extension for Interceptor {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&["cleared", "publish", "delivery", "payload-bytes"])?;
        let words = |key: &str, default: &[&str]| match config.get(key) {
            Some(text) => list(&text),
            None => default.iter().map(|word| (*word).to_owned()).collect(),
        };
        let bytes = config.get("payload-bytes").unwrap_or_else(|| u32::MAX.to_string());
        Ok(Self {
            cleared: words("cleared", &[]),
            published: words("publish", &PUBLISHED),
            delivered: words("delivery", &DELIVERED),
            payload_bytes: bytes
                .parse()
                .map_err(|_| format!("payload-bytes = \"{bytes}\" is no number of bytes"))?,
        })
    }
}

impl PublishInterceptor for Interceptor {
    fn interest(&self) -> Interest {
        Interest::of(&self.published).payload_bytes(self.payload_bytes)
    }

    fn on_publish(
        &self,
        _: &Client,
        _: &Connection,
        message: Message,
    ) -> Result<PublishAction, HookError> {
        let (first, rest) = message.topic.split_once('/').unwrap_or((&message.topic, ""));
        Ok(match first {
            "drop" => PublishAction::Discard,
            "refuse" => PublishAction::refuse(REFUSED, "nothing is wanted here"),
            "upper" => PublishChange::new().payload(message.payload.to_ascii_uppercase()).into(),
            "split" => split(&message.payload).collect(),
            "move" => PublishChange::new().topic(format!("moved/{rest}")).into(),
            "shape" => PublishChange::new()
                .qos(Qos::AtMostOnce)
                .retain(true)
                .content_type("text/plain")
                .user_properties(vec![("shaped".to_owned(), "yes".to_owned())])
                .expiry_seconds(60)
                .into(),
            "trap" => trap(),
            "slow" => endless(),
            _ => PublishAction::Pass,
        })
    }
}

impl DeliveryInterceptor for Interceptor {
    fn interest(&self) -> Interest {
        Interest::of(&self.delivered).payload_bytes(self.payload_bytes)
    }

    fn on_delivery(
        &self,
        client: &Client,
        _: &Connection,
        message: Message,
    ) -> Result<DeliveryAction, HookError> {
        let (first, _) = message.topic.split_once('/').unwrap_or((&message.topic, ""));
        let cleared = client.principal.as_ref().is_some_and(|name| self.cleared.contains(name));
        Ok(match first {
            "secret" if !cleared => DeliveryChange::new().payload("***").into(),
            "hide" => DeliveryAction::Discard,
            "break" => trap(),
            _ => DeliveryAction::Pass,
        })
    }
}

portcullis_extension::register!(Interceptor);

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A message for each part of a payload.
fn split(payload: &[u8]) -> impl Iterator<Item = PublishChange> {
    let parts = (1..).zip(payload.split(|byte| *byte == b','));
    parts.map(|(number, part)| {
        PublishChange::new().topic(format!("split-out/{number}")).payload(part)
    })
}

#[expect(clippy::panic, reason = "what the test wants")]
fn trap() -> ! {
    panic!("a message wanted it so");
}

fn endless() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_words_between_commas() {
        assert_eq!(list("a, b,,c "), ["a", "b", "c"]);
        assert!(list("").is_empty());
    }

    #[test]
    fn a_payload_is_split_at_its_commas() {
        let topics: Vec<_> = split(b"x,,y").map(|change| (change.topic, change.payload)).collect();
        let part = |number: u8, text: &str| {
            (Some(format!("split-out/{number}")), Some(text.as_bytes().to_vec()))
        };
        assert_eq!(topics, [part(1, "x"), part(2, ""), part(3, "y")]);
    }
}

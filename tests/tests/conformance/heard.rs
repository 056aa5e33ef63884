//! What a client gets, in words, and whether it is what the script expects:
//!
//! ```text
//! connack 0 present expiry=60 window=10 max-qos=1 max-packet=N alias-max=N id=ID keepalive=N method=m data=d
//!         retain=0 wildcard=0 sub-ids=0 shared=0 response-info=T server-ref=T reason=T user=key:value
//! publish t/x hello qos=1 id=7 dup retain alias=1 sub-id=5 expiry=5 format type=T response=topic ...
//! puback 7 0x10   pubrec 7   pubrel 7   pubcomp 7   suback 1 0 1 0x80   unsuback 2 0 0x11
//! pong   disconnect 0x82 reason=T   auth 0x18 method=m data=d   closed
//! closed code=1003   refused 400        of a WebSocket: with a goodbye; with an answer of HTTP
//! ```
//!
//! Words without `=` come first and must all be there, in order; a code of 0 at the end may be left out. Of
//! PUBLISH each property and flag must be named. Of other packets those that are named must be there, `key=*`
//! has any value, and `!key` must not be there. `0x81|0x82` is one of several.

use std::collections::BTreeMap;

use mqtt::{Ack, MessageProperties, Packet, Publish, ReasonCode, TopicName, UserProperties};

use crate::words::{Scope, shortened};

/// One packet, or the end of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    plain: Vec<String>,
    options: Vec<(&'static str, String)>,
}

/// Names that stand for what was heard first in their place.
pub(crate) type Bindings = BTreeMap<String, String>;

impl Heard {
    pub(crate) fn closed(code: Option<u16>) -> Self {
        Self::new(&["closed"]).option("code", code)
    }

    pub(crate) fn refused(status: &str) -> Self {
        Self::new(&["refused", status])
    }

    fn new(words: &[&str]) -> Self {
        Self { plain: words.iter().map(|word| (*word).to_owned()).collect(), options: Vec::new() }
    }

    fn option(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.options.extend(value.map(|value| (key, value.to_string())));
        self
    }

    fn flag(self, key: &'static str, set: bool) -> Self {
        self.option(key, set.then_some(""))
    }

    fn user(self, user: UserProperties<'_>) -> Self {
        user.iter().fold(self, |heard, (name, value)| {
            heard.option("user", Some(format!("{name}:{}", shortened(value))))
        })
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.plain.first().is_some_and(|first| first == word)
    }

    /// Whether a client is let in by this.
    pub(crate) fn lets_in(&self) -> bool {
        self.is("connack") && self.plain.get(1).is_some_and(|code| code == "0")
    }

    /// Whether this is what `line` says; binds its names.
    pub(crate) fn fits(&self, line: &str, bindings: &mut Bindings) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_plain = |word: &&str| !word.contains('=') && !word.starts_with('!');
        let mut plain: Vec<&str> = words.iter().copied().take_while(is_plain).collect();
        let flags_from = plain.len().min(self.plain.len());
        let flags = plain.split_off(flags_from);
        let has_one_code = !self.is("suback") && !self.is("unsuback") && !self.is("publish");
        if has_one_code && plain.len() + 1 == self.plain.len() {
            plain.push("0");
        }
        let same = plain.len() == self.plain.len()
            && plain.iter().zip(&self.plain).all(|(expected, got)| is(expected, got, bindings));
        let rest = words.iter().copied().skip(flags_from + flags.len());
        let expected: Vec<&str> = flags.into_iter().chain(rest).collect();
        same && self.options_fit(&expected, bindings)
    }

    fn options_fit(&self, expected: &[&str], bindings: &mut Bindings) -> bool {
        let mut unnamed = self.options.clone();
        for word in expected {
            if let Some(absent) = word.strip_prefix('!') {
                if self.options.iter().any(|(key, _)| *key == absent) {
                    return false;
                }
                continue;
            }
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let Some(at) = unnamed.iter().position(|(name, _)| *name == key) else { return false };
            let (_, got) = unnamed.remove(at);
            if !is(value, &got, bindings) {
                return false;
            }
        }
        unnamed.is_empty() || !self.is("publish")
    }
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.plain.join(" "))?;
        for (key, value) in &self.options {
            match value.is_empty() {
                true => write!(f, " {key}")?,
                false => write!(f, " {key}={value}")?,
            }
        }
        Ok(())
    }
}

fn is(expected: &str, got: &str, bindings: &mut Bindings) -> bool {
    if let Some(name) = expected.strip_prefix('%') {
        return bindings.entry(name.to_owned()).or_insert_with(|| got.to_owned()) == got;
    }
    expected == "*" || expected == got || expected.split('|').any(|one| one == got)
}

/// A packet of the server, in words.
pub(crate) fn heard(packet: &Packet<'_>, scope: &Scope) -> Heard {
    let coded = |name: &str, ack: &Ack<'_>| {
        Heard::new(&[name, &ack.packet_id.get().to_string(), &hex(ack.code)])
            .option("reason", ack.reason.map(shortened))
            .user(ack.user)
    };
    let several = |name: &str, id: u16, codes: &[ReasonCode]| {
        let mut heard = Heard::new(&[name, &id.to_string()]);
        heard.plain.extend(codes.iter().map(|code| hex(*code)));
        heard
    };
    match packet {
        Packet::ConnAck(connack) => {
            let p = &connack.properties;
            let no = |available: Option<bool>| available.map(u8::from);
            Heard::new(&["connack", &hex(connack.code)])
                .flag("present", connack.session_present)
                .option("expiry", p.session_expiry)
                .option("window", p.receive_maximum)
                .option("max-qos", p.maximum_qos.map(|qos| qos.as_u8()))
                .option("retain", no(p.retain_available))
                .option("max-packet", p.maximum_packet_size)
                .option("id", p.assigned_client_id)
                .option("alias-max", p.topic_alias_maximum)
                .option("reason", p.reason.map(shortened))
                .option("wildcard", no(p.wildcard_available))
                .option("sub-ids", no(p.subscription_ids_available))
                .option("shared", no(p.shared_available))
                .option("keepalive", p.server_keep_alive)
                .option("response-info", p.response_information.map(shortened))
                .option("server-ref", p.server_reference.map(shortened))
                .option("method", p.authentication_method)
                .option("data", p.authentication_data.map(bytes))
                .user(p.user)
        }
        Packet::Publish(publish) => publication(publish, scope),
        Packet::PubAck(ack) => coded("puback", ack),
        Packet::PubRec(ack) => coded("pubrec", ack),
        Packet::PubRel(ack) => coded("pubrel", ack),
        Packet::PubComp(ack) => coded("pubcomp", ack),
        Packet::SubAck(ack) => several("suback", ack.packet_id.get(), &ack.codes)
            .option("reason", ack.reason.map(shortened))
            .user(ack.user),
        Packet::UnsubAck(ack) => several("unsuback", ack.packet_id.get(), &ack.codes)
            .option("reason", ack.reason.map(shortened))
            .user(ack.user),
        Packet::PingResp => Heard::new(&["pong"]),
        Packet::Disconnect(disconnect) => Heard::new(&["disconnect", &hex(disconnect.code)])
            .option("expiry", disconnect.session_expiry)
            .option("reason", disconnect.reason.map(shortened))
            .option("server-ref", disconnect.server_reference.map(shortened))
            .user(disconnect.user),
        Packet::Auth(auth) => Heard::new(&["auth", &hex(auth.code)])
            .option("method", auth.method)
            .option("data", auth.data.map(bytes))
            .option("reason", auth.reason.map(shortened))
            .user(auth.user),
        other => Heard::new(&[&format!("{:?}", other.kind())]),
    }
}

fn publication(publish: &Publish<'_>, scope: &Scope) -> Heard {
    let topic = publish.topic.map_or("-", |topic| scope.seen(topic.as_str()));
    let p: MessageProperties<'_> = publish.properties;
    let mut heard = Heard::new(&["publish", &shortened(topic), &bytes(publish.payload)])
        .flag("dup", publish.dup)
        .flag("retain", publish.retain)
        .option("qos", Some(publish.qos.as_u8()).filter(|qos| *qos > 0))
        .option("id", publish.packet_id.map(|id| id.get()))
        .option("alias", publish.topic_alias)
        .option("expiry", publish.message_expiry);
    for id in publish.subscription_ids.iter() {
        heard = heard.option("sub-id", Some(id));
    }
    heard
        .flag("format", p.payload_format_utf8())
        .option("type", p.content_type().map(shortened))
        .option("response", p.response_topic().map(TopicName::as_str).map(|name| scope.seen(name)))
        .option("correlation", p.correlation_data().map(bytes))
        .user(p.user())
}

fn bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => shortened(text),
        Err(_) => bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}

fn hex(code: ReasonCode) -> String {
    match code.as_u8() {
        small @ 0..16 => small.to_string(),
        byte => format!("{byte:#04x}"),
    }
}

#[test]
fn what_is_heard_fits_what_is_expected_or_not() {
    let mut bindings = Bindings::new();
    let publish = Heard::new(&["publish", "t", "x"]).flag("dup", true).option("id", Some(7));
    assert!(publish.fits("publish t x dup id=%p", &mut bindings));
    assert_eq!(bindings["p"], "7");
    assert!(!publish.fits("publish t x dup", &mut bindings), "all of a PUBLISH is named");
    assert!(!publish.fits("publish t x id=7 retain", &mut bindings));
    let disconnect = Heard::new(&["disconnect", "0x82"]).option("reason", Some("because"));
    assert!(disconnect.fits("disconnect 0x81|0x82", &mut bindings));
    assert!(!disconnect.fits("disconnect 0x82 !reason", &mut bindings));
    assert!(!disconnect.fits("disconnect", &mut bindings));
    let connack = Heard::new(&["connack", "0"]).flag("present", true).option("id", Some("a"));
    assert!(connack.lets_in() && connack.fits("connack 0 present id=*", &mut bindings));
    assert!(!connack.fits("connack 0 !present", &mut bindings));
    assert!(Heard::new(&["puback", "7", "0"]).fits("puback 7", &mut bindings));
    assert!(!Heard::new(&["suback", "1", "0", "1"]).fits("suback 1 0", &mut bindings));
    assert!(Heard::closed(None).fits("closed", &mut bindings));
}

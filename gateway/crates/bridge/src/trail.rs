use mqtt::{EncodeError, MessageProperties, MessagePropertiesBuf};

/// The user property of a message that names the gateways it has come by.
pub const TRAIL_PROPERTY: &str = "portcullis-path";

/// The user property with which gateways name themselves to each other, in CONNECT and CONNACK.
pub const GATEWAY_PROPERTY: &str = "portcullis-gateway";

const SEPARATOR: char = ',';

/// The gateways that a message has come by, oldest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trail<'a>(Option<&'a str>);

impl<'a> Trail<'a> {
    pub(crate) fn of(properties: MessageProperties<'a>) -> Self {
        let mut found = properties.user().iter().filter(|(name, _)| *name == TRAIL_PROPERTY);
        // What follows a second property of this name is somebody else's.
        Self(found.next().map(|(_, value)| value).filter(|value| !value.is_empty()))
    }

    /// Whether it names this gateway and no other.
    pub(crate) fn is_only(self, gateway: &str) -> bool {
        self.0 == Some(gateway)
    }

    pub(crate) fn has(self, gateway: &str) -> bool {
        self.gateways().any(|id| id == gateway)
    }

    pub(crate) fn len(self) -> usize {
        self.gateways().count()
    }

    /// As the value of the property.
    pub(crate) fn text(self) -> Option<&'a str> {
        self.0
    }

    fn gateways(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flat_map(|text| text.split(SEPARATOR))
    }

    /// The trail with one more, as a value of the property.
    fn with(self, gateway: &str) -> String {
        match self.0 {
            Some(text) => format!("{text}{SEPARATOR}{gateway}"),
            None => gateway.to_owned(),
        }
    }
}

/// The properties of a message with `gateway` at the end of its trail.
pub(crate) fn passed_by(
    properties: MessageProperties<'_>,
    gateway: &str,
) -> Result<MessagePropertiesBuf, EncodeError> {
    passed_on(properties, Trail::of(properties), gateway)
}

/// The properties of a message with this trail, and `gateway` at the end of it.
pub(crate) fn passed_on(
    properties: MessageProperties<'_>,
    trail: Trail<'_>,
    gateway: &str,
) -> Result<MessagePropertiesBuf, EncodeError> {
    let trail = trail.with(gateway);
    let own = |name: &str| name == TRAIL_PROPERTY;
    copied(properties, own)?.user(TRAIL_PROPERTY, &trail)
}

/// The properties of a message that has no trail, with that of another.
pub(crate) fn borrowed(
    properties: MessageProperties<'_>,
    from: &str,
) -> Result<MessagePropertiesBuf, EncodeError> {
    copied(properties, |_| false)?.user(TRAIL_PROPERTY, from)
}

/// The properties of a message, without the user properties that `left_out` names.
pub(crate) fn copied(
    properties: MessageProperties<'_>,
    left_out: impl Fn(&str) -> bool,
) -> Result<MessagePropertiesBuf, EncodeError> {
    let mut copy = MessagePropertiesBuf::default();
    if properties.payload_format_utf8() {
        copy = copy.payload_format_utf8(true);
    }
    if let Some(text) = properties.content_type() {
        copy = copy.content_type(text)?;
    }
    if let Some(topic) = properties.response_topic() {
        copy = copy.response_topic(topic);
    }
    if let Some(data) = properties.correlation_data() {
        copy = copy.correlation_data(data)?;
    }
    for (name, value) in properties.user().iter().filter(|(name, _)| !left_out(name)) {
        copy = copy.user(name, value)?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_grows_and_all_else_stays() {
        let plain = MessagePropertiesBuf::default()
            .payload_format_utf8(true)
            .user("a", "1")
            .and_then(|it| it.content_type("text/plain")?.correlation_data(b"c")?.user("a", "2"))
            .unwrap();
        assert!(!Trail::of(plain.as_ref()).has("one"));
        let once = passed_by(plain.as_ref(), "one").unwrap();
        let twice = passed_by(once.as_ref(), "two").unwrap();
        let trail = Trail::of(twice.as_ref());
        assert!(trail.has("one") && trail.has("two") && !trail.has("on"));
        assert_eq!((trail.len(), trail.0), (2, Some("one,two")));
        let back = copied(twice.as_ref(), |name| name == TRAIL_PROPERTY).unwrap();
        assert_eq!(back.as_ref(), plain.as_ref());
    }
}

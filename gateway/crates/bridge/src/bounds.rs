use mqtt::{MessageProperties, QoS, TopicName};

/// What an upstream takes, where MQTT has no word for it, or the service does not say it in CONNACK. What is beyond is never sent: it
/// becomes a dead letter, or is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The highest QoS in either direction.
    pub qos: QoS,
    /// Whether it bears a message with RETAIN.
    pub retains: bool,
    /// Bytes of a payload.
    pub payload: usize,
    /// Bytes of a topic.
    pub topic_bytes: usize,
    /// Levels of a topic.
    pub topic_levels: usize,
    /// Characters that no topic may have.
    pub refused_characters: &'static str,
    /// Bytes of all user properties of a message, names and values.
    pub user_property_bytes: usize,
    /// Bytes of a content type, and of correlation data.
    pub label_bytes: usize,
    /// Filters in one SUBSCRIBE.
    pub filters_per_subscribe: usize,
    /// Whether it knows No Local, Retain As Published and Retain Handling in MQTT 5.
    pub subscribe_options: bool,
    /// Whether it bears a reason code of 0x80 or above in PUBACK and PUBREC.
    pub hears_refusals: bool,
}

impl Bounds {
    /// Those of MQTT, and eight filters in a SUBSCRIBE, which every known service takes.
    pub const OF_MQTT: Self = Self {
        qos: QoS::ExactlyOnce,
        retains: true,
        payload: usize::MAX,
        topic_bytes: usize::MAX,
        topic_levels: usize::MAX,
        refused_characters: "",
        user_property_bytes: usize::MAX,
        label_bytes: usize::MAX,
        filters_per_subscribe: 8,
        subscribe_options: true,
        hears_refusals: true,
    };

    /// Why upstream would not take a message; `None` if it would.
    #[must_use]
    pub fn objection(
        &self,
        topic: TopicName<'_>,
        payload: &[u8],
        properties: MessageProperties<'_>,
    ) -> Option<String> {
        let beyond = |what: &str, has: usize, most: usize| {
            (has > most).then(|| format!("{what} {has}, and upstream takes {most}"))
        };
        let text = topic.as_str();
        let refused = text.chars().find(|one| self.refused_characters.contains(*one));
        let user = || -> usize {
            properties.user().iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        let label = [
            properties.content_type().map_or(0, str::len),
            properties.correlation_data().map_or(0, <[u8]>::len),
        ];
        beyond("bytes of payload:", payload.len(), self.payload)
            .or_else(|| beyond("bytes of topic there:", text.len(), self.topic_bytes))
            .or_else(|| beyond("levels of topic there:", topic.level_count(), self.topic_levels))
            .or_else(|| refused.map(|one| format!("its topic has {one:?}, which upstream refuses")))
            .or_else(|| beyond("bytes of user properties:", user(), self.user_property_bytes))
            .or_else(|| {
                let [kind, data] = label;
                beyond(
                    "bytes of content type or correlation data:",
                    kind.max(data),
                    self.label_bytes,
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::MessagePropertiesBuf;

    #[test]
    fn each_bound_has_its_own_words() {
        let bounds = Bounds {
            payload: 4,
            topic_bytes: 12,
            topic_levels: 3,
            refused_characters: " ",
            user_property_bytes: 5,
            label_bytes: 3,
            ..Bounds::OF_MQTT
        };
        let plain = MessagePropertiesBuf::default();
        let object = |topic: &str, payload: &[u8], properties: &MessagePropertiesBuf| {
            bounds.objection(TopicName::new(topic).unwrap(), payload, properties.as_ref())
        };
        assert_eq!(object("a/b/c", b"1234", &plain), None);
        let user = plain.clone().user("ab", "cde").unwrap().content_type("abc").unwrap();
        assert_eq!(object("a/b/c", b"", &user), None);
        for (topic, payload, properties, word) in [
            ("a", &b"12345"[..], &plain, "payload"),
            ("a/bcdefghijklm", b"", &plain, "bytes of topic"),
            ("a/b/c/d", b"", &plain, "levels"),
            ("a b", b"", &plain, "' '"),
            ("a", b"", &plain.clone().user("ab", "cdef").unwrap(), "user properties"),
            ("a", b"", &plain.clone().correlation_data(b"1234").unwrap(), "correlation"),
        ] {
            let said = object(topic, payload, properties).unwrap_or_default();
            assert!(said.contains(word), "{topic}: {said:?}");
        }
        let any = Bounds::OF_MQTT;
        assert_eq!(any.objection(TopicName::new("a b").unwrap(), &[0; 9], plain.as_ref()), None);
    }
}

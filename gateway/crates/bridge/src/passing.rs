use mqtt::{MessageProperties, Publish, QoS, TopicName, TopicNameBuf};

/// A message on its way upstream, as somebody is shown it who may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// The topic here.
    pub topic: TopicNameBuf,
    /// The QoS of the exchange. What takes its place has no higher one.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// The application's bytes.
    pub payload: Box<[u8]>,
    /// The properties that a server forwards, as wire bytes. What does not parse counts as none.
    pub properties: Box<[u8]>,
    /// Seconds that are left of its expiry interval.
    pub expiry_seconds: Option<u32>,
}

/// What is to become of a [`Passing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It goes upstream as it is.
    Pass,
    /// It is done with: nobody gets it.
    Discard,
    /// It is a dead letter, with this for the reason.
    Refuse(String),
    /// These go upstream in its place, in their order. None is as good as `Discard`. Of more than one each has QoS 1 at most.
    Replace(Vec<Passing>),
}

impl Passing {
    /// A copy of a message; `None` of one that has no topic.
    pub(crate) fn of(publish: &Publish<'_>) -> Option<Self> {
        let mut properties = Vec::new();
        publish.properties.write_to(&mut properties);
        Some(Self {
            topic: publish.topic.map(TopicName::to_owned)?,
            qos: publish.qos,
            retain: publish.retain,
            payload: publish.payload.into(),
            properties: properties.into(),
            expiry_seconds: publish.message_expiry,
        })
    }

    /// The message as it is sent in the place of `original`, under its identifier, at this QoS at most.
    pub(crate) fn instead_of<'p>(&'p self, original: &Publish<'p>, most: QoS) -> Publish<'p> {
        let qos = self.qos.min(original.qos).min(most);
        Publish {
            dup: original.dup && qos > QoS::AtMostOnce,
            qos,
            retain: self.retain,
            topic: Some(self.topic.as_topic()),
            packet_id: original.packet_id.filter(|_| qos > QoS::AtMostOnce),
            message_expiry: self.expiry_seconds,
            properties: MessageProperties::parse(&self.properties).unwrap_or_default(),
            payload: &self.payload,
            ..Publish::new(self.topic.as_topic(), &self.payload)
        }
    }
}

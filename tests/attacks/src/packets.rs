//! Packets of MQTT 5, byte by byte: attackers do not heed what a packet has to be.

/// A CONNECT of MQTT 5.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connect<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// Seconds that the session outlives the connection.
    pub(crate) session_expiry: u32,
    /// Topic and payload of a retained will of QoS 1.
    pub(crate) will: Option<(&'a str, &'a [u8])>,
}

impl Connect<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = 0b1100_0000;
        if self.session_expiry == 0 {
            flags |= 0b10;
        }
        if self.will.is_some() {
            flags |= 0b10_1100;
        }
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, flags, 0, 60];
        body.extend([5, 0x11]);
        body.extend(self.session_expiry.to_be_bytes());
        text(&mut body, self.client_id.as_bytes());
        if let Some((topic, payload)) = self.will {
            body.push(0);
            text(&mut body, topic.as_bytes());
            text(&mut body, payload);
        }
        text(&mut body, self.user.as_bytes());
        text(&mut body, self.password.as_bytes());
        packet(0x10, &body)
    }
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// 0 to 2.
    pub(crate) qos: u8,
    /// Packet identifier, above QoS 0.
    pub(crate) id: u16,
    pub(crate) retain: bool,
    /// The properties as they are encoded, without their length.
    pub(crate) properties: &'a [u8],
}

impl<'a> Message<'a> {
    /// Of QoS 0.
    pub(crate) fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, payload, qos: 0, id: 0, retain: false, properties: &[] }
    }

    pub(crate) fn at(self, qos: u8, id: u16) -> Self {
        Self { qos, id, ..self }
    }

    pub(crate) fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(self.topic.len() + self.payload.len() + 16);
        text(&mut body, self.topic.as_bytes());
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        length(&mut body, self.properties.len());
        body.extend(self.properties);
        body.extend(self.payload);
        into.extend(packet(0x30 | self.qos << 1 | u8::from(self.retain), &body));
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

/// SUBSCRIBE to all of these at this QoS.
pub(crate) fn subscribe<'a>(
    id: u16,
    filters: impl IntoIterator<Item = &'a String>,
    qos: u8,
) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    for filter in filters {
        text(&mut body, filter.as_bytes());
        body.push(qos);
    }
    packet(0x82, &body)
}

/// UNSUBSCRIBE from all of these.
pub(crate) fn unsubscribe<'a>(id: u16, filters: impl IntoIterator<Item = &'a String>) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    for filter in filters {
        text(&mut body, filter.as_bytes());
    }
    packet(0xA2, &body)
}

/// DISCONNECT.
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A packet of this first byte.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    length(&mut bytes, body.len());
    bytes.extend(body);
    bytes
}

fn text(body: &mut Vec<u8>, bytes: &[u8]) {
    let cut = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
    body.extend(u16::try_from(cut.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(cut);
}

/// A variable byte integer (1.5.5).
fn length(into: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value % 128).unwrap_or_default();
        value /= 128;
        into.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{Decoded, Decoder, Packet, Version};

    use super::*;

    fn decoded(bytes: &[u8], check: impl FnOnce(Packet<'_>)) {
        let mut decoder = Decoder::new(1 << 20);
        // CONNECT, which says so itself, is the first packet and no other (3.1).
        if bytes.first() != Some(&0x10) {
            decoder.set_version(Version::V5);
        }
        match decoder.decode(bytes) {
            Ok(Decoded::Packet { packet, len }) if len == bytes.len() => check(packet),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_meant_to_be_sound_is() {
        let connect = Connect {
            client_id: "c",
            user: "u",
            password: "p",
            session_expiry: 60,
            will: Some(("w", b"gone")),
        };
        decoded(&connect.bytes(), |packet| {
            let Packet::Connect(connect) = packet else { panic!("{packet:?}") };
            assert_eq!((connect.client_id, connect.username), ("c", Some("u")));
            assert!(connect.will.is_some_and(|will| will.retain && will.payload == b"gone"));
        });
        let message = Message::new("a/b", &[7; 300]).at(1, 9).retained();
        decoded(&message.bytes(), |packet| {
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            assert_eq!((publish.retain, publish.payload.len()), (true, 300));
        });
        let filters = ["a/+".to_owned(), "b/#".to_owned()];
        decoded(&subscribe(1, &filters, 1), |packet| {
            assert!(matches!(packet, Packet::Subscribe(_)), "{packet:?}");
        });
        decoded(&unsubscribe(1, &filters), |packet| {
            assert!(matches!(packet, Packet::Unsubscribe(_)), "{packet:?}");
        });
    }
}

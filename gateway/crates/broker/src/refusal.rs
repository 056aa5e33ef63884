use mqtt::{ConnAck, ConnAckProperties, DecodeError, Packet, ReasonCode, Version};

/// The last protocol level that understands the CONNACK of MQTT 3.1.1.
const OLD_LEVEL_MAX: u8 = 4;

/// How a CONNECT of MQTT 5 goes on behind its fixed header.
const BEGINS_MQTT_5: &[u8] = b"\0\x04MQTT\x05";

/// What is to be said to a peer whose first packet is broken, before its connection is closed: the version that
/// it understands, and the code for [`refusal`]. `None` where MQTT has no words for it: bytes that are no
/// CONNECT of a known version (MQTT-3.1.2-1), and any fault in MQTT 3.1.1 (3.1.1, MQTT-3.1.4-1).
#[must_use]
pub fn answer_to_broken_connect(
    bytes: &[u8],
    error: &DecodeError,
) -> Option<(Version, ReasonCode)> {
    let version = match error {
        DecodeError::ProtocolLevel { level } if *level <= OLD_LEVEL_MAX => Version::V3_1_1,
        DecodeError::ProtocolLevel { .. } => Version::V5,
        _ if claims_mqtt_5(bytes) => Version::V5,
        _ => return None,
    };
    Some((version, error.reason_code()))
}

fn claims_mqtt_5(bytes: &[u8]) -> bool {
    let behind_type = bytes.get(1..).unwrap_or_default();
    let length = behind_type.iter().take(4).position(|byte| byte & 0x80 == 0);
    let body = length.and_then(|last| behind_type.get(last + 1..));
    body.is_some_and(|body| body.starts_with(BEGINS_MQTT_5))
}

/// The CONNACK that refuses with `code`, or with the least that CONNACK can say where it cannot carry that.
/// Session Present is 0 (MQTT-3.2.2-6).
#[must_use]
pub fn refusal(version: Version, code: ReasonCode) -> Vec<u8> {
    let mut bytes = Vec::new();
    for code in [code, ReasonCode::UnspecifiedError] {
        let properties = ConnAckProperties::default();
        let connack = ConnAck { session_present: false, code, properties };
        if Packet::ConnAck(Box::new(connack)).encode(version, &mut bytes).is_ok() {
            break;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use mqtt::Decoder;

    use super::*;

    fn answer(bytes: &[u8]) -> Option<(Version, ReasonCode)> {
        let error = Decoder::new(1000).decode(bytes).expect_err("a broken CONNECT");
        answer_to_broken_connect(bytes, &error)
    }

    #[test]
    fn mqtt_5_is_told_what_is_wrong_and_others_are_not() {
        let reserved_flag = [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 3, 0, 10, 0, 0, 1, b'a'];
        assert_eq!(answer(&reserved_flag), Some((Version::V5, ReasonCode::MalformedPacket)));
        let mut old = reserved_flag;
        old[8] = 4;
        assert_eq!(answer(&old), None, "3.1.1 has no code for it");
        let mut unknown = reserved_flag;
        unknown[8] = 6;
        let unsupported = ReasonCode::UnsupportedProtocolVersion;
        assert_eq!(answer(&unknown), Some((Version::V5, unsupported)));
        let mut other = reserved_flag;
        other[4] = b'H';
        assert_eq!(answer(&other), None, "another protocol");
        assert_eq!(answer(&[0x30, 0]), None, "no CONNECT");
    }

    #[test]
    fn a_code_that_connack_lacks_becomes_one_that_it_has() {
        assert_eq!(refusal(Version::V5, ReasonCode::NotAuthorized), [0x20, 3, 0, 0x87, 0]);
        assert_eq!(refusal(Version::V5, ReasonCode::SessionTakenOver), [0x20, 3, 0, 0x80, 0]);
        assert_eq!(refusal(Version::V3_1_1, ReasonCode::NotAuthorized), [0x20, 2, 0, 5]);
    }
}

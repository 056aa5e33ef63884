use mqtt::{
    ConnAck, ConnAckProperties, DecodeError, Decoded, Decoder, Packet, ReasonCode, Version, limits,
};

/// The last protocol level that understands the CONNACK of MQTT 3.1.1.
const OLD_LEVEL_MAX: u8 = 4;

/// The protocol level of MQTT 5.
const LEVEL_5: u8 = Version::V5.level();

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
        DecodeError::ProtocolLevel { level } => form_of(bytes, *level),
        _ if claims_mqtt_5(bytes) => Version::V5,
        _ => return None,
    };
    Some((version, error.reason_code()))
}

fn claims_mqtt_5(bytes: &[u8]) -> bool {
    let body = behind_length(bytes).and_then(|at| bytes.get(at..));
    body.is_some_and(|body| body.starts_with(BEGINS_MQTT_5))
}

/// The version whose CONNACK a peer of an unknown level expects. 3.1.1 demands return code 1 for any level but its
/// own, 5.0 suggests 0x84, and their CONNACKs differ in length; so what counts is the form of the CONNECT: whether
/// it would be one of MQTT 5 if its level said so.
fn form_of(bytes: &[u8], level: u8) -> Version {
    let mut as_5 = bytes.to_vec();
    let at = behind_length(bytes).map(|at| at + BEGINS_MQTT_5.len() - 1);
    match at.and_then(|at| as_5.get_mut(at)) {
        Some(byte) if level > OLD_LEVEL_MAX => *byte = LEVEL_5,
        _ => return Version::V3_1_1,
    }
    match Decoder::new(u32::MAX).decode(&as_5) {
        Ok(Decoded::Packet { .. }) => Version::V5,
        Ok(Decoded::Incomplete { .. }) | Err(_) => Version::V3_1_1,
    }
}

/// Where the body of the packet begins.
fn behind_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().skip(1).take(limits::VARINT_BYTES_MAX);
    Some(2 + length.into_iter().position(|byte| byte & 0x80 == 0)?)
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
        let mut other = reserved_flag;
        other[4] = b'H';
        assert_eq!(answer(&other), None, "another protocol");
        assert_eq!(answer(&[0x30, 0]), None, "no CONNECT");
    }

    #[test]
    fn mqtt_3_1_2_2_an_unknown_level_is_answered_in_the_form_that_its_connect_has() {
        let unsupported = ReasonCode::UnsupportedProtocolVersion;
        for level in (0..=u8::MAX).filter(|level| ![4, 5].contains(level)) {
            let old = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 10, 0, 1, b'a'];
            assert_eq!(answer(&old), Some((Version::V3_1_1, unsupported)), "{level}");
            let new = [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 10, 0, 0, 1, b'a'];
            let version = if level < 4 { Version::V3_1_1 } else { Version::V5 };
            assert_eq!(answer(&new), Some((version, unsupported)), "{level}");
        }
        let mut older = *b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x0A\0\x01a";
        assert_eq!(answer(&older), Some((Version::V3_1_1, unsupported)));
        older[10] = 9;
        assert_eq!(answer(&older), Some((Version::V3_1_1, unsupported)));
    }

    #[test]
    fn a_code_that_connack_lacks_becomes_one_that_it_has() {
        assert_eq!(refusal(Version::V5, ReasonCode::NotAuthorized), [0x20, 3, 0, 0x87, 0]);
        assert_eq!(refusal(Version::V5, ReasonCode::SessionTakenOver), [0x20, 3, 0, 0x80, 0]);
        assert_eq!(refusal(Version::V3_1_1, ReasonCode::NotAuthorized), [0x20, 2, 0, 5]);
    }
}

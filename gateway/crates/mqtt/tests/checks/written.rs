use portcullis_mqtt::{
    Ack, ConnAckProperties, ConnectProperties, Disconnect, MessageProperties, Packet, Publish,
    ReasonCode, SubAck, Subscribe, SubscribeFiltersBuf, SubscribeOptions, SubscriptionIds,
    UnsubAck, Unsubscribe, UserProperties, Version, Will,
};

/// `packet` without what `version` has no place for. `filters` lends the space for those of SUBSCRIBE.
pub(crate) fn as_written<'a>(
    packet: &Packet<'a>,
    version: Version,
    filters: &'a mut SubscribeFiltersBuf,
) -> Packet<'a> {
    let mut packet = packet.clone();
    let user = UserProperties::default();
    if version.is_v5() {
        return packet;
    }
    match &mut packet {
        Packet::Connect(connect) => {
            connect.properties = ConnectProperties::default();
            connect.will = connect.will.take().map(|will| Will {
                delay: 0,
                message_expiry: None,
                properties: MessageProperties::default(),
                ..will
            });
        }
        Packet::ConnAck(connack) => {
            connack.properties = ConnAckProperties::default();
            let code = ReasonCode::from_connack_v3(connack.code.connack_v3());
            connack.code = code.expect("3.1.1 has the code");
        }
        Packet::Publish(publish) => {
            *publish = Publish {
                topic_alias: None,
                message_expiry: None,
                subscription_ids: SubscriptionIds::default(),
                properties: MessageProperties::default(),
                ..*publish
            }
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            *ack = Ack::new(ack.packet_id, ReasonCode::Success);
        }
        Packet::Subscribe(subscribe) => {
            for (filter, SubscribeOptions { qos, .. }) in subscribe.filters.iter() {
                let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
                filters.push(filter, options).expect("no option disagrees");
            }
            let (subscription_id, filters) = (None, filters.as_ref());
            *subscribe =
                Subscribe { packet_id: subscribe.packet_id, subscription_id, user, filters };
        }
        Packet::SubAck(suback) => {
            let one_error = |code: &ReasonCode| match code.is_error() {
                true => ReasonCode::UnspecifiedError,
                false => *code,
            };
            let codes = suback.codes.iter().map(one_error).collect::<Vec<_>>();
            *suback = SubAck::new(suback.packet_id, codes);
        }
        Packet::Unsubscribe(unsubscribe) => *unsubscribe = Unsubscribe { user, ..*unsubscribe },
        Packet::UnsubAck(unsuback) => *unsuback = UnsubAck::new(unsuback.packet_id, Vec::new()),
        Packet::Disconnect(disconnect) => *disconnect = Disconnect::default(),
        Packet::PingReq | Packet::PingResp | Packet::Auth(_) => {}
    }
    packet
}

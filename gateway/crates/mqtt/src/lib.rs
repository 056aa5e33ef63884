//! Packets, topics and reason codes of MQTT 3.1.1 and MQTT 5.0, and of MQTT 3.1 where that is allowed, in
//! one model.
//!
//! The crate is pure: bytes in, values out, and back. It opens nothing, waits for nothing and has no
//! dependencies. A decoded packet borrows from the bytes that it was decoded from.
//!
//! | to | read |
//! |---|---|
//! | find packets in a stream of bytes | [`Decoder`] in `codec` |
//! | know what a packet holds | [`Packet`]; one file per packet type under `packet` |
//! | send one message to many subscribers | [`PublishFrame`] in `publish_frame` |
//! | handle the properties that a message keeps on its way | [`MessageProperties`] |
//! | name or match a topic | [`TopicName`] in `topic`, [`TopicFilter`] in `filter` |
//! | tell a peer what went wrong | [`DecodeError`], [`ReasonCode`] |
//!
//! Statement numbers such as MQTT-3.1.2-3, and section numbers, are those of MQTT 5.0 unless "3.1.1" is said.

mod codec;
mod error;
mod filter;
mod ident;
pub mod limits;
mod packet;
mod properties;
mod publish_frame;
mod reader;
mod reason;
mod sink;
mod topic;
mod varint;

pub use codec::{Decoded, Decoder};
pub use error::{DecodeError, EncodeError, TopicError};
pub use filter::{TopicFilter, TopicFilterBuf};
pub use ident::{PacketId, QoS, Version};
pub use packet::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, Packet,
    PacketKind, Publish, RetainHandling, SubAck, Subscribe, SubscribeFilters, SubscribeFiltersBuf,
    SubscribeOptions, UnsubAck, Unsubscribe, UnsubscribeFilters, UnsubscribeFiltersBuf, Will,
};
pub use properties::{
    MessageProperties, MessagePropertiesBuf, PropertyId, SubscriptionIds, SubscriptionIdsBuf,
    UserProperties, UserPropertiesBuf,
};
pub use publish_frame::{FrameLayout, OutgoingPublish, PublishFrame};
pub use reason::ReasonCode;
pub use topic::{TopicName, TopicNameBuf, levels};

//! `portcullis:gateway/broker`

use mqtt::{PacketKind, ReasonCode};

use super::Guest;
use crate::bindings::portcullis::gateway::broker::{self, OrderError};
use crate::bindings::portcullis::gateway::types;
use crate::convert;
use crate::facilities::{MAX_MESSAGE_BYTES, Message, Order, OrderFault};

impl broker::Host for Guest {
    fn publish(&mut self, message: broker::Message) -> Result<(), OrderError> {
        let bytes = message.payload.len();
        if bytes > MAX_MESSAGE_BYTES {
            let why =
                format!("a payload of {bytes} bytes; at most {MAX_MESSAGE_BYTES} are published");
            return Err(OrderError::Invalid(why));
        }
        self.order(Order::Publish(Message {
            topic: message.topic,
            payload: message.payload,
            qos: convert::from_qos(message.qos),
            retain: message.retain,
            content_type: message.content_type,
            user_properties: message.user_properties,
            expiry_seconds: message.expiry_seconds,
        }))
    }

    fn disconnect(
        &mut self,
        client_id: String,
        code: types::ReasonCode,
        reason: Option<String>,
    ) -> Result<(), OrderError> {
        let known = ReasonCode::from_u8(code)
            .filter(|code| code.is_error() && PacketKind::Disconnect.allows(*code));
        let Some(code) = known else {
            let why = format!("reason code 0x{code:02x} cannot end a connection in DISCONNECT");
            return Err(OrderError::Invalid(why));
        };
        let reason = reason.as_deref().map(convert::reason);
        self.order(Order::Disconnect { client_id, code, reason })
    }

    fn replace_permissions(
        &mut self,
        client_id: String,
        permissions: types::PermissionSet,
    ) -> Result<(), OrderError> {
        let permissions = convert::permissions(permissions, self.services.log.extension());
        if permissions.fallback == auth::Fallback::Ask {
            let why = "a set that takes the place of another cannot ask: say `deny` or `allow`";
            return Err(OrderError::Invalid(why.into()));
        }
        auth::PermissionSet::compile(&permissions)
            .map_err(|error| OrderError::Invalid(error.to_string()))?;
        self.order(Order::ReplacePermissions { client_id, permissions })
    }
}

impl Guest {
    /// Gives an order; of a guest that only watches it is checked and goes no further.
    fn order(&self, order: Order) -> Result<(), OrderError> {
        let Some(orders) = &self.services.facilities.orders else {
            return Err(OrderError::NotGranted("the extension may give no orders".into()));
        };
        let given = if self.is_rehearsal() { orders.check(&order) } else { orders.give(order) };
        given.map_err(|fault| match fault {
            OrderFault::NotGranted(why) => OrderError::NotGranted(why),
            OrderFault::Invalid(why) => OrderError::Invalid(why),
            OrderFault::Busy(why) => OrderError::Busy(why),
        })
    }
}

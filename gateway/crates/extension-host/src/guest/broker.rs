//! `portcullis:gateway/broker`

use mqtt::{PacketKind, ReasonCode};
use serde_json::{Value, json};

use super::Guest;
use crate::bindings::portcullis::gateway::broker::{self, OrderError};
use crate::bindings::portcullis::gateway::types;
use crate::convert;
use crate::facilities::{MAX_MESSAGE_BYTES, Message, Order, OrderFault, Receipt};
use crate::recording::effective;
use crate::tape::{DISCONNECT, Outside, PUBLISH, REPLACE_PERMISSIONS, bytes};

impl broker::Host for Guest {
    fn publish(&mut self, message: broker::Message) -> Result<(), OrderError> {
        let arguments = self.is_taped().then(|| {
            json!([
                message.topic,
                bytes(&message.payload),
                convert::from_qos(message.qos).as_u8(),
                message.retain,
                message.content_type,
                message.user_properties,
                message.expiry_seconds,
            ])
        });
        self.ordered(&PUBLISH, arguments, |guest| guest.publish_now(message))
    }

    fn disconnect(
        &mut self,
        client_id: String,
        code: types::ReasonCode,
        reason: Option<String>,
    ) -> Result<(), OrderError> {
        // Without the reason: it is for people, and not compared.
        let arguments = self.is_taped().then(|| json!([client_id, code]));
        let order = |guest: &Self| guest.disconnect_now(client_id, code, reason.as_deref());
        self.ordered(&DISCONNECT, arguments, order)
    }

    fn replace_permissions(
        &mut self,
        client_id: String,
        permissions: types::PermissionSet,
    ) -> Result<(), OrderError> {
        let permissions = convert::permissions(permissions, self.services.log.extension());
        let arguments = self.is_taped().then(|| json!([client_id, effective(&permissions)]));
        let order = |guest: &Self| guest.replace_now(client_id, permissions);
        self.ordered(&REPLACE_PERMISSIONS, arguments, order)
    }
}

impl Guest {
    /// Gives an order, or has it from a recording; counts what came of it unless nothing is to come of it.
    fn ordered(
        &mut self,
        function: &'static Outside,
        arguments: Option<Value>,
        order: impl FnOnce(&Self) -> Result<(), OrderError>,
    ) -> Result<(), OrderError> {
        let give = |guest: &mut Self| {
            let given = order(guest);
            let counters = &guest.services.counters;
            match &given {
                _ if guest.is_rehearsal() => {}
                Ok(()) => counters.orders_taken.count(),
                Err(_) => counters.orders_refused.count(),
            }
            given
        };
        self.outside(function, arguments, give, |why| Err(OrderError::Busy(why)))
    }

    fn publish_now(&self, message: broker::Message) -> Result<(), OrderError> {
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

    fn disconnect_now(
        &self,
        client_id: String,
        code: types::ReasonCode,
        reason: Option<&str>,
    ) -> Result<(), OrderError> {
        let known = ReasonCode::from_u8(code)
            .filter(|code| code.is_error() && PacketKind::Disconnect.allows(*code));
        let Some(code) = known else {
            let why = format!("reason code 0x{code:02x} cannot end a connection in DISCONNECT");
            return Err(OrderError::Invalid(why));
        };
        let reason = reason.map(convert::reason);
        self.order(Order::Disconnect { client_id, code, reason })
    }

    fn replace_now(
        &self,
        client_id: String,
        permissions: auth::Permissions,
    ) -> Result<(), OrderError> {
        if permissions.fallback == auth::Fallback::Ask {
            let why = "a set that takes the place of another cannot ask: say `deny` or `allow`";
            return Err(OrderError::Invalid(why.into()));
        }
        auth::PermissionSet::compile(&permissions)
            .map_err(|error| OrderError::Invalid(error.to_string()))?;
        self.order(Order::ReplacePermissions { client_id, permissions })
    }

    /// Gives an order; of a guest that only watches it is checked and goes no further.
    fn order(&self, order: Order) -> Result<(), OrderError> {
        let Some(orders) = &self.services.facilities.orders else {
            return Err(OrderError::NotGranted("the extension may give no orders".into()));
        };
        let given = match self.is_rehearsal() {
            true => orders.check(&order),
            false => orders.give(order, Receipt::new(&self.services.counters)),
        };
        given.map_err(|fault| match fault {
            OrderFault::NotGranted(why) => OrderError::NotGranted(why),
            OrderFault::Invalid(why) => OrderError::Invalid(why),
            OrderFault::Busy(why) => OrderError::Busy(why),
        })
    }
}

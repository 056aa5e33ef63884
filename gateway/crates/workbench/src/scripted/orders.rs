//! The orders that an extension gives: checked as the gateway checks them, and carried out by nobody.

use std::sync::Mutex;

use extension_host::{Message, Order, OrderFault, OrderGrant, Orders, Receipt};

use super::lock;
use crate::arrival::{fallback, rule};

#[derive(Debug)]
pub(super) struct Given {
    grant: OrderGrant,
    given: Mutex<Vec<String>>,
}

impl Given {
    pub(super) fn new(stated: &config::Extension) -> Self {
        let config::BrokerGrant { publish, disconnect, permissions, .. } = stated.broker.clone();
        let extension = stated.name.as_str().into();
        let grant = OrderGrant { extension, publish, disconnect, permissions };
        Self { grant, given: Mutex::default() }
    }

    /// Those that were given since they were last taken.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.given))
    }
}

impl Orders for Given {
    fn give(&self, order: Order, _: Receipt) -> Result<(), OrderFault> {
        self.grant.check(&order)?;
        lock(&self.given).push(shown(&order));
        Ok(())
    }

    fn check(&self, order: &Order) -> Result<(), OrderFault> {
        self.grant.check(order)
    }
}

/// An order in a line.
fn shown(order: &Order) -> String {
    match order {
        Order::Publish(message) => published(message),
        Order::Disconnect { client_id, code, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("disconnect {client_id} 0x{:02x}{reason}", code.as_u8())
        }
        Order::ReplacePermissions { client_id, permissions } => {
            let mut text = format!("replace-permissions {client_id}: ");
            for each in &permissions.rules {
                text.push_str(&rule(each));
                text.push_str("; ");
            }
            text + "else " + fallback(Some(permissions)).word()
        }
    }
}

/// What is not said is as usual: QoS 0, not retained, without an end and properties.
fn published(message: &Message) -> String {
    let mut text = format!("publish {}", message.topic);
    match message.qos.as_u8() {
        0 => {}
        qos => text.push_str(&format!(" qos={qos}")),
    }
    if message.retain {
        text.push_str(" retain");
    }
    if let Some(seconds) = message.expiry_seconds {
        text.push_str(&format!(" expiry={seconds}s"));
    }
    if let Some(kind) = &message.content_type {
        text.push_str(&format!(" content-type={kind}"));
    }
    for (name, value) in &message.user_properties {
        text.push_str(&format!(" {name}={value}"));
    }
    text + ": " + &super::servers::text(&message.payload)
}

#[cfg(test)]
mod tests {
    use mqtt::{QoS, ReasonCode};

    use super::*;

    #[test]
    fn an_order_is_a_line() {
        let message = Message {
            topic: "a/b".into(),
            payload: b"text".to_vec(),
            qos: QoS::AtMostOnce,
            retain: false,
            content_type: None,
            user_properties: Vec::new(),
            expiry_seconds: None,
        };
        assert_eq!(shown(&Order::Publish(message.clone())), "publish a/b: text");
        let full = Message {
            payload: vec![0xff],
            qos: QoS::AtLeastOnce,
            retain: true,
            content_type: Some("text/plain".into()),
            user_properties: vec![("n".into(), "v".into())],
            expiry_seconds: Some(5),
            ..message
        };
        assert_eq!(
            shown(&Order::Publish(full)),
            "publish a/b qos=1 retain expiry=5s content-type=text/plain n=v: { hex = \"ff\" }"
        );
        let away = Order::Disconnect {
            client_id: "m1".into(),
            code: ReasonCode::AdministrativeAction,
            reason: Some("why".into()),
        };
        assert_eq!(shown(&away), "disconnect m1 0x98: why");
        let permissions = auth::Permissions {
            rules: Vec::new(),
            fallback: auth::Fallback::Deny,
            source: "test".into(),
        };
        let replace = Order::ReplacePermissions { client_id: "m1".into(), permissions };
        assert_eq!(shown(&replace), "replace-permissions m1: else deny");
    }
}

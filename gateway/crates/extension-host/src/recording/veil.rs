//! A recording without secrets has nothing of what is in messages, whose secrets nobody has marked.

use super::{RecordedCall, StandIn};
use crate::asked::{Question, Shown};
use crate::interception::{DeliveryAction, MessageChange, PublishAction};
use crate::said::Said;

/// Interfaces whose answers have nothing to do with the message.
const OF_NATURE: [&str; 3] = ["clock.", "random.", "wasi."];

impl RecordedCall {
    /// Whether it is about a message.
    pub(super) fn is_about_message(&self) -> bool {
        matches!(
            self.asked.question,
            Question::InterceptPublish(_) | Question::InterceptDelivery(_)
        )
    }

    /// The same with stand-ins of the same lengths for payloads, correlation data and the values of user properties, and
    /// without calls of capabilities that may have been told, or have told, a part of those.
    pub(super) fn veiled(&self, stand_in: &StandIn) -> Self {
        let mut veiled = self.clone();
        veiled.is_veiled = true;
        veiled.calls.retain(|call| OF_NATURE.iter().any(|name| call.function.starts_with(name)));
        if let Question::InterceptPublish(shown) | Question::InterceptDelivery(shown) =
            &mut veiled.asked.question
        {
            veil_message(shown, stand_in);
        }
        match &mut veiled.said {
            Said::Publish(PublishAction::Replace(changes)) => {
                changes.iter_mut().for_each(|change| veil_change(change, stand_in));
            }
            Said::Delivery(DeliveryAction::Replace(change)) => veil_change(change, stand_in),
            _ => {}
        }
        veiled
    }
}

fn veil_message(shown: &mut Shown, stand_in: &StandIn) {
    shown.payload = stand_in.as_long_as(&shown.payload).into_bytes();
    if let Some(data) = &mut shown.correlation_data {
        *data = stand_in.as_long_as(data).into_bytes();
    }
    veil_properties(&mut shown.user_properties, stand_in);
}

fn veil_change(change: &mut MessageChange, stand_in: &StandIn) {
    if let Some(payload) = &mut change.payload {
        *payload = stand_in.as_long_as(payload).into_bytes();
    }
    if let Some(properties) = &mut change.user_properties {
        veil_properties(properties, stand_in);
    }
}

fn veil_properties(properties: &mut [(String, String)], stand_in: &StandIn) {
    for (_, value) in properties {
        *value = stand_in.as_long_as(value.as_bytes());
    }
}

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use auth::PermissionSets;
use broker::{Broker, Closing, Timestamp};
use config::BrokerGrant;
use extension_host::{Message, Order, OrderFault};
use mqtt::{MessagePropertiesBuf, Publish, TopicName};
use tokio::sync::mpsc;

use super::rate::Rate;
use crate::hub::Hub;

/// Orders of all extensions that may wait.
const WAITING_MAX: usize = 1024;
/// Bytes of payloads among them.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Orders that are carried out under one lock.
const BATCH: usize = 64;

/// The way from extensions to the hub. Hooks only put orders on it, so none waits for the hub, and none is inside it.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    way: mpsc::Sender<Given>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// The other end of it.
pub(crate) struct Queue {
    orders: mpsc::Receiver<Given>,
    waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Given {
    by: Arc<str>,
    order: Order,
}

/// A way and its end.
pub(crate) fn channel() -> (Orders, Queue) {
    let (way, orders) = mpsc::channel(WAITING_MAX);
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    (Orders { way, waiting_bytes: Arc::clone(&waiting_bytes) }, Queue { orders, waiting_bytes })
}

impl Orders {
    fn put(&self, given: Given) -> Result<(), OrderFault> {
        let bytes = bytes(&given.order);
        let busy = |why: &str| Err(OrderFault::Busy(why.to_owned()));
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > WAITING_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return busy("the orders that wait have as many bytes as may be");
        }
        if self.way.try_send(given).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return busy("as many orders wait as may be, or the gateway stops");
        }
        Ok(())
    }
}

impl Queue {
    /// Has the hub carry out what comes, in order, until there is nobody any more who could order.
    pub(crate) async fn carry_out(mut self, hub: Weak<Hub>) {
        let mut sets = PermissionSets::new();
        let mut orders = Vec::with_capacity(BATCH);
        while self.orders.recv_many(&mut orders, BATCH).await > 0 {
            let bytes = orders.iter().map(|given| bytes(&given.order)).sum();
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let deeds = orders.drain(..).filter_map(|given| Deed::of(given, &mut sets)).collect();
            let Some(hub) = hub.upgrade() else { return };
            hub.carry_out(deeds);
        }
    }
}

fn bytes(order: &Order) -> usize {
    match order {
        Order::Publish(message) => {
            let properties = message.user_properties.iter().map(|(n, v)| n.len() + v.len());
            message.payload.len() + message.topic.len() + properties.sum::<usize>()
        }
        Order::Disconnect { .. } => 0,
        Order::ReplacePermissions { permissions, .. } => {
            permissions.rules.iter().map(|rule| rule.filter.len() + size_of_val(rule)).sum()
        }
    }
}

/// An order that is ready to be carried out.
pub(crate) struct Deed {
    /// The extension that wants it.
    pub(crate) by: Arc<str>,
    what: What,
}

enum What {
    Publish { message: Message, properties: MessagePropertiesBuf },
    Disconnect { client_id: String, closing: Closing },
    Replace { client_id: String, permissions: Arc<auth::PermissionSet> },
}

impl Deed {
    fn of(given: Given, sets: &mut PermissionSets) -> Option<Self> {
        let by = given.by;
        let what = match given.order {
            Order::Publish(message) => {
                let properties = properties(&message).ok()?;
                What::Publish { message, properties }
            }
            Order::Disconnect { client_id, code, reason } => {
                let why = reason.unwrap_or_else(|| "no reason was given".to_owned());
                let why = format!("extension \"{by}\" had the client disconnected: {why}");
                What::Disconnect { client_id, closing: Closing::new(code, why) }
            }
            Order::ReplacePermissions { client_id, permissions } => {
                What::Replace { client_id, permissions: sets.intern(&permissions).ok()? }
            }
        };
        Some(Self { by, what })
    }

    /// Carries it out; the error says what is not done.
    pub(crate) fn carry_out(&self, now: Timestamp, broker: &mut Broker) -> Result<(), String> {
        match &self.what {
            What::Publish { message, properties } => {
                let topic = TopicName::new(&message.topic).map_err(|error| error.to_string())?;
                let publish = Publish {
                    qos: message.qos,
                    retain: message.retain,
                    message_expiry: message.expiry_seconds,
                    properties: properties.as_ref(),
                    ..Publish::new(topic, &message.payload)
                };
                broker
                    .publish_from_outside(now, topic, &publish)
                    .map_err(|closing| format!("message on {:?}: {}", message.topic, closing.why))
            }
            What::Disconnect { client_id, closing } => {
                // Whoever is gone need not be disconnected.
                let _ = broker.disconnect_client(now, client_id, closing.clone());
                Ok(())
            }
            What::Replace { client_id, permissions } => {
                match broker.replace_permissions(client_id, Arc::clone(permissions)) {
                    true => Ok(()),
                    false => Err(format!("permissions of {client_id:?}: there is no such client")),
                }
            }
        }
    }
}

fn properties(message: &Message) -> Result<MessagePropertiesBuf, String> {
    let built = match &message.content_type {
        Some(text) => MessagePropertiesBuf::default().content_type(text),
        None => Ok(MessagePropertiesBuf::default()),
    };
    let mut user = message.user_properties.iter();
    let built = built.and_then(|built| user.try_fold(built, |built, (n, v)| built.user(n, v)));
    built.map_err(|error| error.to_string())
}

/// The orders that one extension may give.
#[derive(Debug)]
pub(super) struct ExtensionOrders {
    extension: Arc<str>,
    grant: BrokerGrant,
    rate: Mutex<Rate>,
    orders: Orders,
}

impl ExtensionOrders {
    pub(super) fn new(extension: &config::Extension, orders: Orders) -> Self {
        let grant = extension.broker.clone();
        let rate = Mutex::new(Rate::new(grant.rate, Instant::now()));
        Self { extension: extension.name.as_str().into(), grant, rate, orders }
    }

    /// What is missing in the grant, as a sentence.
    fn lacks(&self, key: &str, value: &str) -> Result<(), OrderFault> {
        let name = &self.extension;
        Err(OrderFault::NotGranted(format!(
            "[extensions.{name}.broker] in gateway.toml does not grant it; add {key} = {value} if it should"
        )))
    }
}

impl extension_host::Orders for ExtensionOrders {
    fn give(&self, order: Order) -> Result<(), OrderFault> {
        self.check(&order)?;
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            let rate = self.grant.rate;
            return Err(OrderFault::Busy(format!("more than {rate} orders in a second")));
        }
        self.orders.put(Given { by: Arc::clone(&self.extension), order })
    }

    fn check(&self, order: &Order) -> Result<(), OrderFault> {
        match order {
            Order::Publish(message) => {
                let topic = TopicName::new(&message.topic)
                    .map_err(|error| OrderFault::Invalid(error.to_string()))?;
                properties(message).map_err(OrderFault::Invalid)?;
                match self.grant.publish.iter().any(|f| f.as_filter().matches(topic)) {
                    true => Ok(()),
                    false => self.lacks("publish", &format!("[{:?}]", message.topic)),
                }
            }
            Order::Disconnect { .. } if !self.grant.disconnect => self.lacks("disconnect", "true"),
            Order::ReplacePermissions { .. } if !self.grant.permissions => {
                self.lacks("permissions", "true")
            }
            Order::Disconnect { .. } | Order::ReplacePermissions { .. } => Ok(()),
        }
    }
}

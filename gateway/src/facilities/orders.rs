use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use auth::PermissionSets;
use broker::{Broker, Closing, Timestamp};
use config::BrokerGrant;
use extension_host::{Message, Order, OrderFault, OrderGrant, Receipt};
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
    receipt: Receipt,
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
    receipt: Receipt,
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
                let properties = message.properties().ok()?;
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
        Some(Self { by, what, receipt: given.receipt })
    }

    /// Carries it out; the error says what is not done, which counts.
    pub(crate) fn carry_out(&self, now: Timestamp, broker: &mut Broker) -> Result<(), String> {
        self.act(now, broker).inspect_err(|_| self.receipt.undone())
    }

    fn act(&self, now: Timestamp, broker: &mut Broker) -> Result<(), String> {
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

/// The orders that one extension may give.
#[derive(Debug)]
pub(super) struct ExtensionOrders {
    grant: OrderGrant,
    /// Orders in a second.
    per_second: u32,
    rate: Mutex<Rate>,
    orders: Orders,
}

impl ExtensionOrders {
    pub(super) fn new(extension: &config::Extension, orders: Orders) -> Self {
        let BrokerGrant { publish, disconnect, permissions, rate } = extension.broker.clone();
        let extension = extension.name.as_str().into();
        let grant = OrderGrant { extension, publish, disconnect, permissions };
        let tokens = Mutex::new(Rate::new(rate, Instant::now()));
        Self { grant, per_second: rate, rate: tokens, orders }
    }
}

impl extension_host::Orders for ExtensionOrders {
    fn give(&self, order: Order, receipt: Receipt) -> Result<(), OrderFault> {
        self.check(&order)?;
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            let rate = self.per_second;
            return Err(OrderFault::Busy(format!("more than {rate} orders in a second")));
        }
        self.orders.put(Given { by: Arc::clone(&self.grant.extension), order, receipt })
    }

    fn check(&self, order: &Order) -> Result<(), OrderFault> {
        self.grant.check(order)
    }
}

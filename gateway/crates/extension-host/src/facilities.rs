//! What an extension reaches beyond its instances, as the shell hands it over: each behind a trait, so that the host
//! knows no disk, no network and no broker.

mod http;
mod key_value;
mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use http::{HttpConnection, HttpFault, HttpRequest, HttpResponse};
pub use key_value::{
    KeyValue, KeyValueChange, KeyValueChanged, KeyValueFault, KeyValueJudged, MAX_KEY_BYTES,
    MAX_PAGE_KEYS, MAX_VALUE_BYTES,
};
pub use orders::{MAX_MESSAGE_BYTES, Message, Order, OrderFault, OrderGrant, Orders, Receipt};

/// What the operator grants one extension beside interfaces. What is not here is refused at the call.
#[derive(Clone, Debug, Default)]
pub struct Facilities {
    /// Where it keeps what it must not lose.
    pub key_value: Option<Arc<dyn KeyValue>>,
    /// Servers that speak HTTP, by the names under which it asks for them.
    pub http: BTreeMap<String, Arc<dyn HttpConnection>>,
    /// What it may do to clients and messages.
    pub orders: Option<Arc<dyn Orders>>,
}

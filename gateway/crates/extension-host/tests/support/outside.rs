//! Guests that reach beyond their instances, and what is there for them to reach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_extension_host::{
    AuthenticationOutcome, Capability, Extension, ExtensionSpec, Facilities, HttpConnection,
    HttpFault, HttpRequest, HttpResponse, KeyValue, KeyValueChange, KeyValueChanged, KeyValueFault,
    Order, OrderFault, Orders, Receipt,
};

use super::{client, host, spec};
use crate::guest::{ACCEPT, Guest};

/// Where guests have their answers written.
pub const AT: u32 = 2048;

pub const SET: (&str, &str, &str) =
    ("portcullis:host/key-value", "set", "(param i32 i32 i32 i32 i32)");
pub const GET: (&str, &str, &str) = ("portcullis:host/key-value", "get", "(param i32 i32 i32)");
pub const SEND: (&str, &str, &str) =
    ("portcullis:host/http", "send", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)");
pub const DISCONNECT: (&str, &str, &str) =
    ("portcullis:gateway/broker", "disconnect", "(param i32 i32 i32 i32 i32 i32 i32)");
pub const PUBLISH: (&str, &str, &str) = (
    "portcullis:gateway/broker",
    "publish",
    "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
);
pub const REPLACE: (&str, &str, &str) =
    ("portcullis:gateway/broker", "replace-permissions", "(param i32 i32 i32 i32 i32 i32)");

pub fn importing(guest: Guest, (interface, name, signature): (&str, &str, &str)) -> Guest {
    guest.import(interface, name, &format!("${name}"), signature)
}

/// A body that rejects the client with 0x80 plus the case of the error that was written at [`AT`], and accepts it
/// where there was none.
pub fn judged(call: &str) -> String {
    format!(
        "(i32.store (i32.const {AT}) (i32.const 0)) (i32.store offset=4 (i32.const {AT}) (i32.const 0)) \
         {call} \
         (if (i32.load8_u (i32.const {AT})) \
           (then (i32.store8 (i32.const 1032) (i32.const 1)) \
                 (i32.store8 (i32.const 1040) (i32.add (i32.const 0x80) (i32.load8_u offset=4 (i32.const {AT}))))) \
           (else {ACCEPT}))"
    )
}

pub fn granted(guest: &Guest, grants: &[Capability], facilities: Facilities) -> ExtensionSpec {
    let mut spec = spec(guest);
    spec.grants = grants.iter().copied().collect();
    spec.facilities = facilities;
    spec
}

pub fn load(guest: &Guest, grants: &[Capability], facilities: Facilities) -> Extension {
    host().load(granted(guest, grants, facilities)).unwrap()
}

/// The case of the error that the guest got; none where it got none.
pub fn case(extension: &Extension) -> Option<u8> {
    match extension.authenticate(&client("c1"), None).result.unwrap() {
        AuthenticationOutcome::Accept(_) => None,
        AuthenticationOutcome::Reject { code, .. } => Some(code.as_u8() - 0x80),
        other => panic!("{other:?}"),
    }
}

/// A store in memory, that notes how long it might have taken.
#[derive(Debug, Default)]
pub struct Store {
    pub values: Mutex<BTreeMap<String, Vec<u8>>>,
    pub waits: Mutex<Vec<Duration>>,
    pub fails: Option<KeyValueFault>,
}

impl KeyValue for Store {
    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.values.lock().unwrap().get(key).map(|value| value.as_slice().into())
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
        let values = self.values.lock().unwrap();
        let keys = values.keys().filter(|key| key.starts_with(prefix));
        let keys: Vec<String> = keys.filter(|key| Some(&***key) > after).cloned().collect();
        (keys.iter().take(limit).cloned().collect(), keys.len() > limit)
    }

    fn change(
        &self,
        change: KeyValueChange,
        wait: Duration,
    ) -> Result<KeyValueChanged, KeyValueFault> {
        self.waits.lock().unwrap().push(wait);
        if let Some(fault) = &self.fails {
            return Err(fault.clone());
        }
        let KeyValueChange::Set { key, value } = change else { panic!("{change:?}") };
        self.values.lock().unwrap().insert(key, value);
        Ok(KeyValueChanged::Done)
    }
}

/// Accepts the client if there are five bytes under `k`, and rejects it otherwise.
pub fn reading() -> Guest {
    let mut guest = Guest::authenticator("");
    let key = guest.put(b"k");
    let body = format!(
        "(call $get (i32.const {key}) (i32.const 1) (i32.const {AT})) \
         (if (i32.and (i32.load8_u (i32.const {AT})) (i32.eq (i32.load offset=8 (i32.const {AT})) (i32.const 5))) \
           (then {ACCEPT}) \
           (else (i32.store8 (i32.const 1032) (i32.const 1)) (i32.store8 (i32.const 1040) (i32.const 0x87))))"
    );
    importing(guest.with_authenticate(&body), GET)
}

pub fn keeping(store: &Arc<Store>) -> Facilities {
    Facilities { key_value: Some(Arc::clone(store) as _), ..Facilities::default() }
}

/// Sets `k` to the client's identifier.
pub fn setting() -> Guest {
    let mut guest = Guest::authenticator("");
    let key = guest.put(b"k");
    let call = format!(
        "(call $set (i32.const {key}) (i32.const 1) (local.get $client) (local.get $client_len) (i32.const {AT}))"
    );
    importing(guest.with_authenticate(&judged(&call)), SET)
}

/// A server that answers after a while, or says that it took too long.
#[derive(Debug)]
pub struct Server {
    pub takes: Duration,
    pub asked: Mutex<Vec<HttpRequest>>,
}

impl HttpConnection for Server {
    fn send(&self, request: HttpRequest, wait: Duration) -> Result<HttpResponse, HttpFault> {
        self.asked.lock().unwrap().push(request);
        std::thread::sleep(self.takes.min(wait));
        if self.takes > wait {
            return Err(HttpFault::Timeout("it took too long".into()));
        }
        let headers = vec![("x".to_owned(), "y".to_owned())];
        Ok(HttpResponse { status: 204, headers, body: b"body".to_vec() })
    }
}

pub fn served(takes: Duration) -> (Facilities, Arc<Server>) {
    let server = Arc::new(Server { takes, asked: Mutex::default() });
    let http = BTreeMap::from([("auth".to_owned(), Arc::clone(&server) as _)]);
    (Facilities { http, ..Facilities::default() }, server)
}

/// Asks `auth`, or whatever `name` says, for `/x`, and accepts the client if the status is 204 and the body has four bytes.
pub fn asking(name: &str) -> Guest {
    requesting(name, "GET", "/x", "(i32.const 0) (i32.const 0)")
}

/// The same with any request; `body` puts its address and length on the stack.
pub fn requesting(name: &str, method: &str, path: &str, body: &str) -> Guest {
    let mut guest = Guest::authenticator("");
    let mut text = |text: &str| {
        format!("(i32.const {}) (i32.const {})", guest.put(text.as_bytes()), text.len())
    };
    let (connection, method, path) = (text(name), text(method), text(path));
    let call = format!(
        "(call $send {connection} {method} {path} (i32.const 0) (i32.const 0) {body} (i32.const {AT})) \
         (if (i32.eqz (i32.load8_u (i32.const {AT}))) (then \
           (if (i32.ne (i32.load16_u offset=4 (i32.const {AT})) (i32.const 204)) (then unreachable)) \
           (if (i32.ne (i32.load offset=20 (i32.const {AT})) (i32.const 4)) (then unreachable))))"
    );
    importing(guest.with_authenticate(&judged(&call)), SEND)
}

/// Notes orders; refuses those about the client `no`.
#[derive(Debug, Default)]
pub struct Taken(pub Mutex<Vec<Order>>);

impl Orders for Taken {
    fn give(&self, order: Order, receipt: Receipt) -> Result<(), OrderFault> {
        self.check(&order)?;
        if matches!(&order, Order::Disconnect { client_id, .. } if client_id == "gone") {
            receipt.undone();
        }
        self.0.lock().unwrap().push(order);
        Ok(())
    }

    fn check(&self, order: &Order) -> Result<(), OrderFault> {
        match order {
            Order::Disconnect { client_id, .. } if client_id == "no" => {
                Err(OrderFault::Busy("enough".into()))
            }
            _ => Ok(()),
        }
    }
}

pub fn ordering(taken: &Arc<Taken>) -> Facilities {
    Facilities { orders: Some(Arc::clone(taken) as _), ..Facilities::default() }
}

/// Has a client disconnected with a code.
pub fn disconnecting(client_id: &str, code: u8) -> Guest {
    let mut guest = Guest::authenticator("");
    let name = guest.put(client_id.as_bytes());
    let call = format!(
        "(call $disconnect (i32.const {name}) (i32.const {}) (i32.const {code}) (i32.const 1) \
           (i32.const {name}) (i32.const 2) (i32.const {AT}))",
        client_id.len()
    );
    importing(guest.with_authenticate(&judged(&call)), DISCONNECT)
}

/// Publishes its topic on itself.
pub fn publishing(topic: &str) -> Guest {
    let mut guest = Guest::authenticator("");
    let text = format!("(i32.const {}) (i32.const {})", guest.put(topic.as_bytes()), topic.len());
    let nothing = "(i32.const 0)".repeat(9);
    let call = format!("(call $publish {text} {text} {nothing} (i32.const {AT}))");
    importing(guest.with_authenticate(&judged(&call)), PUBLISH)
}

/// Gives a client a set with one rule, about `filter`.
pub fn replacing(filter: &str, fallback: u8) -> Guest {
    let mut guest = Guest::authenticator("");
    let (name, filter_at) = (guest.put(b"c9"), guest.put(filter.as_bytes()));
    let mut rule = vec![0, 3, 0, 0];
    rule.extend(filter_at.to_le_bytes());
    rule.extend(u32::try_from(filter.len()).unwrap().to_le_bytes());
    rule.extend([2, 1, 0, 0]);
    rule.extend([0; 12]);
    let rules = guest.put(&rule);
    let call = format!(
        "(call $replace-permissions (i32.const {name}) (i32.const 2) (i32.const {rules}) (i32.const 1) \
           (i32.const {fallback}) (i32.const {AT}))"
    );
    importing(guest.with_authenticate(&judged(&call)), REPLACE)
}

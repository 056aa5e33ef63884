//! Builds small guests from WebAssembly text, so that no guest toolchain is needed to test a host.
//!
//! A guest is a set of hook bodies: instructions that may write an answer at [`ANSWER`], which is zeroed before each
//! call. The offsets are those of the canonical ABI for the contract in `wit/`:
//!
//! | function | zero means | offsets from `ANSWER` |
//! |---|---|---|
//! | `init` | success | 0: 1 is an error, text at 4 (address) and 8 (length) |
//! | `authenticate` | accept, but the principal is missing | 0: 1 is an error; 8: 0 accept, 1 reject, 2 abstain; accept: 16 and 20 principal, 24 and 28 attributes, 32: 1 is a permission set, 36 and 40 rules, 44 fallback; reject: 16 code |
//! | `methods` | no method, which is refused | 0 and 4 list of names, 8 bytes each |
//! | `step` | accept, but the principal is missing | 0: 1 is an error; 8: 0 accept, 1 reject, 2 abstain, 3 more; accept: as `authenticate`, and 48: 1 is a validity, 56 its milliseconds, 64: 1 is data, 68 and 72; reject: 16 code; more: 16: 1 is data, 20 and 24, state at 28 and 32 |
//! | `permissions` | none | 0: 1 is an error; 4: 1 is a set; 8 and 12 rules, 16 fallback |
//! | `authorize-publish` | allow | 0: 1 is an error; 4: 0 allow, 1 deny, 2 abstain; 5 code; 20: 1 is a validity, 24 its ms, 28: 1 is a filter, 32 and 36, 40 QoS, 41 retain |
//! | `authorize-subscribe`, `authorize-publishes` | no verdict | 0: 1 is an error; 4 and 8 list of verdicts, 40 bytes each: 0 opinion, 1 code |
//! | `wants` | no filter, which is refused | 0 and 4 list of filters, 8 bytes each; 8 bytes of payload |
//! | `on-publish` | pass | 0: 1 is an error; 4: 0 pass, 1 discard, 2 refuse, 3 replace; refuse: 8 code, 12: 1 is a reason, 16 and 20; replace: 8 and 12 list of changes, 60 bytes each: topic at 0, QoS at 12, retain at 14, payload at 16, content type at 28, user properties at 40, expiry at 52, and each: 0: 1 is there, then the value at 4 and 8, of QoS and retain at 1 |
//! | `on-delivery` | pass | 0: 1 is an error; 4: 0 pass, 1 discard, 2 replace by a change at 8: topic at 0, payload at 12, content type at 24, user properties at 36, expiry at 48 |
//! | `on-events` | success | 0: 1 is an error; 4: 0 unavailable, 1 internal, text at 8 and 12 |
//! | `reconfigure` | success | as `init` |
//!
//! Arguments are named: `$id $client $client_len $user_some $user $user_len $principal_some $principal $principal_len
//! $conn`, then `$secret_kind $secret $secret_len`, or `$method $method_len $data_some $data $data_len $state_some
//! $state $state_len $again` (and no `$id`), or `$topic $topic_len $qos $retain $size`, or `$list $count`, or, of a message (and no `$id`), `$topic
//! $topic_len $qos $retain $payload $payload_len $size $type_some $type $type_len $properties $properties_len $expiry_some $expiry`. `on-events` has
//! `$list`, `$count` and `$missed`, an `i64`; an event has 48 bytes: time at 0, client at 8, principal at 16, kind at 28, details at 36.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot be set up has failed"
)]

mod text;

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where a body writes its answer.
pub const ANSWER: u32 = 1024;
/// Where the texts and tables of a guest begin.
const DATA: u32 = 4096;
/// Where the guest's heap begins; emptied after each call.
const HEAP: u32 = 65_536;

const GATEWAY_WIT: &str = include_str!("../../../../../wit/gateway.wit");
const HOST_WIT: &str = include_str!("../../../../../wit/deps/portcullis-host/host.wit");

/// Accepts every client; its principal is its client identifier.
pub const ACCEPT: &str = "(i32.store (i32.const 1040) (local.get $client)) \
    (i32.store (i32.const 1044) (local.get $client_len))";
/// In the first step challenges with `?`; in the next accepts the client under its identifier if it says
/// `yes`, with the last word `!`, and rejects it with 0x87 otherwise.
pub const TWO_STEPS: &str = "(if (local.get $state_some) \
    (then (if (i32.eq (local.get $data_len) (i32.const 3)) \
        (then \
            (i32.store (i32.const 1040) (local.get $client)) \
            (i32.store (i32.const 1044) (local.get $client_len)) \
            (i32.store8 (i32.const 2048) (i32.const 33)) \
            (i32.store8 (i32.const 1088) (i32.const 1)) \
            (i32.store (i32.const 1092) (i32.const 2048)) \
            (i32.store (i32.const 1096) (i32.const 1))) \
        (else \
            (i32.store8 (i32.const 1032) (i32.const 1)) \
            (i32.store8 (i32.const 1040) (i32.const 0x87))))) \
    (else \
        (i32.store8 (i32.const 1032) (i32.const 3)) \
        (i32.store8 (i32.const 2048) (i32.const 63)) \
        (i32.store8 (i32.const 1040) (i32.const 1)) \
        (i32.store (i32.const 1044) (i32.const 2048)) \
        (i32.store (i32.const 1048) (i32.const 1)) \
        (i32.store (i32.const 1052) (i32.const 2048)) \
        (i32.store (i32.const 1056) (i32.const 1))))";
/// Leaves every client to the next extension.
pub const ABSTAIN: &str = "(i32.store8 (i32.const 1032) (i32.const 2))";
/// Never returns.
pub const ENDLESS: &str = "(loop $again (br $again))";
/// Traps.
pub const TRAP: &str = "unreachable";
/// Takes and touches memory until it is refused, then traps.
pub const HOG: &str = "(loop $again \
    (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) \
    (memory.fill (i32.mul (i32.sub (memory.size) (i32.const 16)) (i32.const 65536)) \
                 (i32.const 1) (i32.const 1048576)) \
    (br $again))";
/// Calls itself until the stack ends.
pub const OVERFLOW: &str = "(call $deeper (i64.const 0)) drop";

/// A body that does `then` for clients whose identifier begins with `!`, and `otherwise` for the rest.
pub fn provoked(then: &str, otherwise: &str) -> String {
    format!(
        "(if (i32.eq (i32.load8_u (local.get $client)) (i32.const 33)) \
         (then {then}) (else {otherwise}))"
    )
}

/// A rule of a permission set that allows both actions up to QoS 2, with retain.
pub fn allow(filter: &str) -> Rule<'_> {
    Rule { deny: false, actions: 3, filter }
}

/// A rule of a permission set.
#[derive(Clone, Copy)]
pub struct Rule<'a> {
    pub deny: bool,
    /// 1 publish, 2 subscribe, 3 both.
    pub actions: u8,
    pub filter: &'a str,
}

/// What a set does where no rule matches.
#[derive(Clone, Copy)]
pub enum Fallback {
    Deny = 0,
    Allow = 1,
    Ask = 2,
}

/// The functions of the authorizer.
#[derive(Clone, Copy)]
pub enum Function {
    Permissions = 0,
    Publish = 1,
    Subscribe = 2,
}

/// A guest under construction. Without a hook it exports `lifecycle` alone.
#[derive(Clone)]
pub struct Guest {
    version: &'static str,
    lifecycle: bool,
    init: String,
    authenticate: Option<String>,
    /// Bodies of `methods` and `step`.
    enhanced: Option<[String; 2]>,
    authorizer: Option<[String; 3]>,
    batch: Option<String>,
    bulk: Option<String>,
    limits: Option<String>,
    /// Bodies of `wants` and `on-publish`, `on-delivery`.
    publish_interceptor: Option<[String; 2]>,
    delivery_interceptor: Option<[String; 2]>,
    observer: Option<String>,
    reconfigure: Option<String>,
    imports: String,
    items: String,
    realloc: String,
    after: String,
    extra_wit: String,
    extra_world: String,
    data: Vec<u8>,
    pages: u32,
    keeps_handles: bool,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            version: "0.1.0",
            lifecycle: true,
            init: String::new(),
            authenticate: None,
            enhanced: None,
            authorizer: None,
            batch: None,
            bulk: None,
            limits: None,
            publish_interceptor: None,
            delivery_interceptor: None,
            observer: None,
            reconfigure: None,
            imports: String::new(),
            items: String::new(),
            realloc: String::new(),
            after: String::new(),
            extra_wit: String::new(),
            extra_world: String::new(),
            data: Vec::new(),
            pages: 2,
            keeps_handles: false,
        }
    }
}

impl Guest {
    /// A guest with `body` as its `authenticate`.
    pub fn authenticator(body: &str) -> Self {
        Self { authenticate: Some(body.into()), ..Self::default() }
    }

    /// A guest whose `permissions` abstains, whose `authorize-publish` allows, and whose `authorize-subscribe` has no answer.
    pub fn authorizer() -> Self {
        Self { authorizer: Some([const { String::new() }; 3]), ..Self::default() }
    }

    /// A guest that offers these methods, with `body` as its `step`.
    pub fn enhanced(methods: &[&str], body: &str) -> Self {
        Self::default().with_step(methods, body)
    }

    /// Sets the methods and the body of `step`.
    pub fn with_step(mut self, methods: &[&str], body: &str) -> Self {
        let mut table = Vec::new();
        for name in methods {
            table.extend(self.put(name.as_bytes()).to_le_bytes());
            table.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        }
        let (at, count) = (self.put(&table), methods.len());
        let names = format!(
            "(i32.store (i32.const 1024) (i32.const {at})) \
             (i32.store (i32.const 1028) (i32.const {count}))"
        );
        self.enhanced = Some([names, body.into()]);
        self
    }

    /// Sets the body of `methods`, beside a `step` that is there.
    pub fn methods(mut self, body: &str) -> Self {
        if let Some([methods, _]) = &mut self.enhanced {
            body.clone_into(methods);
        }
        self
    }

    /// A guest that is interested in the first bytes of messages that one of these filters matches, with `body` as its
    /// `on-publish`.
    pub fn publish_interceptor(filters: &[&str], payload_bytes: u32, body: &str) -> Self {
        Self::default().with_publish_interceptor(filters, payload_bytes, body)
    }

    /// Sets interest and body of `on-publish`.
    pub fn with_publish_interceptor(
        mut self,
        filters: &[&str],
        payload_bytes: u32,
        body: &str,
    ) -> Self {
        self.publish_interceptor = Some([self.interest(filters, payload_bytes), body.into()]);
        self
    }

    /// Sets interest and body of `on-delivery`.
    pub fn with_delivery_interceptor(
        mut self,
        filters: &[&str],
        payload_bytes: u32,
        body: &str,
    ) -> Self {
        self.delivery_interceptor = Some([self.interest(filters, payload_bytes), body.into()]);
        self
    }

    /// Sets the body of `wants`, beside an `on-publish` that is there.
    pub fn with_interest(mut self, body: &str) -> Self {
        if let Some([interest, _]) = &mut self.publish_interceptor {
            body.clone_into(interest);
        }
        self
    }

    fn interest(&mut self, filters: &[&str], payload_bytes: u32) -> String {
        let mut table = Vec::new();
        for filter in filters {
            table.extend(self.put(filter.as_bytes()).to_le_bytes());
            table.extend(u32::try_from(filter.len()).unwrap().to_le_bytes());
        }
        let (at, count) = (self.put(&table), filters.len());
        format!(
            "(i32.store (i32.const 1024) (i32.const {at})) \
             (i32.store (i32.const 1028) (i32.const {count})) \
             (i32.store (i32.const 1032) (i32.const {payload_bytes}))"
        )
    }

    /// Sets the body of `authorize-publishes`, beside an authorizer.
    pub fn with_batch(mut self, body: &str) -> Self {
        self.batch = Some(body.into());
        self
    }

    /// Sets the body of `authorize-publications`, beside an authorizer.
    pub fn with_bulk(mut self, body: &str) -> Self {
        self.bulk = Some(body.into());
        self
    }

    /// Sets the body of `limit`.
    pub fn with_limits(mut self, body: &str) -> Self {
        self.limits = Some(body.into());
        self
    }

    /// Sets the body of `on-events`.
    pub fn with_observer(mut self, body: &str) -> Self {
        self.observer = Some(body.into());
        self
    }

    /// Sets the body of `reconfigure`.
    pub fn with_reconfigure(mut self, body: &str) -> Self {
        self.reconfigure = Some(body.into());
        self
    }

    /// The body of `authenticate`.
    pub fn authenticate_body(&self) -> String {
        self.authenticate.clone().unwrap_or_default()
    }

    /// Sets the body of `authenticate`.
    pub fn with_authenticate(mut self, body: &str) -> Self {
        self.authenticate = Some(body.into());
        self
    }

    pub fn init(mut self, body: &str) -> Self {
        self.init = body.into();
        self
    }

    pub fn permissions(self, body: &str) -> Self {
        self.function(0, body)
    }

    pub fn authorize_publish(self, body: &str) -> Self {
        self.function(1, body)
    }

    pub fn authorize_subscribe(self, body: &str) -> Self {
        self.function(2, body)
    }

    fn function(mut self, index: usize, body: &str) -> Self {
        self.authorizer.get_or_insert([const { String::new() }; 3])[index] = body.into();
        self
    }

    /// Answers `permissions` with this set.
    pub fn granting(mut self, rules: &[Rule<'_>], fallback: Fallback) -> Self {
        let (at, count) = self.rules(rules);
        self.permissions(&format!(
            "(i32.store8 (i32.const 1028) (i32.const 1)) \
             (i32.store (i32.const 1032) (i32.const {at})) \
             (i32.store (i32.const 1036) (i32.const {count})) \
             (i32.store8 (i32.const 1040) (i32.const {}))",
            fallback as u8
        ))
    }

    /// Accepts each client with this set.
    pub fn accepting(mut self, rules: &[Rule<'_>], fallback: Fallback) -> Self {
        let (at, count) = self.rules(rules);
        self.authenticate = Some(format!(
            "{ACCEPT} (i32.store8 (i32.const 1056) (i32.const 1)) \
             (i32.store (i32.const 1060) (i32.const {at})) \
             (i32.store (i32.const 1064) (i32.const {count})) \
             (i32.store8 (i32.const 1068) (i32.const {}))",
            fallback as u8
        ));
        self
    }

    /// Imports a function of the contract: `signature` is its core type, as in `(param i32) (result i32)`.
    pub fn import(mut self, interface: &str, name: &str, local: &str, signature: &str) -> Self {
        let module = if interface.contains('@') {
            interface.to_owned()
        } else {
            format!("{interface}@{}", self.version)
        };
        writeln!(self.imports, r#"(import "{module}" "{name}" (func {local} {signature}))"#)
            .unwrap();
        self
    }

    /// Adds an item of the module, such as a table.
    pub fn item(mut self, item: &str) -> Self {
        self.items.push_str(item);
        self
    }

    /// What the allocator does first, when the host wants `$new` bytes.
    pub fn realloc(mut self, body: &str) -> Self {
        self.realloc = body.into();
        self
    }

    /// What is done when the host has read an answer.
    pub fn after(mut self, body: &str) -> Self {
        self.after = body.into();
        self
    }

    /// Does `then` in one of the authorizer's functions where `condition` holds, and what it does anyway elsewhere.
    pub fn provoked_in(mut self, function: Function, condition: &str, then: &str) -> Self {
        let bodies = self.authorizer.get_or_insert([const { String::new() }; 3]);
        let body = &mut bodies[function as usize];
        *body = format!("(if {condition} (then {then}) (else {body}))");
        self
    }

    /// Has one of the authorizer's functions do more when it has its answer.
    pub fn and_in(mut self, function: Function, more: &str) -> Self {
        let bodies = self.authorizer.get_or_insert([const { String::new() }; 3]);
        bodies[function as usize].push_str(more);
        self
    }

    pub fn has_authorizer(&self) -> bool {
        self.authorizer.is_some()
    }

    /// Adds WIT: a package of its own, and lines of this guest's world.
    pub fn wit(mut self, package: &str, world: &str) -> Self {
        self.extra_wit = package.into();
        self.extra_world = world.into();
        self
    }

    /// Builds for another version of the contract.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub fn without_lifecycle(mut self) -> Self {
        self.lifecycle = false;
        self
    }

    /// Does not give back the connection's handle at the end of a call, as the canonical ABI demands.
    pub fn keeping_handles(mut self) -> Self {
        self.keeps_handles = true;
        self
    }

    /// Pages of 64 KiB of memory from the start.
    pub fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// Puts bytes into the guest's memory and gives their address.
    pub fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.data.len().is_multiple_of(4) {
            self.data.push(0);
        }
        let at = DATA + u32::try_from(self.data.len()).unwrap();
        self.data.extend_from_slice(bytes);
        assert!(DATA as usize + self.data.len() <= HEAP as usize, "too much data for a guest");
        at
    }

    fn rules(&mut self, rules: &[Rule<'_>]) -> (u32, usize) {
        let mut table = Vec::new();
        for rule in rules {
            let filter = self.put(rule.filter.as_bytes());
            table.extend([u8::from(rule.deny), rule.actions, 0, 0]);
            table.extend(filter.to_le_bytes());
            table.extend(u32::try_from(rule.filter.len()).unwrap().to_le_bytes());
            table.extend([2, 1, 0, 0]);
            table.extend([0; 12]);
        }
        (self.put(&table), rules.len())
    }

    /// The component.
    pub fn build(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.module()).expect("the guest's text");
        let mut resolve = Resolve::default();
        let at = |text: &str| text.replace("@0.1.0", &format!("@{}", self.version));
        resolve.push_str("host.wit", &at(HOST_WIT)).expect("host.wit");
        resolve.push_str("gateway.wit", &at(GATEWAY_WIT)).expect("gateway.wit");
        if !self.extra_wit.is_empty() {
            resolve.push_str("extra.wit", &self.extra_wit).expect("extra WIT");
        }
        let package = resolve.push_str("guest.wit", &at(&self.world())).expect("the world");
        let world = resolve.select_world(&[package], None).expect("one world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("metadata");
        ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.validate(true).encode())
            .unwrap_or_else(|e| panic!("{e:#}\n{}", self.module()))
    }

    fn world(&self) -> String {
        let mut world = format!(
            "package test:guest; world guest {{ include portcullis:host/imports@0.1.0; \
             include portcullis:gateway/services@0.1.0; import portcullis:gateway/types@0.1.0; {} ",
            self.extra_world
        );
        let exports = [
            (self.lifecycle, "lifecycle"),
            (self.authenticate.is_some(), "authenticator"),
            (self.enhanced.is_some(), "enhanced-authenticator"),
            (self.authorizer.is_some(), "authorizer"),
            (self.batch.is_some(), "batch-authorizer"),
            (self.bulk.is_some(), "bulk-authorizer"),
            (self.limits.is_some(), "client-limits"),
            (self.publish_interceptor.is_some(), "publish-interceptor"),
            (self.delivery_interceptor.is_some(), "delivery-interceptor"),
            (self.observer.is_some(), "observer"),
            (self.reconfigure.is_some(), "reconfiguration"),
        ];
        for (_, interface) in exports.into_iter().filter(|(there, _)| *there) {
            write!(world, "export portcullis:gateway/{interface}@0.1.0; ").unwrap();
        }
        world + "}"
    }
}

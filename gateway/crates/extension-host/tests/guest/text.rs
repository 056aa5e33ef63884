//! The module of a guest, as text.

use std::fmt::Write as _;

use super::{ANSWER, DATA, Guest, HEAP};

const CLIENT: &str = "(param $id i64) (param $client i32) (param $client_len i32) \
    (param $user_some i32) (param $user i32) (param $user_len i32) \
    (param $principal_some i32) (param $principal i32) (param $principal_len i32) (param $conn i32)";
const SECRET: &str = "(param $secret_kind i32) (param $secret i32) (param $secret_len i32)";
/// The arguments of `step` are too many for the stack; the canonical ABI passes an address.
const ADDRESS: &str = "(param $args i32)";
/// Where each of them is from there; what is not wider than a byte has another load.
const CLIENT_WORDS: [(&str, u32); 7] = [
    ("$client", 8),
    ("$client_len", 12),
    ("$user", 20),
    ("$user_len", 24),
    ("$principal", 32),
    ("$principal_len", 36),
    ("$conn", 40),
];
const CLIENT_BYTES: [(&str, u32); 2] = [("$user_some", 16), ("$principal_some", 28)];
const STEP_WORDS: [(&str, u32); 6] = [
    ("$method", 44),
    ("$method_len", 48),
    ("$data", 56),
    ("$data_len", 60),
    ("$state", 68),
    ("$state_len", 72),
];
const STEP_BYTES: [(&str, u32); 3] = [("$data_some", 52), ("$state_some", 64), ("$again", 76)];
/// The same of a message.
const MESSAGE_WORDS: [(&str, u32); 10] = [
    ("$topic", 44),
    ("$topic_len", 48),
    ("$payload", 56),
    ("$payload_len", 60),
    ("$size", 64),
    ("$type", 72),
    ("$type_len", 76),
    ("$properties", 104),
    ("$properties_len", 108),
    ("$expiry", 116),
];
const MESSAGE_BYTES: [(&str, u32); 4] =
    [("$qos", 52), ("$retain", 53), ("$type_some", 68), ("$expiry_some", 112)];
const EVENTS: &str = "(param $list i32) (param $count i32) (param $missed i64)";
const PUBLICATION: &str = "(param $topic i32) (param $topic_len i32) (param $qos i32) \
    (param $retain i32) (param $size i32)";
const LIST: &str = "(param $list i32) (param $count i32)";
const PUBLICATIONS: &str = "(param $conn i32) (param $topics i32) (param $topics_len i32) \
    (param $each i32) (param $count i32)";

impl Guest {
    pub(super) fn module(&self) -> String {
        let hooks = self.authenticate.is_some()
            || self.enhanced.is_some()
            || self.authorizer.is_some()
            || self.limits.is_some()
            || self.publish_interceptor.is_some()
            || self.delivery_interceptor.is_some();
        let drop = if hooks && !self.keeps_handles {
            format!(
                r#"(import "portcullis:gateway/types@{}" "[resource-drop]connection" (func $drop (param i32)))"#,
                self.version
            )
        } else {
            String::new()
        };
        let data: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let mut text = format!(
            r#"(module
{drop} {}
{}
(memory (export "memory") {})
(global $heap (mut i32) (i32.const {HEAP}))
(data (i32.const {DATA}) "{data}")
(func (export "cabi_realloc") (param $old i32) (param i32) (param $align i32) (param $new i32) (result i32)
  (local $at i32)
  {}
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get $new)))
  (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
    (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1)
        (i32.div_u (local.get $new) (i32.const 65536))))) (then unreachable))))
  (local.get $at))
(func $deeper (param i64) (result i64)
  (i64.add (i64.const 1) (call $deeper (i64.add (local.get 0) (i64.const 1)))))
"#,
            self.imports, self.items, self.pages, self.realloc
        );
        self.hooks(&mut text);
        text + ")"
    }

    /// The functions of all hooks.
    fn hooks(&self, text: &mut String) {
        if self.lifecycle {
            self.hook(text, "lifecycle", "init", "", &self.init);
        }
        if let Some(body) = &self.authenticate {
            let parameters = format!("{CLIENT} {SECRET}");
            self.hook(text, "authenticator", "authenticate", &parameters, body);
        }
        if let Some([methods, step]) = &self.enhanced {
            self.hook(text, "enhanced-authenticator", "methods", "", methods);
            let locals = at_address(&STEP_WORDS, &STEP_BYTES);
            self.hook_with(text, "enhanced-authenticator", "step", (ADDRESS, &locals), step);
        }
        if let Some([permissions, publish, subscribe]) = &self.authorizer {
            self.hook(text, "authorizer", "permissions", CLIENT, permissions);
            let parameters = format!("{CLIENT} {PUBLICATION}");
            self.hook(text, "authorizer", "authorize-publish", &parameters, publish);
            let parameters = format!("{CLIENT} {LIST}");
            self.hook(text, "authorizer", "authorize-subscribe", &parameters, subscribe);
        }
        if let Some(body) = &self.batch {
            let parameters = format!("{CLIENT} {LIST}");
            self.hook(text, "batch-authorizer", "authorize-publishes", &parameters, body);
        }
        if let Some(body) = &self.bulk {
            self.hook(text, "bulk-authorizer", "authorize-publications", PUBLICATIONS, body);
        }
        if let Some(body) = &self.limits {
            self.hook(text, "client-limits", "limit", CLIENT, body);
        }
        let interceptors = [
            ("publish-interceptor", "on-publish", &self.publish_interceptor),
            ("delivery-interceptor", "on-delivery", &self.delivery_interceptor),
        ];
        for (interface, name, bodies) in interceptors {
            let Some([interest, body]) = bodies else { continue };
            self.hook(text, interface, "wants", "", interest);
            let locals = at_address(&MESSAGE_WORDS, &MESSAGE_BYTES);
            self.hook_with(text, interface, name, (ADDRESS, &locals), body);
        }
        if let Some(body) = &self.observer {
            self.hook(text, "observer", "on-events", EVENTS, body);
        }
        if let Some(body) = &self.reconfigure {
            self.hook(text, "reconfiguration", "reconfigure", "", body);
        }
    }

    /// One exported function, and the one that the host calls when it has read the answer.
    fn hook(&self, text: &mut String, interface: &str, name: &str, parameters: &str, body: &str) {
        self.hook_with(text, interface, name, (parameters, ""), body);
    }

    /// The same with locals of its own.
    fn hook_with(
        &self,
        text: &mut String,
        interface: &str,
        name: &str,
        (parameters, locals): (&str, &str),
        body: &str,
    ) {
        let export = format!("portcullis:gateway/{interface}@{}#{name}", self.version);
        let end = if ["", EVENTS].contains(&parameters) || self.keeps_handles {
            ""
        } else {
            "(call $drop (local.get $conn))"
        };
        write!(
            text,
            r#"(func (export "{export}") {parameters} (result i32)
  {locals}
  (memory.fill (i32.const {ANSWER}) (i32.const 0) (i32.const 128))
  {body}
  {end}
  (i32.const {ANSWER}))
(func (export "cabi_post_{export}") (param i32)
  (global.set $heap (i32.const {HEAP}))
  {})
"#,
            self.after
        )
        .unwrap();
    }
}

/// Declares the arguments that come by their address, and loads them: those about the client, and these.
fn at_address(words: &[(&str, u32)], bytes: &[(&str, u32)]) -> String {
    let words = CLIENT_WORDS.iter().chain(words).map(|word| (word, "load"));
    let bytes = CLIENT_BYTES.iter().chain(bytes).map(|byte| (byte, "load8_u"));
    let (mut declared, mut loaded) = (String::new(), String::new());
    for ((name, offset), load) in words.chain(bytes) {
        write!(declared, "(local {name} i32) ").unwrap();
        write!(loaded, "(local.set {name} (i32.{load} offset={offset} (local.get $args))) ")
            .unwrap();
    }
    declared + &loaded
}

//! The contract, broken on purpose in each way, and extended in each way that is allowed.

use std::fs;

use crate::compare::compare;
use crate::contract::Contract;
use crate::wit;

/// The oldest copy, which every line still has.
const BASE: &str = "frozen/0.1.0";

fn text(file: &str) -> String {
    let path = wit().join(BASE).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is said of a contract that has `new` in the place of `old`, which occurs in one of its files.
fn judged(old: &str, new: &str) -> Vec<String> {
    let (host, gateway) = (text("deps/portcullis-host/host.wit"), text("gateway.wit"));
    assert!(host.contains(old) || gateway.contains(old), "{old:?} is not in the contract");
    let frozen = Contract::parse(&host, &gateway);
    let now = Contract::parse(&host.replacen(old, new, 1), &gateway.replacen(old, new, 1));
    compare(&frozen, &now)
}

/// What is written instead of what, the item that is broken, and what is said of it.
const BREAKAGES: &[(&str, &str, &str, &str)] = &[
    // An item is gone or renamed.
    ("  now-ms: func() -> u64;", "", "portcullis:host/clock.now-ms", "is gone"),
    (
        "  monotonic-ns: func()",
        "  mono-ns: func()",
        "portcullis:host/clock.monotonic-ns",
        "is gone",
    ),
    ("    alpn: func() -> option<string>;", "", "types.[method]connection.alpn", "is gone"),
    ("world everything {", "world all {", "world everything", "is gone"),
    // Signatures.
    ("now-ms: func() -> u64;", "now-ms: func() -> u32;", "clock.now-ms", "a signature is final"),
    (
        "get: func(key: string) -> option<string>;",
        "get: func(key: string, default: string) -> option<string>;",
        "config.get",
        "a signature is final",
    ),
    (
        "get: func(key: string) -> option<string>;",
        "get: func(name: string) -> option<string>;",
        "config.get",
        "a signature is final",
    ),
    (
        "init: func() -> result<_, string>;",
        "init: func() -> result<string, string>;",
        "lifecycle.init",
        "a signature is final",
    ),
    (
        "keep-alive: func() -> u16;",
        "keep-alive: func() -> u32;",
        "[method]connection.keep-alive",
        "a signature is final",
    ),
    (
        "conn: borrow<connection>, secret: secret)",
        "secret: secret)",
        "authenticator.authenticate",
        "a signature is final",
    ),
    // Records.
    (
        "    client-id: string,\n",
        "    client-id: string,\n    site: string,\n",
        "types.client",
        "the field `site` is new",
    ),
    ("    username: option<string>,\n", "", "types.client", "the field `username` is gone"),
    (
        "    connection-id: u64,",
        "    connection-id: u32,",
        "types.client",
        "the field `connection-id` was u64, is u32",
    ),
    (
        "    qos: qos,\n    retain: bool,\n",
        "    retain: bool,\n    qos: qos,\n",
        "authorizer.publication",
        "order of its fields",
    ),
    // Cases.
    (
        "    unavailable(string),\n",
        "    unavailable(string),\n    timeout,\n",
        "types.hook-error",
        "the case `timeout` is new",
    ),
    (
        "    reject(denial),",
        "    refuse(denial),",
        "authenticator.outcome",
        "the case `reject` is gone",
    ),
    ("    accept(grant),", "    accept,", "authenticator.outcome", "the case `accept` was"),
    (
        "enum effect { allow, deny }",
        "enum effect { allow, deny, log }",
        "types.effect",
        "the case `log` is new",
    ),
    (
        "enum effect { allow, deny }",
        "enum effect { deny, allow }",
        "types.effect",
        "order of its cases",
    ),
    (
        "flags actions { publish, subscribe }",
        "flags actions { publish, subscribe, receive }",
        "types.actions",
        "the flag `receive` is new",
    ),
    // Names of types, and kinds.
    ("type reason-code = u8;", "type reason-code = u16;", "types.reason-code", "a type is final"),
    (
        "enum effect { allow, deny }",
        "variant effect { allow, deny }",
        "types.effect",
        "another kind of item",
    ),
    // Worlds.
    ("  import metrics;\n", "", "host/world imports", "no longer imports portcullis:host/metrics"),
    (
        "world authentication {\n  include base;\n",
        "world authentication {\n  include base;\n  export authorizer;\n",
        "world authentication",
        "exports portcullis:gateway/authorizer now",
    ),
    ("  import types;\n  export lifecycle;", "  import types;", "world base", "no longer exports"),
];

#[test]
fn each_breakage_is_named_with_its_rule() {
    for (old, new, item, says) in BREAKAGES {
        let broken = judged(old, new);
        let said =
            broken.iter().find(|sentence| sentence.contains(item) && sentence.contains(says));
        assert!(said.is_some(), "{old:?} -> {new:?}: {item}: {says}\n{}", broken.join("\n"));
        assert!(
            broken
                .iter()
                .all(|sentence| sentence.contains("(frozen in 0.1.0)") && sentence.contains(": ")),
            "each names the version and what helps: {broken:?}"
        );
    }
}

#[test]
fn a_new_import_of_a_world_that_extensions_are_built_for_is_a_breakage() {
    let interface = "interface lamp {\n  on: func();\n}\n\nworld imports {\n  import lamp;\n";
    let broken = judged("world imports {\n", interface);
    let expected =
        "portcullis:host/world imports (frozen in 0.1.0) imports portcullis:host/lamp now";
    assert!(broken.iter().any(|sentence| sentence.starts_with(expected)), "{broken:?}");
}

#[test]
fn what_is_added_breaks_nothing() {
    for (old, new) in [
        ("interface clock {\n", "interface clock {\n  zone: func() -> string;\n"),
        ("interface clock {\n", "interface lamp {\n  on: func();\n}\n\ninterface clock {\n"),
        (
            "interface clock {\n",
            "interface clock {\n  record pair { a: u8, b: u8 }\n  both: func() -> pair;\n",
        ),
        (
            "    alpn: func() -> option<string>;",
            "    alpn: func() -> option<string>;\n    country: func() -> option<string>;",
        ),
        (
            "world base {\n",
            "interface observer {\n  on-event: func(what: string);\n}\n\nworld observing {\n  export observer;\n}\n\nworld base {\n",
        ),
        (
            "world everything {\n",
            "interface observer {\n  on-event: func(what: string);\n}\n\nworld everything {\n  export observer;\n",
        ),
        ("  /// Milliseconds since 1970", "  /// The time: milliseconds since 1970"),
    ] {
        assert_eq!(judged(old, new), Vec::<String>::new(), "{new:?}");
    }
}

#[test]
fn a_later_version_of_the_line_is_compared_and_another_line_is_not() {
    let (host, gateway) = (text("deps/portcullis-host/host.wit"), text("gateway.wit"));
    let frozen = Contract::parse(&host, &gateway);
    let at = |version: &str| {
        let versioned = |text: &str| text.replace("@0.1.0", &format!("@{version}"));
        Contract::parse(&versioned(&host), &versioned(&gateway))
    };
    let later = at("0.1.7");
    assert_eq!((later.line(), compare(&frozen, &later)), ("0.1", Vec::new()));
    assert_ne!(at("0.2.0").line(), frozen.line());
    assert_eq!((at("1.2.0").line(), at("1.9.3").line()), ("1", "1"));
}

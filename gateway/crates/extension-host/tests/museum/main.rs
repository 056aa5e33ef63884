//! Components that were built for earlier states of the contract: each still loads and does what it did.
//!
//! `tests/museum/README.md` tells what each piece is. What is laid down there is never built again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../guest/mod.rs"]
mod guest;
mod pieces;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::Guest;
use mqtt::{QoS, ReasonCode};
use portcullis_extension_host::{
    AuthenticationOutcome, Capability, CertificateInfo, Connecting, Continuation, DeliveryAction,
    Extension, ExtensionSpec, Facilities, Intercepted, Observed, Progress, Publication,
    PublishAction, Step, SubscriptionRequest, Verdict, Verdicts,
};
use support::outside::{Taken, ordering};
use support::{client, host, identity, spec};

/// A piece is kept for ever.
const PIECE_BYTES_MAX: usize = 60 * 1024;

fn museum() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/museum")
}

#[test]
fn every_piece_still_does_what_it_did() {
    let mut shown = 0;
    for version in folders(&museum()) {
        for path in folders(&version) {
            if path.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.len() <= PIECE_BYTES_MAX, "{}: {} bytes", path.display(), bytes.len());
            println!("{}: {} bytes", path.display(), bytes.len());
            let name = path.file_stem().unwrap().to_string_lossy();
            match &*name {
                "password" => password(bytes),
                "x509" => x509(bytes),
                "capabilities" => capabilities(bytes),
                "authorization" => authorization(bytes),
                "enhanced-authentication" => enhanced(bytes),
                "interception" => interception(bytes),
                "observation" => observation(bytes),
                "batch-authorization" => batches(bytes),
                "bulk-authorization" => bulk(bytes),
                "client-limits" => limits(bytes),
                other => panic!("{other} is laid down and nobody says what it does"),
            }
            shown += 1;
        }
    }
    assert!(shown >= 9, "{shown} pieces");
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|it| it == "wasm"))
        .collect();
    found.sort();
    found
}

fn load(component: Vec<u8>, grants: &[Capability], config: &[(&str, &str)]) -> Extension {
    load_with(component, grants, config, Facilities::default())
}

fn settings(stated: &[(&str, &str)]) -> BTreeMap<String, String> {
    stated.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn load_with(
    component: Vec<u8>,
    grants: &[Capability],
    config: &[(&str, &str)],
    facilities: Facilities,
) -> Extension {
    let spec = ExtensionSpec {
        component: component.into(),
        grants: grants.iter().copied().collect(),
        config: settings(config),
        facilities,
        ..spec(&Guest::default())
    };
    host().load(spec).unwrap()
}

/// The principal of a client that is accepted.
fn accepted(extension: &Extension, who: &Arc<Connecting>, secret: Option<&[u8]>) -> String {
    match extension.authenticate(who, secret).result.unwrap() {
        AuthenticationOutcome::Accept(grant) => grant.principal.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The users file with one user, and its passwords.
fn password(component: Vec<u8>) {
    let cost = auth::password::Cost { memory_kib: 64, iterations: 1, lanes: 1 };
    let hash = auth::password::hash(b"right", &[7; 16], cost).unwrap();
    let users = format!("# users\nuser:{hash}\n");
    let grants = [Capability::Config, Capability::Credentials, Capability::Log];
    let extension = load(component, &grants, &[("users", &users)]);
    assert_eq!(accepted(&extension, &client("c1"), Some(b"right")), "user");
    let wrong = extension.authenticate(&client("c1"), Some(b"wrong")).result.unwrap();
    assert!(matches!(wrong, AuthenticationOutcome::Reject { .. }), "{wrong:?}");
    let empty = load_error(&extension);
    assert!(empty.contains("users"), "{empty}");
}

/// What the extension says of an empty configuration.
fn load_error(extension: &Extension) -> String {
    let empty = extension.reconfigure(BTreeMap::new(), Arc::default(), Facilities::default());
    empty.unwrap_err().to_string()
}

fn x509(component: Vec<u8>) {
    let extension = load(component, &[Capability::Config, Capability::Log], &[]);
    let certificate = CertificateInfo {
        sha256: "ab".repeat(32),
        subject: "CN=meter-7,O=plant".into(),
        common_name: Some("meter-7".into()),
        issuer: "CN=plant".into(),
        serial: "01".into(),
        not_after_unix_s: 2_000_000_000,
        san_dns: Vec::new(),
        san_uri: Vec::new(),
        san_email: Vec::new(),
        san_ip: Vec::new(),
    };
    let with = Connecting { certificate: Some(certificate), ..Connecting::clone(&client("c1")) };
    assert_eq!(accepted(&extension, &Arc::new(with), None), "meter-7");
    let without = extension.authenticate(&client("c1"), None).result.unwrap();
    assert!(matches!(without, AuthenticationOutcome::Abstain), "{without:?}");
}

/// It traps where a function of the host or a getter of the connection does not give what it gave.
fn capabilities(component: Vec<u8>) {
    let extension = load(component, &Capability::ALL, &[("key", "value")]);
    for _ in 0..2 {
        assert_eq!(accepted(&extension, &client("c1"), None), "c1");
    }
    assert_eq!(extension.metrics().len(), 2, "a counter and a gauge");
}

fn authorization(component: Vec<u8>) {
    let extension = load(component, &[], &[]);
    let set = extension.permissions(&identity(), &client("c1")).result.unwrap().unwrap();
    let rule = &set.rules[0];
    assert_eq!((&*rule.filter, set.fallback), ("up/${client-id}/#", auth::Fallback::Ask));
    let publish = |topic| {
        let what =
            Publication { topic, qos: mqtt::QoS::AtLeastOnce, retain: false, payload_len: 1 };
        extension.authorize_publish(&identity(), &client("c1"), &what).result.unwrap()
    };
    assert!(matches!(publish("a"), Verdict::Allow { .. }));
    assert!(
        matches!(publish("x"), Verdict::Deny { code, .. } if code == mqtt::ReasonCode::NotAuthorized)
    );
    let request =
        SubscriptionRequest { filter: "a/#", share_group: Some("g"), qos: mqtt::QoS::ExactlyOnce };
    let answer = extension.authorize_subscribe(&identity(), &client("c1"), &[request]);
    assert!(matches!(answer.result.unwrap()[..], [Verdict::Abstain]));
}

fn enhanced(component: Vec<u8>) {
    let extension = load(component, &[], &[]);
    assert!(extension.offers("ASK") && !extension.offers("OTHER"));
    let step = |data: Option<&[u8]>, state: Option<&Continuation>| {
        let step = Step { method: "ASK", data, state };
        extension.step(None, &client("c1"), step).result.unwrap()
    };
    let Progress::More(challenge) = step(None, None) else { panic!("it asks first") };
    assert_eq!(challenge.data.as_deref(), Some(&b"?"[..]));
    let Progress::Accept { grant, data } = step(Some(b"yes"), Some(&challenge.state)) else {
        panic!("the right word")
    };
    assert_eq!((&*grant.principal, data.as_deref()), ("c1", Some(&b"!"[..])));
    assert!(matches!(step(Some(b"no"), Some(&challenge.state)), Progress::Reject { .. }));
}

fn interception(component: Vec<u8>) {
    let extension = load(component, &[Capability::Config, Capability::Log], &[("cleared", "boss")]);
    let message = |topic| Intercepted {
        topic,
        qos: QoS::AtLeastOnce,
        retain: false,
        payload: b"a,b",
        content_type: Some("text/plain"),
        response_topic: Some("r"),
        correlation_data: Some(b"7"),
        user_properties: vec![("k", "v")],
        expiry_seconds: Some(60),
    };
    let publish = |topic| {
        extension.intercept_publish(&identity(), &client("c1"), &message(topic)).result.unwrap()
    };
    assert_eq!(publish("elsewhere"), PublishAction::Pass);
    assert_eq!(publish("drop/a"), PublishAction::Discard);
    let PublishAction::Refuse { code, reason } = publish("refuse/a") else { panic!("it refuses") };
    assert_eq!(code, ReasonCode::PayloadFormatInvalid);
    assert_eq!(reason.as_deref(), Some("nothing is wanted here"));
    let PublishAction::Replace(parts) = publish("split/a") else { panic!("it splits") };
    let part = |at: usize| (parts[at].topic.as_ref().unwrap().as_str(), parts[at].payload.clone());
    assert_eq!(part(1), ("split-out/2", Some(b"b".to_vec())));
    let PublishAction::Replace(shaped) = publish("shape/a") else { panic!("it shapes") };
    assert_eq!((shaped[0].qos, shaped[0].retain), (Some(QoS::AtMostOnce), Some(true)));
    assert_eq!((shaped[0].expiry_seconds, shaped.len()), (Some(60), 1));
    let deliver = |topic| {
        extension.intercept_delivery(&identity(), &client("c1"), &message(topic)).result.unwrap()
    };
    assert_eq!(deliver("hide/a"), DeliveryAction::Discard);
    let DeliveryAction::Replace(masked) = deliver("secret/a") else { panic!("it masks") };
    assert_eq!(masked.payload.as_deref(), Some(&b"***"[..]));
}

fn observation(component: Vec<u8>) {
    let taken = Arc::new(Taken::default());
    let grants = [Capability::Broker, Capability::Config, Capability::Log];
    let extension = load_with(component, &grants, &[("prefix", "seen")], ordering(&taken));
    let event = Observed {
        at_ms: 7,
        client_id: "c1",
        principal: Some("p1"),
        kind: "subscribed",
        details: vec![("filter", "a/#")],
    };
    extension.observe(std::slice::from_ref(&event), 3).result.unwrap();
    extension
        .reconfigure(settings(&[("prefix", "heard")]), Arc::default(), ordering(&taken))
        .unwrap();
    extension.observe(&[event], 0).result.unwrap();
    let orders = format!("{:?}", taken.0.lock().unwrap());
    for part in ["seen/subscribed", "heard/subscribed"] {
        assert!(orders.contains(part), "{part} is not in {orders}");
    }
    let wrong = extension.reconfigure(BTreeMap::new(), Arc::default(), ordering(&taken));
    assert!(wrong.unwrap_err().to_string().contains("prefix"));
}

fn batches(component: Vec<u8>) {
    let grants = [Capability::Config, Capability::Log];
    let extension = load(component, &grants, &[("prefix", "own"), ("remember-ms", "0")]);
    assert!(extension.hooks().batch_authorizer);
    judges_several(&extension);
}

fn bulk(component: Vec<u8>) {
    let grants = [Capability::Config, Capability::Log];
    let extension = load(component, &grants, &[("prefix", "own"), ("remember-ms", "0")]);
    assert!(extension.hooks().bulk_authorizer && !extension.hooks().batch_authorizer);
    judges_several(&extension);
}

fn judges_several(extension: &Extension) {
    let what = |topic| Publication { topic, qos: QoS::AtLeastOnce, retain: false, payload_len: 1 };
    let (who, conn) = (identity(), client("c1"));
    let mut sitting = (0..1000)
        .find_map(|_| {
            // Only who has been quick is asked so.
            let single = extension.authorize_publish(&who, &conn, &what("own/a"));
            assert!(matches!(single.result.unwrap(), Verdict::Allow { .. }));
            extension.sit(&who, &conn)
        })
        .unwrap();
    let verdicts = sitting.authorize_publishes(&[what("own/a"), what("other/a")]);
    let Some(Ok(Verdicts::Each(verdicts))) = verdicts else { panic!("{verdicts:?}") };
    assert!(matches!(verdicts[..], [Verdict::Allow { .. }, Verdict::Deny { .. }]), "{verdicts:?}");
}

fn limits(component: Vec<u8>) {
    let extension = load(component, &[], &[]);
    let limits = extension.limits(&identity(), &client("c1")).result.unwrap();
    let all =
        "messages=10/s messages-burst=20 bytes=1000/s bytes-burst=2000 inflight=3 subscriptions=4";
    assert_eq!(limits.to_string(), all);
}

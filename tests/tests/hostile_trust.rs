//! What somebody can put in the way of the gateway on its own disk: exchanged components, wrong signatures, forged
//! code. One gateway meets it all, and serves its clients.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and says what it saw"
)]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;
#[path = "trust/layout.rs"]
mod layout;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use auth::signature::{Manifest, Signature, SigningKey};
use guest::{ACCEPT, Fallback, Guest};
use layout::{Layout, sha256};
use mqtt::ReasonCode;
use portcullis_tests::{Gateway, Site, free_port};

/// The key that the gateway trusts, and one that it does not.
const TRUSTED: [u8; 32] = [1; 32];
const STRANGER: [u8; 32] = [2; 32];

/// Lets everybody in who may do everything, and imports the log. Another number is another component.
fn policy(number: u8) -> Vec<u8> {
    let mut guest = Guest::authenticator(ACCEPT)
        .granting(&[guest::allow("#")], Fallback::Deny)
        .import("portcullis:host/log", "event", "$event", "(param i32 i32 i32 i32 i32)");
    guest.put(&[number]);
    guest.build()
}

/// What is true of [`policy`].
fn manifest(component: &[u8]) -> Manifest {
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Manifest {
        name: "policy".to_owned(),
        release: None,
        component: sha256(component),
        hooks: texts(&["authenticator", "authorizer"]),
        grants: texts(&["log"]),
    }
}

fn sign(manifest: Manifest, key: [u8; 32]) -> String {
    let key = SigningKey::from_seed(&key).expect("a key");
    Signature::make(manifest, &key).expect("a signature").text()
}

/// A gateway with a listener whose chain is the extension `policy`, which must be signed.
struct Bench<'a> {
    site: &'a Site,
    gateway: Gateway<'a>,
    port: u16,
}

impl Bench<'_> {
    fn configuration(port: u16, component: &str) -> String {
        let key = SigningKey::from_seed(&TRUSTED).expect("a key").public();
        format!(
            "[listeners.policy]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
             [extensions.policy]\ncomponent = \"{component}\"\ngrants = [\"log\"]\nrequire-signature = true\n\
             [trust.keys]\nsite = \"{key}\"\n"
        )
    }

    /// Puts a component in place, with a signature if there is one.
    fn put(&self, component: &[u8], signature: Option<&str>) {
        put(self.site, component, signature);
    }

    /// What was put in place is refused with these words, and what ran before goes on.
    fn refuses(&self, case: &str, words: &str) {
        let mark = self.gateway.log.mark();
        let changed = self.gateway.reload();
        assert!(changed.is_empty(), "{case}: {changed:?}");
        let refused = self.gateway.log.events(mark, "extension not reloaded; it goes on as it is");
        let error = refused.first().and_then(|event| event["error"].as_str()).unwrap_or_default();
        assert!(error.contains(words), "{case}: \"{words}\" is not in \"{error}\"");
        self.serves(case, error);
    }

    /// Loads `component` by its kept code, which is refused with these words, and compiled again.
    fn compiles_again(&self, case: &str, words: &str, component: &[u8]) {
        let mark = self.gateway.log.mark();
        self.put(component, Some(&sign(manifest(component), TRUSTED)));
        assert_eq!(self.gateway.reload().len(), 1, "{case}:\n{}", self.gateway.log.text());
        let says = "compiled code refused; the component is compiled again";
        let refused = self.gateway.log.events(mark, says);
        let why = refused.first().and_then(|event| event["why"].as_str()).unwrap_or_default();
        assert!(why.contains(words), "{case}: \"{words}\" is not in \"{why}\"");
        self.serves(case, why);
    }

    fn serves(&self, case: &str, said: &str) {
        let mut client = self.gateway.options(case).plain_at(self.port).connect();
        let code = client.publish_and_wait("any/topic", b"payload", false);
        assert_eq!(code, ReasonCode::NoMatchingSubscribers, "{case}");
        println!("case {case}: refused with \"{said}\"; gateway serves");
    }
}

fn put(site: &Site, component: &[u8], signature: Option<&str>) {
    fs::write(site.path("policy.wasm"), component).expect("the component is written");
    let beside = site.path("policy.wasm.sig");
    match signature {
        Some(text) => fs::write(beside, text).expect("the signature is written"),
        // There may be none.
        None => drop(fs::remove_file(beside)),
    }
}

/// Where the code of a component is kept.
fn kept(site: &Site, component: &[u8]) -> PathBuf {
    let digits: String = sha256(component).iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = fs::read_dir(site.path("data/compiled")).expect("code is kept");
    let mut paths = folder.map(|entry| entry.expect("an entry").path());
    let is_of = |path: &PathBuf| path.to_string_lossy().contains(&digits);
    paths.find(is_of).expect("the code of this component is kept")
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode can be changed");
}

#[test]
fn one_gateway_meets_it_all() {
    let (site, port) = (Site::new(), free_port());
    let first = policy(1);
    put(&site, &first, Some(&sign(manifest(&first), TRUSTED)));
    site.configure(&Bench::configuration(port, "policy.wasm"));
    let mut bench = Bench { site: &site, gateway: Gateway::start_with(&site, 3), port };
    signatures(&bench);
    manifests(&bench);
    code(&bench);
    layouts(&bench);
    bench.gateway.assert_sound();
}

fn signatures(bench: &Bench<'_>) {
    let (running, other) = (policy(1), policy(2));
    let good = sign(manifest(&other), TRUSTED);
    bench.put(&other, None);
    bench.refuses("unsigned-where-required", "does not exist, and require-signature asks");
    bench.put(&other, Some(&good.replacen("\"signature\": \"", "\"signature\": \"AAAA", 1)));
    bench.refuses("signature-damaged", "\"signature\" that is not 64 bytes");
    let signature = Signature::parse(&good).expect("a signature");
    let bytes = sign(manifest(&running), TRUSTED);
    let theirs = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        value["signature"].as_str().expect("a text").to_owned()
    };
    bench.put(&other, Some(&good.replace(&theirs(&good), &theirs(&bytes))));
    bench.refuses("signature-wrong", &format!("was not made by the key {}", signature.key()));
    bench.put(&other, Some(&sign(manifest(&other), STRANGER)));
    bench.refuses("key-unknown", "which [trust.keys] does not have");
    let stolen = sign(manifest(&other), STRANGER);
    let stranger = Signature::parse(&stolen).expect("a signature").key().to_string();
    bench.put(&other, Some(&stolen.replace(&stranger, &signature.key().to_string())));
    bench.refuses("key-pretended", "was not made by the key");
    bench.put(&other, Some(&bytes));
    bench.refuses("signature-of-another-component", "is for another component");
    bench.put(&other, Some("{}"));
    bench.refuses("signature-empty", "missing field");
    bench.put(&other, Some(&"[".repeat(1 << 20)));
    bench.refuses("signature-huge", "a signature has at most");
}

fn manifests(bench: &Bench<'_>) {
    let other = policy(2);
    let lie = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest(&other);
        change(&mut manifest);
        sign(manifest, TRUSTED)
    };
    bench.put(&other, Some(&lie(&|it| it.name = "acl".to_owned())));
    bench.refuses("manifest-of-another-extension", "for an extension \"acl\", not for \"policy\"");
    bench.put(&other, Some(&lie(&|it| it.grants.clear())));
    bench.refuses("manifest-asks-for-less", "it imports portcullis:host/log");
    bench.put(&other, Some(&lie(&|it| it.hooks.retain(|hook| hook != "authorizer"))));
    bench.refuses("manifest-hides-a-hook", "it exports portcullis:gateway/authorizer");
    bench.put(&other, Some(&lie(&|it| it.hooks.extend(["observer".to_owned()]))));
    bench.refuses("manifest-invents-a-hook", "it does not export portcullis:gateway/observer");
    let added = lie(&|_| ()).replacen("{", "{\"trusted\": true,", 1);
    bench.put(&other, Some(&added));
    bench.refuses("manifest-says-more", "unknown field `trusted`");
}

fn code(bench: &Bench<'_>) {
    let (first, second, third) = (policy(1), policy(2), policy(3));
    let load = |component: &[u8]| {
        bench.put(component, Some(&sign(manifest(component), TRUSTED)));
        assert_eq!(bench.gateway.reload().len(), 1, "{}", bench.gateway.log.text());
    };
    for component in [&second, &third, &first] {
        load(component);
    }
    let (of_second, of_third) = (kept(bench.site, &second), kept(bench.site, &third));
    let good = fs::read(&of_second).expect("code");
    let forged: [(&str, &str, Vec<u8>); 5] = [
        ("code-with-one-bit-changed", "not what this gateway wrote", {
            let mut bytes = good.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }),
        ("code-cut-short", "not what this gateway wrote", good[..good.len() - 7].to_vec()),
        ("code-empty", "not what this gateway wrote", Vec::new()),
        ("code-of-another-component", "belongs to another", fs::read(&of_third).expect("code")),
        ("code-of-another-gateway", "not what this gateway wrote", of_another_gateway(&second)),
    ];
    for (case, words, bytes) in forged {
        fs::write(&of_second, bytes).expect("code is written");
        bench.compiles_again(case, words, &second);
        assert_eq!(fs::read(&of_second).expect("code").len(), good.len(), "{case}: it is repaired");
        load(&first);
    }
    let elsewhere = bench.site.path("elsewhere");
    fs::rename(&of_second, &elsewhere).expect("code is moved");
    symlink(&elsewhere, &of_second).expect("a link");
    bench.compiles_again("code-behind-a-link", "is a link", &second);
    load(&first);
    chmod(&of_second, 0o666);
    bench.compiles_again("code-writable-by-others", "can be written by others", &second);
    load(&first);
    let folder = bench.site.path("data/compiled");
    chmod(&folder, 0o777);
    bench.compiles_again("folder-writable-by-others", "can be written by others", &second);
    chmod(&folder, 0o700);
    load(&first);
}

/// What a gateway with a key of its own keeps for a component.
fn of_another_gateway(component: &[u8]) -> Vec<u8> {
    let (site, port) = (Site::new(), free_port());
    put(&site, component, Some(&sign(manifest(component), TRUSTED)));
    site.configure(&Bench::configuration(port, "policy.wasm"));
    let gateway = Gateway::start_with(&site, 3);
    let code = fs::read(kept(&site, component)).expect("code");
    drop(gateway);
    code
}

fn layouts(bench: &Bench<'_>) {
    let component = policy(4);
    let signature = sign(manifest(&component), TRUSTED);
    let layout = Layout::new(bench.site.path("layout"));
    let wasm = layout.blob("application/wasm", &component);
    let signed = layout.blob(layout::SIGNATURE, signature.as_bytes());
    let refuses = |case: &str, words: &str| bench.refuses(case, words);
    bench.site.configure(&Bench::configuration(bench.port, "oci:layout:1.0"));

    layout.index(&[layout.manifest("1.0", &[wasm.clone(), signed.clone()])]);
    let blob = layout.path(&wasm);
    let mut changed = component.clone();
    *changed.last_mut().expect("a component has bytes") ^= 1;
    fs::write(&blob, changed).expect("the blob is written");
    refuses("layout-with-a-changed-blob", "changed or damaged");
    fs::write(&blob, &component).expect("the blob is written");

    let mut outside = layout.manifest("1.0", std::slice::from_ref(&wasm));
    outside["digest"] = "sha256:../../../policy.wasm".into();
    layout.index(&[outside]);
    refuses("layout-that-points-outside", "is not \"sha256:\" and 64 hexadecimal digits");

    layout.index(&[layout.manifest("1.1", &[wasm.clone(), signed.clone()])]);
    refuses("layout-without-the-tag", "it has no \"1.0\"; it has 1.1");

    layout.index(&[layout.manifest("1.0", std::slice::from_ref(&wasm))]);
    refuses("layout-without-a-signature", "require-signature asks");

    let mut huge = wasm.clone();
    huge["size"] = (1_u64 << 40).into();
    layout.index(&[layout.manifest("1.0", &[huge, signed.clone()])]);
    refuses("layout-with-a-huge-blob", "the most is");

    layout.index(&[layout.manifest("1.0", &[wasm, signed])]);
    assert_eq!(bench.gateway.reload().len(), 1, "{}", bench.gateway.log.text());
    let mut client = bench.gateway.options("layout").plain_at(bench.port).connect();
    assert!(client.pings(), "what is right is loaded");
}

//! `examples/gateway.toml` is the reference: it is valid, and what it calls a default is one.

use std::io;
use std::path::Path;

use auth::jwt;
use portcullis_config::{
    Bind, Checked, ClientAuth, Engine, Expected, FileProbe, Found, Grant, Judgement, KeySource,
    OnFailure, TlsVersion, Transport, parse,
};

const REFERENCE: &str = include_str!("../../../../examples/gateway.toml");

/// Every file is there.
struct Everything;

impl FileProbe for Everything {
    fn probe(&self, path: &Path) -> io::Result<Found> {
        Ok(if path.extension().is_some() { Found::File } else { Found::Directory })
    }

    fn uid(&self) -> Option<u32> {
        Some(998)
    }
}

fn checked(text: &str) -> Result<Checked, String> {
    parse(text, Path::new("/etc/portcullis/gateway.toml"), &Everything)
        .map_err(|report| report.to_string())
}

#[test]
fn the_reference_is_valid() {
    let checked = checked(REFERENCE).unwrap();
    let names: Vec<_> = checked.listeners.iter().map(|listener| &*listener.name).collect();
    assert_eq!(names, ["local", "machines", "panel", "plant", "programs", "roaming"]);
    let Transport::Quic(quic) = &checked.listeners[5].transport else { panic!() };
    assert_eq!((quic.retry_from, quic.receive_window), (64, 256 << 10));
    assert_eq!(checked.listeners[0].transport, Transport::Tcp);
    let Transport::Tls(tls) = &checked.listeners[1].transport else { panic!() };
    assert_eq!(tls.client_auth, ClientAuth::Required("/etc/portcullis/pki/ca.pem".into()));
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert_eq!(tls.revocation.lists, [Path::new("/etc/portcullis/pki/crl.pem")]);
    assert_eq!(tls.revocation.unknown, Judgement::Allow);
    assert_eq!(tls.certificates[0].cert, Path::new("/etc/portcullis/pki/partner.pem"));
    assert_eq!(tls.certificates[0].key, Path::new("/etc/portcullis/pki/partner.key"));
    let web = checked.listeners[2].web.as_ref().map(|web| (&*web.path, &*web.origins));
    assert_eq!(web, Some(("/mqtt", &[][..])));
    assert!(matches!(checked.listeners[2].transport, Transport::Tls(_)));
    assert_eq!(checked.listeners[3].chain, ["password", "acl"]);
    assert_eq!(checked.listeners[3].web, None);
    let programs = Bind::Unix { path: "/run/portcullis/mqtt.sock".into(), mode: 0o660 };
    assert_eq!(checked.listeners[4].bind, programs);
    let names: Vec<_> = checked.extensions.iter().map(|extension| &*extension.name).collect();
    assert_eq!(names, ["acl", "fleet", "jwt", "password", "x509"]);
    let fleet = &checked.extensions[1];
    assert_eq!((fleet.key_value.max_keys, fleet.key_value.max_bytes), (10_000, 1 << 20));
    assert_eq!(fleet.connections[0].url, "https://inventory.example.com/api/v1/");
    assert_eq!((fleet.broker.publish[0].as_str(), fleet.broker.rate), ("fleet/#", 100));
    let messages = &fleet.messages;
    assert_eq!((messages.publish[0].as_str(), messages.to[0].as_str()), ("fleet/+/raw", "fleet/#"));
    assert_eq!((messages.deliver.len(), messages.on_failure), (1, OnFailure::Refuse));
    let key_sets: Vec<_> = checked.extensions[2].key_sets.iter().map(|set| &*set.name).collect();
    assert_eq!(key_sets, ["devices", "maintenance", "partner", "plant"]);
    let plant = &checked.extensions[2].key_sets[3];
    assert_eq!(plant.audience, Expected::OneOf(vec!["mqtt".into(), "plant".into()]));
    assert_eq!((plant.leeway.as_secs(), plant.max_token_age), (30, None));
    let policy = plant.policy();
    let texts =
        |texts: &[&str]| jwt::Expected::OneOf(texts.iter().map(|text| (*text).into()).collect());
    assert_eq!(policy.algorithms, [jwt::Algorithm::Rs256, jwt::Algorithm::Es256]);
    assert_eq!(policy.issuers, texts(&["https://id.example.com/"]));
    assert_eq!(policy.audiences, texts(&["mqtt", "plant"]));
    assert_eq!(
        (policy.leeway_s, policy.max_age_s, policy.expiry),
        (30, None, jwt::Expiry::Required)
    );
    let KeySource::Url(url) = &plant.source else { panic!() };
    assert_eq!((url.refresh.as_secs(), url.max_stale.as_secs()), (3600, 86_400));
    let password = &checked.extensions[3];
    assert_eq!(password.component, Path::new("/etc/portcullis/extensions/password.wasm"));
    assert_eq!(password.sha256.map(|digest| (digest[0], digest[31])), Some((0xe3, 0x55)));
    assert!(password.grants.iter().eq(&[Grant::Log, Grant::Config, Grant::Credentials]));
    assert_eq!(password.config["deny-unknown"], "true");
    assert_eq!(password.files["users"], Path::new("/etc/portcullis/users.txt"));
    let Engine::Sled { path, cache, .. } = &checked.store.engine else { panic!() };
    assert_eq!(path, Path::new("/var/lib/portcullis/store"));
    assert_eq!(*cache, 16 << 20);
}

#[test]
fn what_is_called_a_default_is_one() {
    let mut stated = String::new();
    let mut defaults = 0;
    for line in REFERENCE.lines() {
        match line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            Some(setting) => {
                defaults += 1;
                stated.push_str(setting);
            }
            None => stated.push_str(line),
        }
        stated.push('\n');
    }
    assert!(defaults > 20, "only {defaults} defaults are shown");
    assert_eq!(checked(&stated).unwrap(), checked(REFERENCE).unwrap());
}

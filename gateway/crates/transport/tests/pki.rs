//! The private authority: what its files hold, and that none is ever overwritten.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_transport::pki::{self, CA_VALIDITY, LEAF_VALIDITY, PkiError};
use portcullis_transport::{
    Address, Bind, BindError, Certificate, ClientAuth, Kind, Listener, RevocationPolicy, Settings,
    TlsConfigError, TlsSettings, TlsVersion,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

#[test]
fn the_files_hold_what_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let names = ["gate.plant.example".to_owned(), "10.1.2.3".to_owned(), "localhost".to_owned()];
    let made = pki::create(dir.path(), &names, now).unwrap();

    for (path, mode) in [
        (&made.ca_cert, 0o644),
        (&made.ca_key, 0o600),
        (&made.server_cert, 0o644),
        (&made.server_key, 0o600),
    ] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing else stays");

    let chain = chain(&made.server_cert);
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1..], self::chain(&made.ca_cert));
    let leaf = Certificate::from_der(&chain[0]).unwrap();
    assert_eq!(leaf.san_dns[0], "localhost");
    assert!(leaf.san_dns.contains(&"gate.plant.example".to_owned()));
    assert_eq!(leaf.san_dns.iter().filter(|name| *name == "localhost").count(), 1);
    assert_eq!(leaf.san_ip, ["127.0.0.1", "::1", "10.1.2.3"]);
    assert_eq!(leaf.not_after_unix_s, unix(now + LEAF_VALIDITY));
    assert_eq!(leaf.serial.len(), 32);

    let (_, authority) = X509Certificate::from_der(&chain[1]).unwrap();
    let constraints = authority.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    let usage = authority.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    let not_after = Certificate::from_der(&chain[1]).unwrap().not_after_unix_s;
    assert_eq!(not_after, unix(now + CA_VALIDITY));

    let (_, server) = X509Certificate::from_der(&chain[0]).unwrap();
    let purposes = server.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && !purposes.client_auth);
    assert_eq!(server.basic_constraints().unwrap().map(|found| found.value.ca), Some(false));
}

#[test]
fn a_second_start_keeps_everything_and_a_cut_one_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let make = || pki::create(dir.path(), &[], SystemTime::now());
    let made = make().unwrap();
    let contents = |path: &Path| fs::read(path).unwrap();
    let files = [&made.ca_cert, &made.ca_key, &made.server_cert, &made.server_key];
    let before: Vec<_> = files.iter().map(|path| contents(path)).collect();
    make().unwrap();
    assert_eq!(before, files.iter().map(|path| contents(path)).collect::<Vec<_>>());

    // As a power cut between two files leaves it.
    fs::remove_file(&made.server_cert).unwrap();
    fs::write(dir.path().join("server.pem.new"), "half of").unwrap();
    make().unwrap();
    assert_ne!(contents(&made.server_cert), before[2]);
    assert_eq!(contents(&made.server_key), before[3]);
    listen(&made, &made.server_key.clone()).unwrap();

    // With the authority's key kept elsewhere the gateway still starts.
    fs::remove_file(&made.ca_key).unwrap();
    make().unwrap();
    fs::remove_file(&made.server_cert).unwrap();
    let error = make().unwrap_err();
    assert!(error.to_string().contains("ca.key"), "{error}");
}

#[test]
fn a_board_whose_clock_is_not_set_gets_certificates_of_today() {
    let dir = tempfile::tempdir().unwrap();
    let made = pki::create(dir.path(), &[], UNIX_EPOCH + Duration::from_secs(7)).unwrap();
    let leaf = Certificate::from_der(&chain(&made.server_cert)[0]).unwrap();
    assert!(leaf.not_after_unix_s > unix(SystemTime::now()));
}

#[test]
fn a_client_certificate_is_issued_once_and_by_a_sound_name() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let out = dir.path().join("pump.7");
    assert!(pki::issue_client(dir.path(), "pump", &out, now).is_err(), "there is no authority");
    pki::create(dir.path(), &[], now).unwrap();
    let made = pki::issue_client(dir.path(), "pump", &out, now).unwrap();
    assert_eq!(made.cert, dir.path().join("pump.7.pem"));
    assert_eq!(fs::metadata(&made.key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = pki::issue_client(dir.path(), "pump", &out, now).unwrap_err();
    assert!(matches!(again, PkiError::Exists { .. }), "{again}");
    for name in ["", "a\nb", &"x".repeat(65)] {
        let error = pki::issue_client(dir.path(), name, &dir.path().join("n"), now).unwrap_err();
        assert!(matches!(error, PkiError::Name { .. }), "{error}");
    }
}

#[test]
fn names_that_no_certificate_can_hold_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", "a b", "-a", "a..b", "müll", "a:1883"] {
        let error = pki::create(dir.path(), &[name.to_owned()], SystemTime::now()).unwrap_err();
        assert!(matches!(error, PkiError::Name { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn certificates_are_read_without_trust_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let made = pki::create(dir.path(), &[], SystemTime::now()).unwrap();
    let der = chain(&made.ca_cert).remove(0);
    for end in 0..der.len() {
        assert!(Certificate::from_der(&der[..end]).is_err(), "{end} bytes");
    }
    let error = Certificate::from_der(&[&der[..], b"x"].concat()).unwrap_err();
    assert!(error.to_string().contains("1 bytes follow"), "{error}");
    // Whatever a bit flip does, it does not panic.
    for position in 0..der.len() {
        let mut flipped = der.clone();
        flipped[position] ^= 0x10;
        let _ = Certificate::from_der(&flipped);
    }
}

#[tokio::test]
async fn unusable_settings_say_what_is_wrong_where() {
    let dir = tempfile::tempdir().unwrap();
    let made = pki::create(dir.path(), &[], SystemTime::now()).unwrap();
    let error = listen(&made, &made.ca_key.clone()).unwrap_err().to_string();
    assert!(error.contains("ca.key") && error.contains("does not belong"), "{error}");
    let error = listen(&made, &made.server_cert.clone()).unwrap_err().to_string();
    assert!(error.contains("holds no unencrypted PRIVATE KEY block"), "{error}");
    let error = listen(&made, &dir.path().join("absent")).unwrap_err().to_string();
    assert!(error.contains("tls.key") && error.contains("is not readable"), "{error}");

    let unmatched = TlsSettings { client_auth: ClientAuth::Required, ..settings(&made) };
    let error = bind(unmatched).unwrap_err();
    assert!(matches!(error, BindError::Tls(TlsConfigError::ClientCaMissing)), "{error}");
    let unchecked = TlsSettings { client_ca: Some(made.ca_cert.clone()), ..settings(&made) };
    let error = bind(unchecked).unwrap_err();
    assert!(matches!(error, BindError::Tls(TlsConfigError::ClientCaUnused { .. })), "{error}");
    let swapped = TlsSettings { cert: made.server_key.clone(), ..settings(&made) };
    let error = bind(swapped).unwrap_err().to_string();
    assert!(error.contains("tls.cert") && error.contains("holds no CERTIFICATE block"), "{error}");

    let first = bind(settings(&made)).unwrap();
    assert_eq!(first.certificate().unwrap().san_dns[0], "localhost");
    let Address::Network(address) = first.address() else { unreachable!("a network") };
    let taken = Settings {
        bind: Bind::Address(address),
        kind: Kind::Tcp,
        web: None,
        proxies: Vec::new(),
        backlog: 8,
    };
    let error = Listener::bind(&taken).unwrap_err().to_string();
    assert!(error.contains("another process has this port"), "{error}");
}

fn listen(made: &pki::Pki, key: &Path) -> Result<(), BindError> {
    let runtime = tokio::runtime::Handle::try_current();
    let settings = TlsSettings { key: key.to_owned(), ..settings(made) };
    match runtime {
        Ok(_) => bind(settings).map(drop),
        Err(_) => {
            tokio::runtime::Runtime::new().unwrap().block_on(async { bind(settings).map(drop) })
        }
    }
}

fn bind(tls: TlsSettings) -> Result<Listener, BindError> {
    let bind = Bind::Address("127.0.0.1:0".parse().unwrap());
    Listener::bind(&Settings {
        bind,
        kind: Kind::Tls(tls),
        web: None,
        proxies: Vec::new(),
        backlog: 8,
    })
}

fn settings(made: &pki::Pki) -> TlsSettings {
    TlsSettings {
        cert: made.server_cert.clone(),
        key: made.server_key.clone(),
        more: Vec::new(),
        client_ca: None,
        client_auth: ClientAuth::None,
        client_crls: Vec::new(),
        revocation: RevocationPolicy::default(),
        min_version: TlsVersion::V1_3,
        alpn: Vec::new(),
    }
}

fn chain(path: &Path) -> Vec<Vec<u8>> {
    CertificateDer::pem_file_iter(path).unwrap().map(|found| found.unwrap().to_vec()).collect()
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

//! A private authority at work: what it issues, renews and takes back, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_transport::Certificate;
use portcullis_transport::pki::{self, CRL_VALIDITY, Order, PkiError, Purpose, Reason, Site};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(86_400);

struct Bench {
    dir: tempfile::TempDir,
    site: Site,
    now: SystemTime,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::at(dir.path());
        let now = SystemTime::now();
        site.new_authority(Some("Plant"), &Order::default(), now).unwrap();
        Self { dir, site, now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn request(&self, name: &str, names: &[&str]) -> PathBuf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Plant");
        params.distinguished_name.push(DnType::CommonName, name);
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let path = self.path(&format!("{name}.csr"));
        fs::write(&path, request.pem().unwrap()).unwrap();
        path
    }
}

fn leaf(path: &Path) -> (Vec<u8>, Certificate) {
    let der = CertificateDer::from_pem_file(path).unwrap().to_vec();
    let read = Certificate::from_der(&der).unwrap();
    (der, read)
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_signs_ends_and_is_replaced_only_when_told_to() {
    let bench = Bench::new();
    let (der, read) = leaf(&bench.path("ca.pem"));
    assert_eq!(read.subject, "CN=Plant");
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let constraints = parsed.basic_constraints().unwrap().unwrap().value;
    assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
    assert_eq!(mode(&bench.path("ca.key")), 0o600);

    let error = bench.site.new_authority(None, &Order::default(), bench.now).unwrap_err();
    assert!(matches!(error, PkiError::WouldReplace { .. }), "{error}");
    assert_eq!(leaf(&bench.path("ca.pem")).0, der);
    let force = Order { force: true, ..Order::default() };
    bench.site.new_authority(None, &force, bench.now).unwrap();
    assert_ne!(leaf(&bench.path("ca.pem")).0, der);
    assert_eq!(mode(&bench.path("ca.key")), 0o600);
}

/// As a power cut between a key and its certificate leaves them.
#[test]
fn what_was_cut_short_is_completed_and_a_pair_is_never_replaced() {
    let bench = Bench::new();
    let order = Order::default();
    let read = |name: &str| fs::read(bench.path(name)).unwrap();
    let key = read("ca.key");
    fs::remove_file(bench.path("ca.pem")).unwrap();
    bench.site.new_authority(Some("Plant"), &order, bench.now).unwrap();
    assert_eq!(read("ca.key"), key, "the key that was there got its certificate");

    let names = ["localhost".to_owned()];
    let server = bench.site.server(&names, &order, bench.now).unwrap();
    let key = read("localhost.key");
    fs::remove_file(&server.cert).unwrap();
    let again = bench.site.server(&names, &order, bench.now).unwrap();
    assert_eq!(read("localhost.key"), key);
    assert!(bench.site.renew(&again.cert, &order, bench.now).is_ok(), "it is of this authority");
    let public = KeyPair::from_pem(std::str::from_utf8(&key).unwrap()).unwrap();
    let (der, _) = leaf(&again.cert);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.public_key().subject_public_key.data, public.public_key_raw());
    let error = bench.site.server(&names, &order, bench.now).unwrap_err();
    assert!(matches!(error, PkiError::WouldReplace { .. }), "{error}");

    // Something was issued: the certificate is lost, and not one that never was.
    let key = read("ca.key");
    fs::remove_file(bench.path("ca.pem")).unwrap();
    let error = bench.site.new_authority(None, &order, bench.now).unwrap_err();
    assert!(matches!(error, PkiError::WouldReplace { .. }), "{error}");
    assert_eq!(read("ca.key"), key);
    assert!(!bench.path("ca.pem").exists());
}

#[test]
fn servers_and_clients_get_what_they_are_for() {
    let bench = Bench::new();
    let names = ["gate.example", "*.plant.example", "10.1.2.3"].map(str::to_owned);
    let order = Order { days: Some(10), ..Order::default() };
    let server = bench.site.server(&names, &order, bench.now).unwrap();
    assert_eq!(server.cert, bench.path("gate.example.pem"));
    let (der, read) = leaf(&server.cert);
    assert_eq!(read.san_dns, ["gate.example", "*.plant.example"]);
    assert_eq!(read.san_ip, ["10.1.2.3"]);
    assert_eq!(read.not_after_unix_s, unix(bench.now + 10 * DAY));
    assert_eq!(read.serial.len(), 32);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);

    let client = bench.site.client("pump/7", &Order::default(), bench.now).unwrap();
    assert_eq!(client.cert, bench.path("pump_7.pem"), "a name does not lead elsewhere");
    assert_eq!(mode(client.key.as_ref().unwrap()), 0o600);
    let (der, read) = leaf(&client.cert);
    assert_eq!(read.common_name.as_deref(), Some("pump/7"));
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);

    let again = bench.site.client("pump/7", &Order::default(), bench.now).unwrap_err();
    assert!(matches!(again, PkiError::WouldReplace { .. }), "{again}");
    assert_eq!(leaf(&client.cert).0, der);
    for (name, what) in [("ca", "the authority's own"), ("crl", "the authority's own")] {
        let force = Order { force: true, ..Order::default() };
        let error = bench.site.client(name, &force, bench.now).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    for names in [vec![], vec!["a b".to_owned()], vec!["*".to_owned()]] {
        assert!(bench.site.server(&names, &Order::default(), bench.now).is_err(), "{names:?}");
    }
    let nowhere = Site::at(&bench.path("nowhere"));
    let error = nowhere.client("pump", &Order::default(), bench.now).unwrap_err().to_string();
    assert!(error.contains("ca.pem"), "{error}");
}

#[test]
fn nothing_outlasts_its_authority() {
    let bench = Bench::new();
    let order = Order { days: Some(30), force: true, ..Order::default() };
    bench.site.new_authority(None, &order, bench.now).unwrap();
    let client = bench.site.client("pump", &Order::default(), bench.now).unwrap();
    assert_eq!(client.not_after_unix_s, unix(bench.now + 30 * DAY));
    let later = bench.now + 40 * DAY;
    let error = bench.site.client("late", &Order::default(), later).unwrap_err().to_string();
    assert!(error.contains("has ended"), "{error}");
}

#[test]
fn a_request_is_signed_for_what_the_authority_says() {
    let bench = Bench::new();
    let request = bench.request("pump-9", &["pump-9.plant.example", "urn-like"]);
    let signed = bench.site.sign(&request, Purpose::Client, &Order::default(), bench.now).unwrap();
    assert_eq!((signed.cert.clone(), signed.key), (bench.path("pump-9.pem"), None));
    let (der, read) = leaf(&signed.cert);
    assert_eq!(read.subject, "O=Plant, CN=pump-9");
    assert_eq!(read.san_dns, ["pump-9.plant.example", "urn-like"]);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert!(parsed.extended_key_usage().unwrap().unwrap().value.client_auth);
    assert!(!parsed.is_ca());

    let nameless = bench.request("nameless", &[]);
    let as_server = bench.site.sign(&nameless, Purpose::Server, &Order::default(), bench.now);
    assert!(as_server.unwrap_err().to_string().contains("names no server"));

    // One bit in the middle: the key, or the signature, is another.
    let pem = fs::read_to_string(&request).unwrap();
    let middle = pem.len() / 2;
    let other = if pem.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let tampered = bench.path("tampered.csr");
    fs::write(&tampered, format!("{}{other}{}", &pem[..middle], &pem[middle + 1..])).unwrap();
    let error = bench.site.sign(&tampered, Purpose::Client, &Order::default(), bench.now);
    assert!(matches!(error, Err(PkiError::Request { .. })), "{error:?}");
    let error =
        bench.site.sign(&bench.path("ca.pem"), Purpose::Client, &Order::default(), bench.now);
    assert!(error.unwrap_err().to_string().contains("holds no CERTIFICATE REQUEST block"));
}

#[test]
fn what_is_renewed_has_the_same_names_and_key() {
    let bench = Bench::new();
    let names = ["gate.example".to_owned(), "::1".to_owned()];
    let first = bench.site.server(&names, &Order::default(), bench.now).unwrap();
    let (before, read) = leaf(&first.cert);
    let later = bench.now + 100 * DAY;
    let order = Order { days: Some(90), ..Order::default() };
    let second = bench.site.renew(&first.cert, &order, later).unwrap();
    let (after, renewed) = leaf(&second.cert);
    assert_eq!((&renewed.subject, &renewed.san_dns), (&read.subject, &read.san_dns));
    assert_eq!(renewed.san_ip, ["::1"]);
    assert_ne!(renewed.serial, read.serial);
    assert_eq!(renewed.not_after_unix_s, unix(later + 90 * DAY));
    let key = |der: &[u8]| X509Certificate::from_der(der).unwrap().1.public_key().raw.to_vec();
    assert_eq!(key(&before), key(&after));

    let elsewhere = Bench::new();
    let error = elsewhere.site.renew(&first.cert, &order, later).unwrap_err().to_string();
    assert!(error.contains("was not issued by the authority"), "{error}");
    let error = bench.site.renew(&bench.path("ca.pem"), &order, later).unwrap_err().to_string();
    assert!(error.contains("is the authority itself"), "{error}");
    bench.site.revoke(&renewed.serial, Reason::Superseded, later).unwrap();
    let error = bench.site.renew(&second.cert, &order, later).unwrap_err().to_string();
    assert!(error.contains("is revoked"), "{error}");
}

#[test]
fn what_is_revoked_is_in_every_list_from_then_on() {
    let bench = Bench::new();
    let pump = bench.site.client("pump", &Order::default(), bench.now).unwrap();
    bench.site.client("valve", &Order::default(), bench.now).unwrap();
    // As `portcullis init` issues it, without an index.
    let files = pki::issue_client(bench.dir.path(), "old", &bench.path("old"), bench.now).unwrap();
    let empty = bench.site.crl(CRL_VALIDITY, bench.now).unwrap();
    assert_eq!(empty.revoked, 0);

    let colons: Vec<_> =
        pump.serial.as_bytes().chunks(2).map(|c| str::from_utf8(c).unwrap()).collect();
    let (entry, list) = bench
        .site
        .revoke(&colons.join(":").to_uppercase(), Reason::KeyCompromise, bench.now)
        .unwrap();
    assert_eq!((entry.subject.as_str(), list.revoked), ("CN=pump", 1));
    assert!(list.number > empty.number);
    let old = files.cert.to_string_lossy().into_owned();
    let (_, list) = bench.site.revoke(&old, Reason::Unspecified, bench.now).unwrap();
    assert_eq!(list.revoked, 2);
    let again = bench.site.revoke(&old, Reason::Unspecified, bench.now).unwrap_err().to_string();
    assert!(again.contains("already"), "{again}");
    let unknown = bench.site.revoke("77", Reason::Unspecified, bench.now).unwrap_err().to_string();
    assert!(unknown.contains("portcullis cert list"), "{unknown}");

    let last = bench.site.crl(7 * DAY, bench.now).unwrap();
    assert!(last.number > list.number);
    let pem = fs::read(&last.path).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let (_, parsed) = CertificateRevocationList::from_der(&pem.contents).unwrap();
    let (ca, _) = leaf(&bench.path("ca.pem"));
    let (_, ca) = X509Certificate::from_der(&ca).unwrap();
    parsed.verify_signature(ca.public_key()).unwrap();
    assert_eq!(parsed.next_update().unwrap().timestamp() as u64, unix(bench.now + 7 * DAY));
    assert_eq!(parsed.iter_revoked_certificates().count(), 2);
    let entries = bench.site.list().unwrap();
    let standing: Vec<_> = entries.iter().map(|e| (&*e.subject, e.revoked.is_some())).collect();
    assert_eq!(standing, [("CN=pump", true), ("CN=valve", false), ("CN=old", true)]);
}

#[test]
fn files_are_described() {
    let bench = Bench::new();
    let request = bench.request("pump-9", &["pump-9.example"]);
    let pump = bench.site.client("pump", &Order::default(), bench.now).unwrap();
    let (_, list) = bench.site.revoke(&pump.serial, Reason::Unspecified, bench.now).unwrap();
    let shown = |path: &Path| pki::show(path).unwrap();
    assert!(shown(&request).contains("pump-9.example") && shown(&request).contains("good"));
    assert!(shown(&pump.cert).starts_with("certificate (client)\n  subject     CN=pump\n"));
    assert!(shown(&pump.cert).contains("certificate (authority)"), "the whole chain");
    assert_eq!(shown(pump.key.as_ref().unwrap()), "private key");
    assert!(shown(&list.path).contains(&pump.serial));
    let nothing = bench.path("index.txt");
    assert!(pki::show(&nothing).unwrap_err().to_string().contains("nothing in PEM"));
}

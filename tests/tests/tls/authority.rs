use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::bench::Bench;
use crate::openssl::openssl;

#[test]
fn what_the_authority_issues_is_what_openssl_verifies() {
    let bench = Bench::new();
    let file = |name: &str| bench.pki(name);
    let verify = |purpose: &str, name: &str| {
        openssl(
            &["verify", "-x509_strict", "-crl_check", "-purpose", purpose],
            &[("-CAfile", &file("ca.pem")), ("-CRLfile", &file("crl.pem")), ("", &file(name))],
        )
    };
    bench.cert(&["server", "--name", "gate.example", "--ip", "10.0.0.1", "--days", "30"]);
    bench.cert(&["client", "pump-7"]);
    bench.cert(&["crl"]);
    assert!(verify("sslserver", "gate.example.pem").0);
    assert!(!verify("sslclient", "gate.example.pem").0);
    assert!(verify("sslclient", "pump-7.pem").0);
    for (option, value) in [("-checkhost", "gate.example"), ("-checkip", "10.0.0.1")] {
        let gate = file("gate.example.pem");
        let (_, said) = openssl(&["x509", "-noout", option, value], &[("-in", &gate)]);
        assert!(said.contains("does match"), "{said}");
    }
    for name in ["ca.key", "pump-7.key", "gate.example.key"] {
        let mode = fs::metadata(file(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    // A key that never leaves its device.
    let new = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=Plant/CN=valve-1"];
    let (made, said) =
        openssl(&new, &[("-keyout", &file("device.key")), ("-out", &file("valve-1.csr"))]);
    assert!(made, "{said}");
    bench.cert(&["sign", "pki/valve-1.csr"]);
    assert!(verify("sslclient", "valve-1.pem").0);
    let (_, said) =
        openssl(&["x509", "-noout", "-subject", "-serial"], &[("-in", &file("valve-1.pem"))]);
    assert!(said.contains("O = Plant, CN = valve-1"), "{said}");
    let serial = said.split_once("serial=").expect("a serial number").1.trim().to_owned();
    assert!(bench.cert(&["show", "pki/valve-1.pem"]).contains("CN=valve-1"));

    bench.cert(&["revoke", &serial, "--reason", "key-compromise"]);
    let (good, said) = verify("sslclient", "valve-1.pem");
    assert!(!good && said.contains("certificate revoked"), "{said}");
    assert!(verify("sslclient", "pump-7.pem").0);
    let (_, said) = openssl(&["crl", "-noout", "-text"], &[("-in", &file("crl.pem"))]);
    for part in ["X509v3 CRL Number", "Next Update", "Key Compromise"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let listed = bench.cert(&["list"]);
    assert!(listed.lines().any(|line| line.contains("CN=valve-1") && line.contains("revoked")));
    assert!(bench.cert(&["renew", "pki/pump-7.pem"]).contains("CN=pump-7"));
    assert!(verify("sslclient", "pump-7.pem").0);
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let bench = Bench::new();
    bench.cert(&["client", "pump"]);
    let before = fs::read(bench.pki("pump.key")).expect("it is there");
    for (words, part) in [
        (vec!["client", "pump"], "--force"),
        (vec!["ca", "new"], "--force"),
        (vec!["server"], "--name"),
        (vec!["revoke", "1234"], "portcullis cert list"),
        (vec!["renew", "pki/ca.pem"], "is the authority itself"),
        (vec!["sign", "pki/pump.pem"], "CERTIFICATE REQUEST"),
        (vec!["client", "x", "--dir", "nowhere"], "ca.pem"),
        (vec!["show", "gateway.toml"], "nothing in PEM"),
    ] {
        let out = bench.try_cert(&words);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
    assert_eq!(bench.try_cert(&["walk"]).status.code(), Some(2));
    assert_eq!(fs::read(bench.pki("pump.key")).expect("it is there"), before);
    bench.cert(&["client", "pump", "--force"]);
    assert_ne!(fs::read(bench.pki("pump.key")).expect("it is there"), before);
}

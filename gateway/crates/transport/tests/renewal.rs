//! What a listener presents and whom it trusts, while that changes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_transport::pki::{self, Order, Reason};
use portcullis_transport::{
    ArrivalError, Bind, BindError, CertificateFiles, ClientAuth, CredentialKind, Kind, Listener,
    RevocationPolicy, Settings, TlsConfigError, TlsSettings, TlsVersion,
};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use site::{Client, Site, bind, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

const DAY: Duration = Duration::from_secs(86_400);

/// Accepts for ever; says hello to whoever is let in, and gives what became of each.
fn serve(listener: Listener) -> mpsc::UnboundedReceiver<Result<Option<String>, ArrivalError>> {
    let (outcomes, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let established = listener.accept().await.unwrap().establish().await;
            let outcome = match established {
                Ok(mut connection) => {
                    // A client that only wanted to see the certificate may be gone.
                    let _ = connection.stream.write_all(b"hello").await;
                    let _ = connection.stream.shutdown().await;
                    Ok(connection.peer.leaf.and_then(|leaf| leaf.common_name))
                }
                Err(error) => Err(error),
            };
            if outcomes.send(outcome).is_err() {
                return;
            }
        }
    });
    received
}

/// What a client hears, and how its handshake was.
async fn hear(
    config: &Arc<rustls::ClientConfig>,
    to: SocketAddr,
) -> (String, Option<HandshakeKind>) {
    let mut stream = match connect(config, to).await {
        Ok(stream) => stream,
        Err(error) => return (error.to_string(), None),
    };
    let mut heard = String::new();
    match stream.read_to_string(&mut heard).await {
        Ok(_) => (heard, stream.get_ref().1.handshake_kind()),
        Err(error) => (error.to_string(), None),
    }
}

/// The serial number of the certificate that is shown to who asks for a name.
async fn shown(site: &Site, to: SocketAddr, name: &str) -> String {
    let socket = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(site.client().config()));
    let stream = connector.connect(name, socket).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    portcullis_transport::Certificate::from_der(&chain[0]).unwrap().serial
}

fn authority(site: &Site) -> pki::Site {
    pki::Site::at(site.dir.path())
}

fn server_files(site: &Site, names: &[&str], out: &str) -> CertificateFiles {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let order = Order { out: Some(site.dir.path().join(out)), force: true, days: None };
    let issued = authority(site).server(&names, &order, SystemTime::now()).unwrap();
    CertificateFiles { cert: issued.cert, key: issued.key.unwrap() }
}

#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate() {
    let site = Site::new();
    let names = ["localhost", "gate.example", "*.plant.example"];
    let more = vec![
        server_files(&site, &names, "one"),
        server_files(&site, &["deep.line.plant.example", "gate.example"], "two"),
    ];
    let first = server_files(
        &site,
        &["localhost", "other.example", "gone.example", "line.example"],
        "first",
    );
    let settings = TlsSettings { cert: first.cert, key: first.key, more, ..site.settings() };
    let listener = bind(Kind::Tls(settings.clone()));
    let to = site::network(&listener);
    let credentials = listener.credentials().unwrap();
    let serials: Vec<_> = credentials
        .all()
        .iter()
        .filter(|one| one.kind == CredentialKind::ServerCertificate)
        .map(|one| one.names.join(","))
        .collect();
    assert_eq!(serials.len(), 3, "{serials:?}");
    let _outcomes = serve(listener);
    let default = shown(&site, to, "localhost").await;
    assert_eq!(shown(&site, to, "OTHER.example").await, default);
    let one = shown(&site, to, "gate.example").await;
    assert_ne!(one, default);
    assert_eq!(shown(&site, to, "press.plant.example").await, one, "a wildcard is one label");
    let two = shown(&site, to, "deep.line.plant.example").await;
    assert!(two != one && two != default);
    let strange = TlsConnector::from(Arc::new(site.client().config()))
        .connect(
            ServerName::try_from("strange.example").unwrap(),
            TcpStream::connect(to).await.unwrap(),
        )
        .await;
    // It is shown the first one, which does not hold that name.
    assert!(strange.unwrap_err().to_string().contains("not valid for name"));

    let client = authority(&site).client("nameless", &Order::default(), SystemTime::now()).unwrap();
    let nameless = CertificateFiles { cert: client.cert, key: client.key.unwrap() };
    let error = refused(TlsSettings { more: vec![nameless], ..settings });
    assert!(error.contains("tls.certificates[1].cert") && error.contains("no DNS name"), "{error}");
}

#[tokio::test]
async fn a_reload_takes_over_what_is_good_and_nothing_else() {
    let site = Site::new();
    let files = server_files(&site, &["localhost"], "live");
    let settings = TlsSettings {
        cert: files.cert.clone(),
        key: files.key.clone(),
        ..site.asking_for_certificates(ClientAuth::Optional)
    };
    let listener = bind(Kind::Tls(settings));
    let (to, credentials) = (site::network(&listener), listener.credentials().unwrap());
    let _outcomes = serve(listener);
    let first = shown(&site, to, "localhost").await;
    let unchanged = credentials.stamp();
    assert_eq!(credentials.stamp(), unchanged);
    assert!(credentials.reload().unwrap().changed.is_empty());

    server_files(&site, &["localhost"], "live");
    assert_ne!(credentials.stamp(), unchanged);
    let reloaded = credentials.reload().unwrap();
    assert_eq!(reloaded.changed, ["tls.cert"]);
    let second = shown(&site, to, "localhost").await;
    assert_ne!(second, first);

    let good = (fs::read(&files.cert).unwrap(), fs::read(&files.key).unwrap());
    let other = server_files(&site, &["localhost"], "other");
    let old = SystemTime::now() - 1000 * DAY;
    let new = SystemTime::now() + 1000 * DAY;
    let early = Order { force: true, out: Some(site.dir.path().join("early")), days: None };
    let dated = |when| {
        let issued = authority(&site).server(&["localhost".to_owned()], &early, when).unwrap();
        (fs::read(issued.cert).unwrap(), fs::read(issued.key.unwrap()).unwrap())
    };
    let (expired, not_yet) = (dated(old), dated(new));
    for (what, cert, key, passes, said) in [
        ("another's key", good.0.clone(), fs::read(&other.key).unwrap(), true, "does not belong"),
        ("half a file", good.0[..good.0.len() / 3].to_vec(), good.1.clone(), true, "tls.cert"),
        ("nothing", Vec::new(), good.1.clone(), true, "holds no CERTIFICATE block"),
        ("no key", good.0.clone(), b"-----".to_vec(), true, "tls.key"),
        ("expired", expired.0, expired.1, false, "has expired"),
        ("early", not_yet.0, not_yet.1, false, "is not valid yet"),
    ] {
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        let error = credentials.reload().unwrap_err();
        assert_eq!(error.may_pass(), passes, "{what}: {error}");
        assert!(error.to_string().contains(said), "{what}: {error}");
        assert_eq!(shown(&site, to, "localhost").await, second, "{what}");
    }
    fs::write(&files.cert, &good.0).unwrap();
    fs::write(&files.key, &good.1).unwrap();
    assert!(credentials.reload().unwrap().changed.is_empty());
}

#[tokio::test]
async fn the_revoked_are_refused_and_told_so_and_the_others_are_not() {
    let site = Site::new();
    let authority = authority(&site);
    let now = SystemTime::now();
    authority.crl(pki::CRL_VALIDITY, now).unwrap();
    for v1_2 in [false, true] {
        let name = |end: &str| format!("{end}-{v1_2}");
        let clients = ["pump", "valve"].map(|end| {
            let client = site.client_with_certificate(&name(end), now);
            Arc::new(Client { v1_2, ..client }.config())
        });
        let settings = TlsSettings {
            min_version: TlsVersion::V1_2,
            client_crls: vec![site.dir.path().join("crl.pem")],
            ..site.asking_for_certificates(ClientAuth::Required)
        };
        let listener = bind(Kind::Tls(settings));
        let (to, credentials) = (site::network(&listener), listener.credentials().unwrap());
        let mut outcomes = serve(listener);
        for client in &clients {
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                assert_eq!(hear(client, to).await, ("hello".to_owned(), Some(kind)));
                outcomes.recv().await.unwrap().unwrap();
            }
        }
        // What changes nothing about who is trusted leaves sessions as they are.
        authority.crl(pki::CRL_VALIDITY, now).unwrap();
        let reloaded = credentials.reload().unwrap();
        assert_eq!(
            (reloaded.changed, reloaded.newly_revoked.len()),
            (vec!["tls.client-crl".to_owned()], 0)
        );
        assert_eq!(hear(&clients[0], to).await.1, Some(HandshakeKind::Resumed));
        outcomes.recv().await.unwrap().unwrap();

        let file = site.dir.path().join(name("pump")).with_extension("pem");
        authority.revoke(&file.to_string_lossy(), Reason::KeyCompromise, now).unwrap();
        let reloaded = credentials.reload().unwrap();
        assert_eq!(reloaded.newly_revoked.len(), 1);
        assert!(credentials.revoked().contains(&reloaded.newly_revoked[0]));
        for _ in 0..2 {
            let (heard, _) = hear(&clients[0], to).await;
            assert!(heard.contains("CertificateRevoked"), "{heard}");
            let error = outcomes.recv().await.unwrap().unwrap_err();
            assert!(error.to_string().contains("has been revoked"), "{error}");
        }
        let (heard, kind) = hear(&clients[1], to).await;
        assert_eq!((heard.as_str(), kind), ("hello", Some(HandshakeKind::Full)));
        outcomes.recv().await.unwrap().unwrap();
        assert_eq!(hear(&clients[1], to).await.1, Some(HandshakeKind::Resumed));
        outcomes.recv().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_session_ends_with_the_certificate_that_began_it() {
    let site = Site::new();
    let soon = SystemTime::now() - pki::LEAF_VALIDITY + Duration::from_secs(4);
    let client = Arc::new(site.client_with_certificate("short", soon).config());
    let listener = bind(Kind::Tls(site.asking_for_certificates(ClientAuth::Required)));
    let to = site::network(&listener);
    let mut outcomes = serve(listener);
    assert_eq!(hear(&client, to).await.0, "hello");
    outcomes.recv().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_ne!(hear(&client, to).await.0, "hello");
    let error = outcomes.recv().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn what_no_list_tells_is_decided_by_the_settings() {
    let (site, other) = (Site::new(), Site::new());
    let now = SystemTime::now();
    // Two authorities are trusted, one of them has a list, which should have been replaced yesterday.
    let ca = [fs::read(&site.pki.ca_cert).unwrap(), fs::read(&other.pki.ca_cert).unwrap()].concat();
    let both = site.dir.path().join("both.pem");
    fs::write(&both, ca).unwrap();
    authority(&site).crl(2 * DAY, now - 3 * DAY).unwrap();
    let listed = Arc::new(site.client_with_certificate("listed", now).config());
    let unlisted =
        Client { ca: site.pki.ca_cert.clone(), ..other.client_with_certificate("unlisted", now) };
    let unlisted = Arc::new(unlisted.config());
    for (refuse_unknown, refuse_outdated) in [(false, false), (true, false), (false, true)] {
        let settings = TlsSettings {
            client_ca: Some(both.clone()),
            client_crls: vec![site.dir.path().join("crl.pem")],
            revocation: RevocationPolicy { refuse_unknown, refuse_outdated },
            ..site.asking_for_certificates(ClientAuth::Required)
        };
        let listener = bind(Kind::Tls(settings));
        let to = site::network(&listener);
        let mut outcomes = serve(listener);
        for (client, refused, why) in [
            (&listed, refuse_outdated, "out of date"),
            (&unlisted, refuse_unknown, "no list of tls.client-crl"),
        ] {
            hear(client, to).await;
            match outcomes.recv().await.unwrap() {
                Ok(_) => assert!(!refused, "{refuse_unknown} {refuse_outdated}"),
                Err(error) => {
                    assert!(refused && error.to_string().contains(why), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn of_two_lists_the_newer_counts() {
    let site = Site::new();
    let now = SystemTime::now();
    let client = Arc::new(site.client_with_certificate("pump", now).config());
    let crl = site.dir.path().join("crl.pem");
    authority(&site).crl(pki::CRL_VALIDITY, now).unwrap();
    let empty = fs::read(&crl).unwrap();
    let pump = site.dir.path().join("pump.pem");
    let at = |when| {
        // The index forgets, so that the list can be made at another time.
        let _ = fs::remove_file(site.dir.path().join("index.txt"));
        authority(&site).revoke(&pump.to_string_lossy(), Reason::Unspecified, when).unwrap();
        fs::write(&crl, [empty.as_slice(), &fs::read(&crl).unwrap()].concat()).unwrap();
    };
    for (when, refused) in [(now - DAY, false), (now + Duration::from_secs(60), true)] {
        at(when);
        let settings = TlsSettings {
            client_crls: vec![crl.clone()],
            ..site.asking_for_certificates(ClientAuth::Required)
        };
        let listener = bind(Kind::Tls(settings));
        let (to, credentials) = (site::network(&listener), listener.credentials().unwrap());
        assert_eq!(credentials.revoked().len(), usize::from(refused));
        let mut outcomes = serve(listener);
        hear(&client, to).await;
        assert_eq!(outcomes.recv().await.unwrap().is_err(), refused);
    }
}

#[tokio::test]
async fn lists_that_cannot_be_used_say_why() {
    let (site, other) = (Site::new(), Site::new());
    let crl = site.dir.path().join("crl.pem");
    let settings = TlsSettings {
        client_crls: vec![crl.clone()],
        ..site.asking_for_certificates(ClientAuth::Required)
    };
    assert!(refused(settings.clone()).contains("is not readable"));
    fs::write(&crl, "").unwrap();
    assert!(refused(settings.clone()).contains("holds no X509 CRL block"));
    fs::write(&crl, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    assert!(refused(settings.clone()).contains("tls.client-crl"));
    // Of an authority of the same name with another key: it would have everybody refused.
    let order = Order { force: true, ..Order::default() };
    for site in [&site, &other] {
        authority(site).new_authority(Some("Same"), &order, SystemTime::now()).unwrap();
    }
    authority(&other).crl(DAY, SystemTime::now()).unwrap();
    fs::copy(other.dir.path().join("crl.pem"), &crl).unwrap();
    assert!(refused(settings.clone()).contains("not signed by the authority"));
    fs::remove_file(&crl).unwrap();
    authority(&site).crl(DAY, SystemTime::now()).unwrap();
    bind(Kind::Tls(settings.clone()));
    let unused = TlsSettings { client_auth: ClientAuth::None, client_ca: None, ..settings };
    assert!(refused(unused).contains("tls.client-auth is \"none\""));
}

#[tokio::test]
async fn an_authority_that_is_removed_admits_nobody_any_more() {
    let (site, other) = (Site::new(), Site::new());
    let client = Arc::new(site.client_with_certificate("pump", SystemTime::now()).config());
    let ca = site.dir.path().join("clients.pem");
    fs::copy(&site.pki.ca_cert, &ca).unwrap();
    let settings = TlsSettings {
        client_ca: Some(ca.clone()),
        ..site.asking_for_certificates(ClientAuth::Required)
    };
    let listener = bind(Kind::Tls(settings));
    let (to, credentials) = (site::network(&listener), listener.credentials().unwrap());
    let mut outcomes = serve(listener);
    assert_eq!(hear(&client, to).await.0, "hello");
    outcomes.recv().await.unwrap().unwrap();
    fs::copy(&other.pki.ca_cert, &ca).unwrap();
    assert_eq!(credentials.reload().unwrap().changed, ["tls.client-ca"]);
    let (heard, _) = hear(&client, to).await;
    assert!(heard.contains("UnknownCA"), "{heard}");
    outcomes.recv().await.unwrap().unwrap_err();
}

/// What a certificate says, whose serial number is the length of its name.
fn named(name: &str, ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(name.len() as u64));
    if ca {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    }
    params
}

fn write_list(path: &Path, issuer: &Issuer<'_, KeyPair>, serials: &[u64]) {
    let now = time::OffsetDateTime::now_utc();
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: now + time::Duration::days(1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    fs::write(path, list.signed_by(issuer).unwrap().pem().unwrap()).unwrap();
}

#[tokio::test]
async fn with_an_authority_between_goes_everybody_below_it() {
    let site = Site::new();
    let path = |name: &str| site.dir.path().join(name);
    let [root_key, between_key, leaf_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let root_pem = named("root", true).self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(named("root", true), root_key);
    let between = named("between", true).signed_by(&between_key, &root).unwrap();
    let issuer = Issuer::new(named("between", true), between_key);
    let leaf = named("pump", false).signed_by(&leaf_key, &issuer).unwrap();
    fs::write(path("root.pem"), root_pem).unwrap();
    fs::write(path("leaf.pem"), leaf.pem() + &between.pem()).unwrap();
    fs::write(path("leaf.key"), leaf_key.serialize_pem()).unwrap();
    let list = |serials: &[u64]| write_list(&path("root-crl.pem"), &root, serials);
    list(&[]);
    let settings = TlsSettings {
        client_ca: Some(path("root.pem")),
        client_crls: vec![path("root-crl.pem")],
        ..site.asking_for_certificates(ClientAuth::Required)
    };
    let identity = Some((path("leaf.pem"), path("leaf.key")));
    let client = Client { identity, ..site.client() };
    let listener = bind(Kind::Tls(settings));
    let (to, credentials) = (site::network(&listener), listener.credentials().unwrap());
    let config = Arc::new(client.config());
    let accepted = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().establish().await.unwrap();
        (listener, connection.peer)
    });
    connect(&config, to).await.unwrap();
    let (listener, peer) = accepted.await.unwrap();
    assert_eq!(peer.certificate_keys().len(), 2, "its own, and the authority between");

    list(&["between".len() as u64]);
    let reloaded = credentials.reload().unwrap();
    assert_eq!(reloaded.newly_revoked.len(), 1);
    assert!(peer.certificate_keys().contains(&reloaded.newly_revoked[0]));
    let mut outcomes = serve(listener);
    let (heard, _) = hear(&config, to).await;
    assert!(heard.contains("CertificateRevoked"), "{heard}");
    outcomes.recv().await.unwrap().unwrap_err();

    // An older list comes back: that is possible, and told.
    list(&[]);
    let reloaded = credentials.reload().unwrap();
    assert_eq!((reloaded.newly_revoked.len(), reloaded.no_longer_revoked), (0, 1));
    assert_eq!(hear(&config, to).await.0, "hello");
}

#[tokio::test]
async fn a_client_does_not_bring_more_certificates_than_a_chain_has() {
    let site = Site::new();
    let client = site.client_with_certificate("pump", SystemTime::now());
    let (cert, _) = client.identity.clone().unwrap();
    let ca = fs::read_to_string(&site.pki.ca_cert).unwrap();
    let mut outcomes = Vec::new();
    let chain = fs::read_to_string(&cert).unwrap();
    for more in [8, 9] {
        fs::write(&cert, chain.clone() + &ca.repeat(more)).unwrap();
        let listener = bind(Kind::Tls(site.asking_for_certificates(ClientAuth::Required)));
        let to = site::network(&listener);
        let mut heard = serve(listener);
        hear(&Arc::new(client.config()), to).await;
        outcomes.push(heard.recv().await.unwrap());
    }
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    let error = outcomes[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("11 certificates, the most is 10"), "{error}");
}

/// Why settings are refused.
fn refused(tls: TlsSettings) -> String {
    let settings = Settings {
        bind: Bind::Address("127.0.0.1:0".parse().unwrap()),
        kind: Kind::Tls(tls),
        web: None,
        proxies: Vec::new(),
        backlog: 8,
    };
    let error = Listener::bind(&settings).unwrap_err();
    assert!(matches!(error, BindError::Tls(_)), "{error}");
    let BindError::Tls(cause) = &error else { return String::new() };
    assert!(!matches!(cause, TlsConfigError::Library(_)), "{cause}");
    error.to_string()
}

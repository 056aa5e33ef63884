//! Configurations on a real disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portcullis_config::{BridgeVersion, FileProbe, Found, Transport, load, parse};

#[test]
fn paths_are_relative_to_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    for name in ["server.pem", "server.key", "acl.wasm"] {
        fs::write(directory.path().join(name), "x").unwrap();
    }
    let text = "data = 'state'\n\
                [listeners.plant]\n\
                bind = '[::1]:0'\n\
                tls.cert = 'server.pem'\n\
                tls.key = 'server.key'\n\
                chain = ['acl']\n\
                [extensions.acl]\n\
                component = 'acl.wasm'\n";
    fs::write(&file, text).unwrap();
    let checked = load(&file).map_err(|report| report.to_string()).unwrap();
    assert_eq!(checked.data, directory.path().join("state"));
    assert_eq!(checked.extensions[0].component, directory.path().join("acl.wasm"));
    let Transport::Tls(tls) = &checked.listeners[0].transport else { panic!() };
    assert_eq!(tls.key, directory.path().join("server.key"));

    fs::remove_file(directory.path().join("server.key")).unwrap();
    let report = load(&file).unwrap_err();
    let start = format!(
        "{}:5: listener \"plant\": tls.key \"server.key\" is not readable (no such file)",
        file.display()
    );
    assert!(report.to_string().starts_with(&start), "{report}");
    assert_eq!(report.errors().len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let sentence = |why: &str| {
        format!("{}: cannot be read ({why}); check its path and permissions", file.display())
    };
    assert_eq!(load(&file).unwrap_err().to_string(), sentence("no such file"));
    fs::write(&file, b"data = \"\xff\"").unwrap();
    assert_eq!(load(&file).unwrap_err().to_string(), sentence("it is not text in UTF-8"));
}

#[test]
fn no_interval_means_never() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    fs::write(directory.path().join("acl.wasm"), "x").unwrap();
    let text = "[listeners.plant]\n\
                bind = '127.0.0.1:0'\n\
                transport = 'tcp'\n\
                chain = ['acl']\n\
                [extensions.acl]\n\
                component = 'acl.wasm'\n\
                [broker]\n\
                sys-interval = ";
    let interval = |value: &str| {
        fs::write(&file, format!("{text}'{value}'")).unwrap();
        load(&file).map_err(|report| report.to_string()).unwrap().broker.sys_interval
    };
    assert_eq!(interval("0s"), None);
    assert_eq!(interval("1s"), Some(std::time::Duration::from_secs(1)));
}

/// What a profile gives where the file says nothing.
#[test]
fn a_profile_fills_in_what_suits_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    for name in ["acl.wasm", "site.pem", "site.key"] {
        fs::write(directory.path().join(name), "x").unwrap();
    }
    let text = "[listeners.plant]\nbind = '127.0.0.1:0'\ntransport = 'tcp'\nchain = ['acl']\n\
                [extensions.acl]\ncomponent = 'acl.wasm'\n\
                [bridges.a]\nprofile = 'aws-iot-core'\nurl = 'mqtts://x.iot.example.com:443'\n\
                tls.cert = 'site.pem'\ntls.key = 'site.key'\n[[bridges.a.out]]\nfilter = 'a'\n\
                [bridges.b]\nprofile = 'aws-iot-core'\nurl = 'mqtts://x.iot.example.com:443'\n\
                tls.alpn = ['own']\n[[bridges.b.out]]\nfilter = 'a'\n\
                [bridges.c]\nprofile = 'azure-iot-hub'\nurl = 'mqtts://hub.example.net'\n\
                client-id = 'site-7'\n\
                tls.cert = 'site.pem'\ntls.key = 'site.key'\n[[bridges.c.in]]\nfilter = '$iothub/twin/res/#'\n\
                [bridges.d]\nprofile = 'azure-event-grid'\nurl = 'mqtts://ns.example.net'\n\
                [[bridges.d.in]]\nfilter = 'a'\n[[bridges.d.in]]\nfilter = 'b'\nretain = true\n\
                [bridges.e]\nurl = 'mqtts://x.example.net:443'\n[[bridges.e.out]]\nfilter = 'a'\n";
    fs::write(&file, text).unwrap();
    let checked = load(&file).map_err(|report| report.to_string()).unwrap();
    let [a, b, c, d, e] = &checked.bridges[..] else { panic!() };
    assert_eq!(
        (&*a.tls.alpn, &*b.tls.alpn),
        (&["x-amzn-mqtt-ca".to_owned()][..], &["own".to_owned()][..])
    );
    let pace = |bridge: &portcullis_config::Bridge| {
        (bridge.pace.messages.map(|rate| rate.get()), bridge.pace.bytes.map(|rate| rate.get()))
    };
    assert_eq!((pace(a), pace(e)), ((Some(100), Some(512 << 10)), (None, None)));
    assert_eq!((a.retry_min.as_secs(), a.receive_maximum, a.announce), (10, 100, false));
    assert_eq!((a.outward[0].qos.as_u8(), a.outward[0].retain), (1, true));
    let name = c.username.as_deref();
    assert_eq!(name, Some("hub.example.net/site-7/?api-version=2021-04-12"));
    assert_eq!((c.version, c.max_packet_size), (BridgeVersion::V3_1_1, 256 << 10));
    assert_eq!((d.inward[0].retain, d.inward[1].retain), (false, true));
    assert_eq!((e.tls.alpn.len(), e.announce, e.outward[0].qos.as_u8()), (0, true, 2));
}

/// What systemd hands over lies in a directory of its own.
#[test]
fn credentials_are_where_they_were_put() {
    struct Handed;
    impl FileProbe for Handed {
        fn probe(&self, _: &Path) -> io::Result<Found> {
            Ok(Found::File)
        }

        fn credentials(&self) -> Option<PathBuf> {
            Some("/run/credentials/portcullis.service".into())
        }

        fn uid(&self) -> Option<u32> {
            None
        }
    }
    let text = "[listeners.plant]\n\
                bind = '[::1]:0'\n\
                tls.cert = 'server.pem'\n\
                tls.key = 'credential:server.key'\n\
                chain = ['acl']\n\
                [extensions.acl]\n\
                component = 'acl.wasm'\n";
    let file = Path::new("/etc/portcullis/gateway.toml");
    let checked = parse(text, file, &Handed).map_err(|report| report.to_string()).unwrap();
    let Transport::Tls(tls) = &checked.listeners[0].transport else { panic!() };
    assert_eq!(tls.key, Path::new("/run/credentials/portcullis.service/server.key"));
    assert_eq!(tls.cert, Path::new("/etc/portcullis/server.pem"));
    let outside = text.replace("credential:server.key", "credential:../server.key");
    let report = parse(&outside, file, &Handed).unwrap_err().to_string();
    assert!(report.contains("names no credential"), "{report}");
}

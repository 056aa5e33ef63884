use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, PATIENCE};

use crate::bench::{Bench, line};

/// What `openssl` prints, both ways, and whether it succeeds.
pub(crate) fn openssl(words: &[&str], files: &[(&str, &Path)]) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(words);
    for (option, file) in files {
        if !option.is_empty() {
            command.arg(option);
        }
        command.arg(file);
    }
    let out = command.stdin(Stdio::null()).output();
    let out = out.expect("openssl starts; `cargo xtask test` installs it");
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A connection of `openssl s_client` that sends CONNECT and stays until it has a ticket, or is refused; gives
/// what it prints.
fn s_client(port: u16, words: &[&str], files: &[(&str, &Path)]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]).args(words);
    for (option, file) in files {
        command.arg(option).arg(file);
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("openssl starts; `cargo xtask test` installs it");
    // Apart, so that no complaint comes to stand in the middle of a certificate.
    let said = [Arc::new(Mutex::new(Vec::new())), Arc::default()];
    let (out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let readers = [collect(out, &said[0]), collect(err, &said[1])];
    let text = || {
        let both = said.each_ref().map(|said| said.lock().expect("no reader panics").clone());
        String::from_utf8_lossy(&both.concat()).into_owned()
    };
    let mut input = child.stdin.take().expect("a pipe");
    // MQTT 5 without a name: it is refused by CONNACK, with which the ticket comes. The bytes may meet a client
    // that has been refused already.
    let _ = input.write_all(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc");
    let _ = input.flush();
    let until = Instant::now() + PATIENCE;
    let done = |child: &mut Child| child.try_wait().expect("it is our child").is_some();
    // Its parameters follow the line that announces it.
    while !text().contains("Max Early Data") && !done(&mut child) {
        assert!(Instant::now() < until, "openssl hears nothing: {}", text());
        thread::sleep(Duration::from_millis(10));
    }
    drop(input);
    child.wait().expect("it ends");
    readers.into_iter().for_each(|reader| reader.join().expect("it reads to the end"));
    text()
}

fn collect(mut pipe: impl Read + Send + 'static, into: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            into.lock().expect("no reader panics").extend_from_slice(&bytes[..count]);
        }
    })
}

/// The serial number of the certificate that is shown to who asks for a name.
pub(crate) fn serial_of(port: u16, name: &str) -> String {
    let said = s_client(port, &["-servername", name, "-showcerts"], &[]);
    let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said}"));
    let file = std::env::temp_dir().join(format!("shown-{}-{port}.pem", std::process::id()));
    fs::write(&file, &said[begin..]).expect("it is written");
    let (good, serial) = openssl(&["x509", "-noout", "-serial"], &[("-in", &file)]);
    let _ = fs::remove_file(&file);
    assert!(good, "{serial}");
    serial.trim().to_owned()
}

#[test]
fn the_certificate_of_the_name_is_shown() {
    let bench = Bench::new();
    let (gate, line) = ("pki/gate.example", "pki/line");
    bench.cert(&["server", "--name", "gate.example"]);
    bench.cert(&["server", "--name", "*.line.example", "--ip", "10.0.0.1", "--out", line]);
    bench.configure(&format!(
        "[[listeners.machines.tls.certificates]]\ncert = \"{gate}.pem\"\nkey = \"{gate}.key\"\n\
         [[listeners.machines.tls.certificates]]\ncert = \"{line}.pem\"\nkey = \"{line}.key\"\n"
    ));
    let gateway = bench.start();
    let of_file = |name: &str| {
        openssl(&["x509", "-noout", "-serial"], &[("-in", &bench.pki(name))]).1.trim().to_owned()
    };
    for (name, file) in [
        ("localhost", "live.pem"),
        ("unknown.example", "live.pem"),
        ("gate.example", "gate.example.pem"),
        ("press.line.example", "line.pem"),
        ("a.press.line.example", "live.pem"),
    ] {
        assert_eq!(serial_of(bench.port, name), of_file(file), "{name}");
    }
    drop(gateway);
}

#[test]
fn only_tls_1_3_is_spoken_and_nothing_before_the_end_of_the_handshake() {
    let bench = Bench::new();
    let gateway = bench.start();
    let ca = bench.site.ca();
    let said = s_client(bench.port, &["-verify_return_error"], &[("-CAfile", &ca)]);
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    assert!(said.contains("TLSv1.3") && said.contains("Max Early Data: 0"), "{said}");
    let said = s_client(bench.port, &["-tls1_2"], &[]);
    assert!(said.contains("alert protocol version"), "{said}");
    drop(gateway);
}

#[test]
fn who_is_revoked_cannot_resume_an_earlier_session() {
    let bench = Bench::new();
    bench.cert(&["client", "pump"]);
    bench.cert(&["client", "valve"]);
    let gateway = bench.start();
    let visit = |name: &str, resume: bool| visit(&bench, name, resume);
    for name in ["pump", "valve"] {
        assert!(visit(name, false).contains("New, TLSv1.3"), "{name}");
        let again = visit(name, true);
        assert!(again.contains("Reused, TLSv1.3"), "{name}: {again}");
    }
    revoke(&bench, &gateway, "pump");
    let refused = visit("pump", true);
    assert!(!refused.contains("Reused"), "{refused}");
    assert!(refused.contains("alert certificate revoked"), "{refused}");
    let good = visit("valve", true);
    assert!(good.contains("New, TLSv1.3") && !good.contains("alert"), "{good}");
    assert!(visit("valve", true).contains("Reused, TLSv1.3"));
}

/// A handshake that keeps its session in a file, or begins with the one there.
fn visit(bench: &Bench, name: &str, resume: bool) -> String {
    let [cert, key, session] =
        ["pem", "key", "session"].map(|end| bench.pki(&format!("{name}.{end}")));
    let mut files = vec![("-cert", &*cert), ("-key", &*key), ("-sess_out", &*session)];
    if resume {
        files.push(("-sess_in", &session));
    }
    s_client(bench.port, &["-servername", "localhost"], &files)
}

fn revoke(bench: &Bench, gateway: &Gateway<'_>, name: &str) {
    let mark = gateway.log.mark();
    bench.cert(&["revoke", &format!("pki/{name}.pem")]);
    gateway.reload();
    let event = line(gateway, mark, "certificates reloaded");
    assert_eq!(event["newly_revoked"], 1);
}

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::{PATIENCE, Site, Web};

use crate::{GRANTS, Stage};

/// How long a server is watched to which nobody is to come.
const QUIET: Duration = Duration::from_millis(200);

/// A site whose probe may use a server that has the site's certificate, trusted by `ca`.
pub(crate) fn stage(ca: &str, more: &str) -> (Stage, Web) {
    let stage = Stage::new(&GRANTS, "");
    let web = Web::start(&stage.site);
    let base = web.url.trim_end_matches("/keys");
    stage.configure(
        &GRANTS,
        &format!(
            "deadline.authenticate = \"3s\"\n[extensions.probe.connections.web]\nurl = \"{base}\"\n\
             ca = \"{ca}\"\ntimeout = \"2s\"\nmax-response = \"1 KiB\"\n{more}"
        ),
    );
    (stage, web)
}

#[test]
fn a_server_is_asked_over_tls_under_a_private_authority() {
    let (stage, web) = stage("pki/ca.pem", "");
    let gateway = stage.start();
    web.serve("the answer");
    assert_eq!(stage.done(&gateway, "get-from web /x?y=1"), "200 the answer");
    assert_eq!(stage.done(&gateway, "post-to web /x body"), "200 the answer");
    let asked = web.asked();
    stage.refused(&gateway, "get-from web /../x", "Invalid");
    stage.refused(&gateway, "get-from web https://elsewhere/", "Invalid");
    stage.refused(&gateway, "get-from other /x", "UnknownConnection");
    assert_eq!(web.asked(), asked, "nothing was sent");
    web.serve(&"x".repeat(2_000));
    stage.refused(&gateway, "get-from web /x", "TooLarge");
    web.fail();
    let why = stage.ask(&gateway, "get-from web /x").expect_err("the server closes at once");
    assert!(["Unreachable", "Protocol", "Tls"].iter().any(|error| why.contains(error)), "{why}");
}

#[test]
fn a_server_with_another_authority_is_not_believed() {
    let (stage, web) = stage("other.pem", "");
    std::fs::copy(Site::new().ca(), stage.site.path("other.pem")).expect("another authority");
    let gateway = stage.start();
    web.serve("the answer");
    stage.refused(&gateway, "get-from web /x", "Tls");
}

#[test]
fn a_slow_server_costs_its_caller_the_answer_and_nobody_else_anything() {
    let (stage, web) = stage("pki/ca.pem", "");
    web.serve("the answer");
    web.delay(Duration::from_secs(20));
    let mut gateway = stage.start();
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let began = Instant::now();
            let why = stage.refused(&gateway, "get-from web /x", "Timeout");
            (began.elapsed(), why)
        });
        let mut other = gateway.client("other");
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let began = Instant::now();
            assert!(other.pings(), "others are served");
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
        let (took, why) = slow.join().expect("the caller");
        assert!(took < Duration::from_secs(10), "{took:?}: {why}");
    });
    let stats = gateway.counters();
    assert_eq!(stats.of_extension("probe", "deadline_exceeded"), 0, "the guest could still answer");
    gateway.assert_sound();
}

/// Those who wait for a call of the extension are called in by the number of its instances, also by one that came with a
/// reload.
#[test]
fn as_many_are_decided_about_at_a_time_as_there_are_instances_now() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
    server.set_nonblocking(true).expect("it can be asked");
    let port = server.local_addr().expect("it is bound").port();
    let stage = Stage::new(&GRANTS, "");
    let configure = |instances: usize| {
        let more = format!(
            "instances = {instances}\ndeadline.authenticate = \"8s\"\n[extensions.probe.connections.web]\n\
             url = \"https://localhost:{port}\"\nca = \"pki/ca.pem\"\nconnect-timeout = \"6s\"\ntimeout = \"7s\"\n"
        );
        stage.configure(&GRANTS, &more);
    };
    configure(1);
    let mut gateway = stage.start();
    let knock = |round: &str| {
        [1, 2, 3].map(|number| {
            let options = gateway.options(&format!("{round}-{number}"));
            let options = options.user("get-from web /x", "").plain_at(stage.port);
            options.knock().expect("the gateway accepts connections")
        })
    };

    let mut clients = knock("before");
    for _ in &clients {
        let held = arrivals(&server, 1, PATIENCE);
        assert_eq!(held.len(), 1);
        assert_eq!(arrivals(&server, 1, QUIET).len(), 0, "there is one instance");
    }
    clients.iter_mut().for_each(|client| drop(client.receive()));

    configure(3);
    gateway.reload();
    let _clients = knock("after");
    let held = arrivals(&server, 3, PATIENCE);
    assert_eq!(
        held.iter().filter(|stream| is_open(stream)).count(),
        3,
        "there are three instances"
    );
    gateway.assert_sound();
}

#[test]
fn headers_that_no_request_can_have_are_refused_with_their_place() {
    let (stage, _) = stage("pki/ca.pem", "headers.host = \"x\"\n");
    let out = stage.site.check();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    for part in ["extension \"probe\": connection \"web\"", "\"host\" is set by the gateway"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

/// As many connections as come in this time, at most `count`. Nobody answers them; they are closed when they are dropped.
fn arrivals(server: &TcpListener, count: usize, patience: Duration) -> Vec<TcpStream> {
    let until = Instant::now() + patience;
    let mut held = Vec::new();
    while held.len() < count && Instant::now() < until {
        match server.accept() {
            Ok((stream, _)) => held.push(stream),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    held
}

/// Whether the other side has not given up.
fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it can be asked");
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

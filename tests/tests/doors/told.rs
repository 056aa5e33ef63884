//! What an extension is told of how a client came, as a recording has it.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, PATIENCE, Site, Wire, free_port, program};
use serde_json::Value;

use crate::proxy::proxied;

/// How long is recorded: long enough for three clients on a busy machine.
const RECORDED: &str = "8s";

#[test]
fn extensions_know_the_way_and_the_address() {
    let (site, ws, behind) = (Site::new(), free_port(), free_port());
    site.configure(&format!(
        r#"[listeners.pages]
bind = "127.0.0.1:{ws}"
transport = "ws"
chain = ["password", "acl"]
[listeners.behind]
bind = "127.0.0.1:{behind}"
transport = "tcp"
proxy-protocol = ["127.0.0.1"]
chain = ["password", "acl"]
[listeners.programs]
bind = "unix:mqtt.sock"
chain = ["password", "acl"]
"#
    ));
    let gateway = Gateway::start_with(&site, 5);
    let file = site.path("acl.rec");
    let mut command = Command::new(&program().portcullis);
    command.args(["extension", "record", "acl", "--for", RECORDED, "--out"]).arg(&file);
    command.arg("--config").arg(site.config()).stdout(Stdio::null());
    let mut recording = command.spawn().expect("the gateway's program starts");
    let until = Instant::now() + PATIENCE;
    while gateway.log.events(0, "recording begins").is_empty() {
        assert!(Instant::now() < until, "no recording begins");
        thread::sleep(Duration::from_millis(20));
    }
    gateway.options("page").connect_on(Wire::ws(ws).expect("it is opened"));
    gateway.options("behind").connect_on(proxied(behind));
    let local = Wire::unix(&site.path("mqtt.sock")).expect("it is accepted");
    gateway.options("program").connect_on(local);
    assert!(recording.wait().expect("it ends").success());

    let text = fs::read_to_string(&file).expect("the recording is there");
    let calls: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (client, transport, address) in [
        ("page", "websocket", "127.0.0.1"),
        ("behind", "tcp", "198.51.100.7"),
        ("program", "unix", "unix"),
    ] {
        let told = calls.iter().find_map(|call| connection(call, client));
        let told = told.unwrap_or_else(|| panic!("{client} is in no call: {text}"));
        assert_eq!(told["transport"], transport, "{told}");
        assert_eq!(told["peer_address"], address, "{told}");
    }
}

/// What a call was told of this client's connection, wherever in it that stands.
fn connection<'a>(call: &'a Value, client: &str) -> Option<&'a Value> {
    match call {
        Value::Object(_) if call["client_id"] == client && !call["peer_address"].is_null() => {
            Some(call)
        }
        Value::Object(members) => members.values().find_map(|value| connection(value, client)),
        Value::Array(items) => items.iter().find_map(|value| connection(value, client)),
        _ => None,
    }
}

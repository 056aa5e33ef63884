use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_tests::{DEMO, Gateway, Operator, PATIENCE, Site, program};
use serde_json::Value;

/// What a bridge is told of how to come back: at once, as tests are impatient.
pub(crate) const QUICK: &str =
    "retry-min = \"100ms\"\nretry-max = \"500ms\"\nconnect-timeout = \"5s\"\n";

/// What `out` and `in` say where each side has the same below `demo/`.
pub(crate) fn rules(name: &str, outward: &[&str], inward: &[&str]) -> String {
    let table =
        |direction: &str, lines: &&str| format!("[[bridges.{name}.{direction}]]\n{lines}\n");
    let outward = outward.iter().map(|lines| table("out", lines));
    outward.chain(inward.iter().map(|lines| table("in", lines))).collect()
}

/// `[bridges.NAME]` to another gateway of the tests, over TLS, as its user [`DEMO`]. `more` are further keys.
pub(crate) fn to_gateway(site: &Site, name: &str, upstream: &Site, more: &str) -> String {
    let file = format!("{name}.password");
    fs::write(site.path(&file), format!("{}\n", upstream.password))
        .expect("the password is written");
    let (port, ca) = (upstream.tls, upstream.ca());
    format!(
        "[bridges.{name}]\nurl = \"mqtts://localhost:{port}\"\nusername = \"{DEMO}\"\npassword-file = \"{file}\"\n\
         tls.ca = {ca:?}\n{QUICK}{more}\n"
    )
}

/// A client certificate of the site's own authority; its files without their endings.
pub(crate) fn client_certificate(site: &Site, name: &str) -> String {
    let files = format!("pki/{name}");
    if site.path(format!("{files}.pem")).is_file() {
        return files;
    }
    let mut command = Command::new(&program().portcullis);
    command.current_dir(site.path("")).args(["cert", "client", name]);
    let out = command.output().expect("the gateway starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(Path::new(&site.path(format!("{files}.pem"))).is_file());
    files
}

/// Waits until a bridge has said that it is connected, for the `times`th time.
pub(crate) fn wait_until_connected(gateway: &Gateway<'_>, times: usize) {
    let connected = gateway.log.wait_for_lines("\"bridge connected\"", times, PATIENCE);
    assert!(connected, "the bridge does not connect:\n{}", gateway.log.text());
}

/// The counters of its only bridge.
pub(crate) fn counters(gateway: &Gateway<'_>) -> Value {
    let mark = gateway.log.mark();
    gateway.counters();
    let found = gateway.log.wait(mark, PATIENCE, |event| event["message"] == "bridge counters");
    found.expect("the gateway has a bridge")
}

/// Waits until one of them has this value.
pub(crate) fn wait_for(gateway: &Gateway<'_>, counter: &str, least: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let now = counters(gateway);
        if now[counter].as_u64().is_some_and(|value| value >= least) {
            return;
        }
        assert!(Instant::now() < until, "{counter} does not reach {least}: {now}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until nothing is left for anybody: exchanges end a moment after what they are about has arrived.
pub(crate) fn wait_until_empty(gateway: &Gateway<'_>) {
    wait_until_empty_for(gateway, PATIENCE);
}

/// As [`wait_until_empty`], for as long as a cluster may take that has lost a node.
pub(crate) fn wait_until_empty_for(gateway: &Gateway<'_>, patience: Duration) {
    let until = Instant::now() + patience;
    loop {
        let counters = gateway.counters();
        let left = (counters.get("queued"), counters.get("in_flight"));
        if left == (0, 0) {
            return;
        }
        assert!(Instant::now() < until, "queued and in flight: {left:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How its operator sees a bridge; `None` if there is none of that name.
pub(crate) fn view(site: &Site, name: &str) -> Option<Value> {
    let answer = Operator::of(site).asks(&["bridges"]);
    let all = answer["bridges"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|bridge| bridge["name"] == name)
}

pub(crate) fn state(site: &Site, name: &str) -> Option<String> {
    view(site, name)?["state"].as_str().map(str::to_owned)
}

pub(crate) fn wait_for_state(site: &Site, name: &str, wanted: &str) {
    let until = Instant::now() + PATIENCE;
    while state(site, name).as_deref() != Some(wanted) {
        assert!(Instant::now() < until, "{name} is {:?}, not {wanted}", view(site, name));
        std::thread::sleep(Duration::from_millis(50));
    }
}

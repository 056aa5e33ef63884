//! Compiled code is kept for the next start, and made in a process of its own.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, PATIENCE, Site, program};

/// Where the code of each extension came from.
fn whence(gateway: &Gateway<'_>) -> Vec<String> {
    let events = gateway.log.events(0, "extension has its code");
    let code = |event: &serde_json::Value| event["code"].as_str().unwrap_or_default().to_owned();
    events.iter().map(code).collect()
}

#[test]
fn the_second_start_has_the_code_of_the_first() {
    let site = Site::new();
    for expected in ["compiled in a process of its own", "kept"] {
        let gateway = Gateway::start(&site);
        assert_eq!(whence(&gateway), [expected; 2], "{}", gateway.log.text());
        assert!(gateway.client("kept").pings());
        gateway.stop();
    }
    // A key that is gone is another gateway's: nothing that it sealed is believed.
    fs::remove_file(site.path("data/compiled/key")).expect("a key");
    let gateway = Gateway::start(&site);
    assert_eq!(whence(&gateway), ["compiled in a process of its own"; 2]);
    assert!(gateway.client("again").pings());
}

#[test]
fn keeping_and_the_process_can_be_turned_off() {
    let site = Site::new();
    site.configure("[compiler]\ncache = false\nseparate-process = false\n");
    for _ in 0..2 {
        let gateway = Gateway::start(&site);
        assert_eq!(whence(&gateway), ["compiled here"; 2]);
        assert!(gateway.client("here").pings());
        gateway.stop();
    }
    assert!(!site.path("data/compiled").exists());
}

#[test]
fn a_process_that_takes_too_much_is_ended() {
    let site = Site::new();
    for (bounds, says) in [
        ("deadline = \"1ms\"", "takes longer than compiler.deadline"),
        ("max-memory = \"16 MiB\"", "takes more memory than compiler.max-memory"),
    ] {
        site.configure(&format!("[compiler]\ncache = false\n{bounds}\n"));
        let out = site.check();
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{text}");
        assert!(text.contains(says), "\"{says}\" is not in {text}");
    }
}

#[test]
fn the_process_that_compiles_is_walled_in_before_it_has_its_job() {
    let mut child = Command::new(&program().portcullis)
        .args(["compile-component", "50331648"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let limits = format!("/proc/{}/limits", child.id());
    let limit = |name: &str| {
        let text = fs::read_to_string(&limits).expect("it runs: nobody has handed it a job");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let until = Instant::now() + PATIENCE;
    // Soft and hard. Of core it is set last.
    while limit("Max core file size") != ["0", "0"] {
        assert!(Instant::now() < until, "{:?}", limit("Max core file size"));
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(limit("Max data size"), ["50331648", "50331648"]);
    let mut job = child.stdin.take().expect("a pipe");
    // It ends while it reads.
    let _ = job.write_all(&vec![0; 60 << 20]);
    drop(job);
    assert_eq!(child.wait().expect("it is our child").code(), Some(71), "too much memory");
}

/// Where the wall is the process cannot get past it, whatever it asks for; the gateway and its clients do not notice.
#[test]
fn a_component_that_takes_too_much_is_refused_and_the_gateway_goes_on() {
    let site = Site::new();
    Gateway::start(&site).stop();
    // Too little for any component: what runs has its code from the first start.
    site.configure("[compiler]\nmax-memory = \"16 MiB\"\n");
    let mut gateway = Gateway::start(&site);
    assert_eq!(whence(&gateway), ["kept"; 2]);
    let mut client = gateway.client("in");
    fs::copy(program().extensions.join("probe.wasm"), site.path("extensions/acl.wasm"))
        .expect("another component");
    let mark = gateway.log.mark();
    assert!(gateway.reload().is_empty(), "{}", gateway.log.text());
    let said = gateway.log.events(mark, "extension not reloaded; it goes on as it is");
    let error = said.first().and_then(|event| event["error"].as_str()).unwrap_or_default();
    assert!(error.contains("takes more memory than compiler.max-memory"), "{}", gateway.log.text());
    assert!(client.pings() && gateway.client("later").pings());
    gateway.assert_sound();
}

#[test]
fn a_look_at_a_configuration_leaves_nothing_and_needs_no_place_to_write() {
    let site = Site::new();
    // Not even root can write there.
    let text = fs::read_to_string(site.config()).expect("a configuration");
    fs::write(site.config(), text.replacen("\"data\"", "\"/proc/portcullis\"", 1))
        .expect("written");
    let out = site.check();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    site.configure("");
    assert!(site.check().status.success());
    assert!(!site.path("data/compiled").exists(), "it left something");
}

#[test]
fn a_place_that_is_no_good_costs_time_only() {
    let site = Site::new();
    fs::create_dir_all(site.path("data")).expect("a folder");
    fs::write(site.path("data/compiled"), "a file").expect("a file");
    let gateway = Gateway::start(&site);
    let refused = gateway.log.events(0, "compiled code is not kept; each start compiles again");
    let why = refused.first().and_then(|event| event["why"].as_str()).unwrap_or_default();
    assert!(why.contains("data/compiled"), "{why}");
    assert!(gateway.client("no-place").pings());
}

//! The unit of the package, beside what the gateway really does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, PATIENCE, Site, program};

const UNIT: &str = include_str!("../../../gateway/packaging/portcullis.service");

/// What the documentation has beside it: drop-ins, and a socket.
const DROP_INS: [(&str, &str); 2] = [
    ("credentials.conf", include_str!("../../../gateway/packaging/credentials.conf")),
    ("interpreter.conf", include_str!("../../../gateway/packaging/interpreter.conf")),
];
const SOCKET: &str = include_str!("../../../gateway/packaging/portcullis.socket");

/// Where the package puts the program.
const INSTALLED: &str = "/usr/bin/portcullis";

/// What a gateway does from start to end, with a client, a queue and a reload: all calls of the system.
fn trace(site: &Site) -> String {
    let trace = site.path("trace");
    let shown = trace.display().to_string();
    // Tracing from aside, so that signals reach the gateway.
    let gateway = Gateway::start_under(site, 2, &["strace", "-D", "-f", "-q", "-o", &shown]);
    let mut away = gateway.options("away").persistent().connect();
    away.subscribe("demo/#", QoS::AtLeastOnce);
    away.leave();
    gateway.client("pump").publish_and_wait("demo/x", b"kept", true);
    gateway.reload();
    let (status, log) = gateway.stop();
    assert!(status.success(), "{}", log.text());
    // It may be a little behind.
    let until = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&trace).expect("strace writes what it sees");
        if text.lines().next_back().is_some_and(|line| line.ends_with("+++ exited with 0 +++")) {
            return text;
        }
        assert!(Instant::now() < until, "strace does not come to an end");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_writes_below_its_data_directory_only_and_the_unit_allows_what_it_calls() {
    let site = Site::new();
    let trace = trace(&site);
    let data = site.path("data").display().to_string();
    let site_folder = site.path("").display().to_string();
    let is_own = |path: &str| {
        path.starts_with(&data) || path.starts_with("/proc/self/") || path.starts_with("/dev/null")
    };
    let written: BTreeSet<&str> = trace.lines().filter_map(written).collect();
    let elsewhere: Vec<_> = written.iter().filter(|path| !is_own(path)).collect();
    assert!(elsewhere.is_empty(), "written outside of {data}: {elsewhere:?}");
    assert!(written.iter().any(|path| path.starts_with(&site_folder)), "{written:?}");

    let called: BTreeSet<&str> = trace.lines().filter_map(called).collect();
    assert!(called.len() > 30, "{called:?}");
    let allowed = allowed();
    let refused: Vec<_> = called.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(refused.is_empty(), "the unit's SystemCallFilter refuses {refused:?}");
}

#[test]
fn the_unit_is_valid_and_strict() {
    let unit =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/packaging/portcullis.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--threshold=15"])
        .arg(unit)
        .output()
        .expect("systemd-analyze is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "an exposure of at most 1.5 of 10:\n{said}");
    assert!(said.contains("Overall exposure level for portcullis.service"), "{said}");
}

/// Each complaint of systemd counts: it ignores what it does not know, and the unit would be less strict than it looks.
#[test]
fn systemd_understands_every_line_of_the_units() {
    assert!(UNIT.contains(&format!("ExecStart={INSTALLED} ")), "what the package installs");
    assert_eq!(complaints(UNIT, SOCKET), "");
    let said = complaints(&UNIT.replace("ProtectClock=", "ProtectClocks="), SOCKET);
    assert!(said.contains("ProtectClocks"), "{said}");
    let said = complaints(&UNIT.replace("ExecStart=/", "ExecStart=/absent/"), SOCKET);
    assert!(said.contains("is not executable"), "{said}");
    let said = complaints(UNIT, &SOCKET.replace("ListenStream=", "ListenStrom="));
    assert!(said.contains("ListenStrom"), "{said}");
}

/// What `systemd-analyze verify` says of a service with all drop-ins, and of a socket. The program that is tested stands for
/// the one that would be installed; the manual page comes with the package.
fn complaints(service: &str, socket: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let own = program().portcullis.display().to_string();
    let units = [("portcullis.service", service), ("portcullis.socket", socket)];
    let units = units.map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text.replace(&format!("={INSTALLED} "), &format!("={own} ")))
            .expect("a unit is written");
        path
    });
    let drop_ins = folder.path().join("portcullis.service.d");
    fs::create_dir(&drop_ins).expect("a folder");
    for (name, text) in DROP_INS {
        fs::write(drop_ins.join(name), text).expect("a drop-in is written");
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(units)
        .output()
        .expect("systemd-analyze is installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{}: {said}", output.status);
    said
}

/// The path that a call makes, changes or opens for writing, if it succeeded.
fn written(line: &str) -> Option<&str> {
    let call = called(line)?;
    let failed = line.contains(" = -1 ");
    let quoted = || line.split('"').nth(1);
    let writes = match call {
        "open" | "openat" => {
            ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| line.contains(flag))
        }
        "mkdir" | "mkdirat" | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2"
        | "rmdir" => true,
        _ => false,
    };
    if writes && !failed { quoted() } else { None }
}

/// The name of the call in a line of strace.
fn called(line: &str) -> Option<&str> {
    let rest = line.split_once(' ')?.1.trim_start();
    let (name, _) = rest.split_once('(')?;
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    Some(name).filter(|name| !name.is_empty() && is_name(name))
}

/// The calls that are left when all lines of the filter have been applied.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (denies, names) = line.strip_prefix('~').map_or((false, line), |names| (true, names));
        for name in names.split_whitespace() {
            for call in calls(name) {
                if denies {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            }
        }
    }
    assert!(allowed.len() > 100, "{allowed:?}");
    // What systemd always allows.
    allowed.extend(calls("@default"));
    allowed
}

/// The calls of a group, groups in it included.
fn calls(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let output =
        Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]).output();
    let text = String::from_utf8(output.expect("systemd-analyze is installed").stdout);
    let text = text.expect("names are text");
    let names = text.lines().skip(1).map(str::trim);
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).flat_map(calls).collect()
}

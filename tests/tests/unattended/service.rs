//! What whoever has started the gateway is told while it runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, PATIENCE, Site};

/// How long a sync takes where the disk hangs.
const HANGS: Duration = Duration::from_secs(4);

struct Supervisor(UnixDatagram);

impl Supervisor {
    fn at(site: &Site) -> Self {
        let socket = UnixDatagram::bind(site.path("notify.sock")).expect("a Unix socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        Self(socket)
    }

    fn hears(&self) -> String {
        let mut words = [0; 128];
        let count = self.0.recv(&mut words).expect("the gateway tells its supervisor");
        String::from_utf8_lossy(&words[..count]).into_owned()
    }

    /// Signs of life within a time.
    fn signs_within(&self, time: Duration) -> usize {
        let until = Instant::now() + time;
        self.0.set_nonblocking(true).expect("a socket need not wait");
        let (mut signs, mut words) = (0, [0; 128]);
        while Instant::now() < until {
            match self.0.recv(&mut words) {
                Ok(count) if words[..count].starts_with(b"WATCHDOG=1") => signs += 1,
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
        self.0.set_nonblocking(false).expect("a socket may wait");
        signs
    }
}

#[test]
fn a_reload_is_announced_and_ends() {
    let site = Site::new();
    let supervisor = Supervisor::at(&site);
    let socket = site.path("notify.sock");
    let gateway = Gateway::start_in(&site, 2, &[("NOTIFY_SOCKET", socket.as_os_str())]);
    assert_eq!(supervisor.hears(), "READY=1\n");
    gateway.reload();
    let said = supervisor.hears();
    let monotonic = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_default();
    assert!(monotonic.trim().parse::<u64>().is_ok(), "{said}");
    assert_eq!(supervisor.hears(), "READY=1\n");
    gateway.stop();
    assert_eq!(supervisor.hears(), "STOPPING=1\n");
}

/// Whoever is not asked for signs of life gives none: the test above would have heard them. Here a disk hangs in the middle
/// of a sync.
#[test]
fn signs_of_life_come_while_the_disk_answers() {
    let site = Site::new();
    let supervisor = Supervisor::at(&site);
    let socket = site.path("notify.sock");
    let environment =
        [("NOTIFY_SOCKET", socket.as_os_str()), ("WATCHDOG_USEC", OsStr::new("600000"))];
    let gateway = Gateway::start_in(&site, 2, &environment);
    let mut away = gateway.options("away").persistent().connect();
    away.subscribe("demo/#", QoS::AtLeastOnce);
    away.leave();
    let signs = supervisor.signs_within(Duration::from_secs(2));
    assert!((6..=12).contains(&signs), "{signs} in 2 s, one each 200 ms");

    let mut hanging = hang(gateway.meter().0);
    let mut client = gateway.client("pump");
    client.publish("demo/x", b"kept", QoS::AtLeastOnce, false);
    // What was sent before the disk hung, and the round in which it began to.
    supervisor.signs_within(Duration::from_millis(700));
    let signs = supervisor.signs_within(HANGS / 2);
    assert_eq!(signs, 0, "the store's thread waits for the disk");
    assert!(gateway.log.text().contains("store's thread does not answer"));
    let signs = supervisor.signs_within(HANGS * 2);
    assert!(signs > 0, "the disk answers again");
    client.receive();
    // It may have ended with what it watched.
    let _ = hanging.kill();
    let _ = hanging.wait();
}

/// Has each sync of a process take long from here on.
fn hang(pid: u32) -> Child {
    let delay = format!("inject=fdatasync,fsync:delay_enter={}", HANGS.as_micros());
    let mut child = Command::new("strace")
        .args(["-f", "-e", "trace=fdatasync,fsync", "-e", &delay, "-o", "/dev/null", "-p"])
        .arg(pid.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is installed");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = said.lines().map_while(Result::ok);
    let attached = said.find(|line| line.contains("attached"));
    assert!(
        attached.is_some(),
        "strace may look into processes: run as root, or set kernel.yama.ptrace_scope to 0"
    );
    // Somebody reads on, or strace is stopped by a pipe that is full.
    thread::spawn(move || said.for_each(drop));
    child
}

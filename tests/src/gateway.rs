use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, Options};
use crate::log::Log;
use crate::process::Meter;
use crate::program::program;
use crate::site::{DEMO, Site, portcullis};
use crate::{PATIENCE, Wire};

/// Lines of the log that are shown where a test fails.
const LAST_WORDS: usize = 60;

/// A running gateway. It is killed when this value goes.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// What it runs on.
    pub site: &'a Site,
    /// What it has said.
    pub log: Log,
    child: Child,
}

impl<'a> Gateway<'a> {
    /// Starts it and waits until its two listeners listen.
    pub fn start(site: &'a Site) -> Self {
        Self::start_with(site, 2)
    }

    /// Starts it and waits until `listeners` of them listen.
    pub fn start_with(site: &'a Site, listeners: usize) -> Self {
        Self::start_in(site, listeners, &[])
    }

    /// As [`Gateway::start_with`], with these variables in its environment.
    pub fn start_in(site: &'a Site, listeners: usize, environment: &[(&str, &OsStr)]) -> Self {
        Self::launch_in(site, environment).listening(listeners, PATIENCE)
    }

    /// As [`Gateway::start_with`], for as long as it takes to load what is large.
    pub fn start_patiently(site: &'a Site, listeners: usize, patience: Duration) -> Self {
        Self::launch(site).listening(listeners, patience)
    }

    fn listening(mut self, listeners: usize, patience: Duration) -> Self {
        let listens = self.listens(listeners, patience);
        assert!(listens, "the gateway does not listen:\n{}", self.log.text());
        self
    }

    fn listens(&mut self, listeners: usize, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.log.wait_for_lines("listening", listeners, Duration::from_millis(200)) {
                return true;
            }
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
        }
        false
    }

    /// Starts it and does not wait.
    pub fn launch(site: &'a Site) -> Self {
        Self::launch_in(site, &[])
    }

    /// Starts it where addresses are limited to so many KiB, with these variables in its environment, and waits until
    /// `listeners` of them listen.
    pub fn start_within(
        site: &'a Site,
        listeners: usize,
        address_space_kib: u64,
        environment: &[(&str, &OsStr)],
    ) -> Self {
        // The shell's own `ulimit`, as an operator has it; the standard library cannot set limits.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v \"$0\" && exec \"$@\""]).arg(address_space_kib.to_string());
        command.arg(&program().portcullis).envs(environment.iter().copied());
        Self::spawn(site, command).listening(listeners, PATIENCE)
    }

    /// Starts it by another program, which becomes it, and waits until `listeners` of it listen.
    pub fn start_under(site: &'a Site, listeners: usize, by: &[&str]) -> Self {
        let mut command = Command::new(by.first().expect("a program"));
        command.args(by.get(1..).unwrap_or_default()).arg(&program().portcullis);
        Self::spawn(site, command).listening(listeners, PATIENCE)
    }

    /// Starts another build of it.
    pub fn launch_build(site: &'a Site, program: &Path) -> Self {
        Self::spawn(site, Command::new(program))
    }

    /// Waits until `listeners` of it listen.
    pub fn listening_in_time(self, listeners: usize) -> Self {
        self.listening(listeners, PATIENCE)
    }

    /// As [`Gateway::launch`], with these variables in its environment.
    pub fn launch_in(site: &'a Site, environment: &[(&str, &OsStr)]) -> Self {
        let mut command = portcullis();
        command.envs(environment.iter().copied());
        Self::spawn(site, command)
    }

    /// Starts it as systemd does with the sockets of units, named in `names` with colons between, and waits
    /// until `listeners` of it listen.
    pub fn start_activated(
        site: &'a Site,
        listeners: usize,
        names: &str,
        [first, second]: [OwnedFd; 2],
        environment: &[(&str, &OsStr)],
    ) -> Self {
        let mut command = Command::new("sh");
        // The shell's own way to number descriptors; the standard library has none.
        let script = "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=\"$0\"; exec \"$@\" 3<&0 4<&1 0</dev/null 1>&2";
        command.args(["-c", script, names]).arg(&program().portcullis);
        command.envs(environment.iter().copied());
        command.stdin(first).stdout(second);
        Self::spawn_with(site, command).listening(listeners, PATIENCE)
    }

    fn spawn(site: &'a Site, mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::spawn_with(site, command)
    }

    fn spawn_with(site: &'a Site, mut command: Command) -> Self {
        let mut child = command
            .arg("run")
            .arg("--config")
            .arg(site.config())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let log = Log::read(child.stderr.take().expect("a pipe"));
        Self { site, log, child }
    }

    /// Options of a client that comes as [`DEMO`] over TLS.
    pub fn options(&self, client_id: &str) -> Options {
        Options::new(client_id, self.site).user(DEMO, &self.site.password)
    }

    /// A client that is in as [`DEMO`], over TLS with MQTT 5.
    pub fn client(&self, client_id: &str) -> Client {
        self.options(client_id).connect()
    }

    /// A connection to the TLS port that has not sent anything.
    pub fn tls(&self) -> Wire {
        Wire::tls(self.site.tls, &self.site.ca()).expect("the gateway accepts connections")
    }

    /// A connection to the plain port that has not sent anything.
    pub fn plain(&self) -> Wire {
        Wire::plain(self.site.plain).expect("the gateway accepts connections")
    }

    /// Asks for all counters, and waits for them.
    pub fn counters(&self) -> Counters {
        let mark = self.log.mark();
        self.signal("USR1");
        let read = |message: &str| {
            let event = self.log.wait(mark, PATIENCE, |event| event["message"] == message);
            event.unwrap_or_else(|| panic!("no {message}:\n{}", self.log.text()))
        };
        let mut all = read("counters");
        for more in ["store counters", "door counters"] {
            if let (Some(all), Value::Object(more)) = (all.as_object_mut(), read(more)) {
                all.extend(more);
            }
        }
        Counters(all)
    }

    /// The events since `mark` with this message. Log lines come a little later than what they are about;
    /// this waits for all that were due when it was called.
    pub fn events(&self, mark: usize, message: &str) -> Vec<Value> {
        self.counters();
        self.log.events(mark, message)
    }

    /// Waits until a counter has reached `least`.
    pub fn wait_for(&self, counter: &str, least: u64) {
        let until = Instant::now() + PATIENCE;
        while self.counters().get(counter) < least {
            assert!(
                Instant::now() < until,
                "{counter} does not reach {least}: {:?}",
                self.counters()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has it load what has changed of its extensions, and waits until that is done. Answers with the
    /// events of those that changed.
    pub fn reload(&self) -> Vec<Value> {
        let mark = self.log.mark();
        self.signal("HUP");
        let done = self.log.wait(mark, PATIENCE, |event| event["message"] == "extensions reloaded");
        assert!(done.is_some(), "the extensions were not reloaded:\n{}", self.log.text());
        let mut changed = self.log.events(mark, "extension reconfigured");
        changed.extend(self.log.events(mark, "extension swapped"));
        changed
    }

    /// The kernel's counts.
    pub fn meter(&self) -> Meter {
        Meter(self.child.id())
    }

    /// `kill -9`, and the bytes that it had written to disk in its life.
    pub fn kill(mut self) -> u64 {
        self.child.kill().expect("it is our child");
        // Dead and not yet waited for: the count is final and still there.
        let until = Instant::now() + PATIENCE;
        while !self.meter().is_dead() {
            assert!(Instant::now() < until, "the gateway does not die");
            thread::sleep(Duration::from_millis(1));
        }
        self.meter().disk_bytes()
    }

    /// SIGTERM, then waits for its end.
    pub fn stop(mut self) -> (ExitStatus, Log) {
        self.signal("TERM");
        (self.ended(), self.log.clone())
    }

    /// Waits for an end that comes by itself, and until all that was said before it is in the log.
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                self.log.wait_for_end(PATIENCE);
                return status;
            }
            assert!(Instant::now() < until, "the gateway does not end:\n{}", self.log.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Fails if it has ended, or has said that something in it panicked.
    pub fn assert_sound(&mut self) {
        let ended = self.child.try_wait().expect("it is our child");
        assert!(ended.is_none(), "the gateway ended, {ended:?}:\n{}", self.log.text());
        let text = self.log.text();
        let panic = text.lines().find(|line| line.contains("panic"));
        assert!(panic.is_none(), "something in the gateway panicked: {panic:?}");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: the standard library has no other signal than the one that kills.
        let line = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").arg("-c").arg(line).status().expect("there is a shell");
        assert!(status.success(), "the gateway has ended:\n{}", self.log.text());
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the gateway's last words:\n{}", self.log.tail(LAST_WORDS));
        }
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All counters of a gateway at one moment.
#[derive(Clone, Debug)]
pub struct Counters(Value);

impl Counters {
    /// A counter by the name that it has in the log.
    pub fn get(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("there is no counter {name}: {}", self.0))
    }

    /// By how much each number has changed that was another one in `earlier`.
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, i64> {
        let numbers = self.0.as_object().into_iter().flatten();
        let changes = numbers.filter_map(|(name, value)| {
            let by = value.as_i64()? - earlier.0[name].as_i64().unwrap_or(0);
            (by != 0).then(|| (name.clone(), by))
        });
        changes.collect()
    }

    /// Whether what this one tells of is so.
    pub fn holds(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("there is no {name}: {}", self.0))
    }

    /// A counter of an extension.
    pub fn of_extension(&self, extension: &str, name: &str) -> u64 {
        let all = self.0["extensions"].as_str().unwrap_or_default();
        let own = all.split("; ").find(|text| text.starts_with(&format!("{extension}@")));
        let words = own.unwrap_or_else(|| panic!("there is no extension {extension}: {all}"));
        let value = words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let number = value.and_then(|value| value.parse().ok());
        number.unwrap_or_else(|| panic!("{extension} has no counter {name}: {words}"))
    }
}

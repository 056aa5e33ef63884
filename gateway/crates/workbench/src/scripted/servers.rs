//! Servers that answer what a script says, and nothing else.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use config::fixture::{HttpFailure, HttpOutcome, Script};
use extension_host::{HttpConnection, HttpFault, HttpRequest, HttpResponse};

use super::lock;
use crate::arrival::shown;
use crate::compare::Difference;
use crate::nature::Staged;
use crate::pattern::matches;

/// All servers of a world.
#[derive(Debug)]
pub(super) struct Servers {
    /// The scripts of the file.
    usual: Vec<Script>,
    nature: Arc<Staged>,
    repeated: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each script of the file has answered in this case.
    usual: Vec<u32>,
    /// The scripts of the case, and how often each has answered.
    own: Vec<(Script, u32)>,
    requests: Vec<String>,
    /// Requests that no script has, each with its headers.
    unforeseen: Vec<Vec<String>>,
}

/// One of them, by the name of its connection.
#[derive(Debug)]
struct Connection {
    stated: config::HttpConnection,
    servers: Arc<Servers>,
}

/// The server of a connection.
pub(super) fn connection(
    servers: &Arc<Servers>,
    stated: &config::HttpConnection,
) -> Arc<dyn HttpConnection> {
    Arc::new(Connection { stated: stated.clone(), servers: Arc::clone(servers) })
}

impl Servers {
    pub(super) fn new(usual: &[Script], nature: Arc<Staged>, repeated: bool) -> Self {
        Self { usual: usual.to_vec(), nature, repeated, state: Mutex::default() }
    }

    pub(super) fn begin(&self, scripts: &[Script]) {
        let mut state = lock(&self.state);
        state.usual = vec![0; self.usual.len()];
        state.own = scripts.iter().map(|script| (script.clone(), 0)).collect();
    }

    /// What was asked for without a script, and scripts of the case that were not asked for; `line` is that of the case.
    pub(super) fn end(&self, line: usize) -> Vec<Difference> {
        let mut state = lock(&self.state);
        let unforeseen = state.unforeseen.drain(..).map(|request| {
            let mut lines = vec!["- a script for this request".to_owned()];
            lines.extend(request.into_iter().map(|line| format!("+ {line}")));
            Difference { line, what: "http".to_owned(), lines }
        });
        let mut differences: Vec<_> = unforeseen.collect();
        for (script, answered) in state.own.drain(..) {
            let wanted = script.times.unwrap_or_default();
            if answered < wanted {
                let method = script.method.as_deref().unwrap_or("*");
                let what = format!("http: {method} {} {}", script.connection, script.path);
                let (wanted, got) =
                    (format!("asked {}", times(wanted)), format!("asked {}", times(answered)));
                differences.push(Difference::of(script.line, what, wanted, got));
            }
        }
        differences
    }

    /// Requests since they were last taken.
    pub(super) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).requests)
    }

    /// What is to come of a request, and when; takes note of it.
    fn foresee(&self, connection: &str, request: &HttpRequest) -> Option<(Duration, HttpOutcome)> {
        let mut state = lock(&self.state);
        let line = line(connection, request);
        // One that is measured is the same over and over.
        if !self.repeated {
            state.requests.push(line.clone());
        }
        let State { usual: counts, own, unforeseen, .. } = &mut *state;
        let own = own.iter_mut().map(|(script, answered)| (&*script, answered));
        let usual = self.usual.iter().zip(counts);
        let mut scripts = own.chain(usual);
        let found = scripts.find(|(script, answered)| {
            let is_left = self.repeated || script.times.is_none_or(|times| **answered < times);
            is_left && fits(script, connection, request)
        });
        let Some((script, answered)) = found else {
            let headers = request.headers.iter().map(|(name, value)| format!("  {name}: {value}"));
            unforeseen.push([line].into_iter().chain(headers).collect());
            return None;
        };
        *answered = answered.saturating_add(1);
        let delay = if self.repeated { Duration::ZERO } else { script.delay };
        Some((delay, script.outcome.clone()))
    }
}

impl HttpConnection for Connection {
    fn send(&self, request: HttpRequest, wait: Duration) -> Result<HttpResponse, HttpFault> {
        self.check(&request)?;
        let Some((delay, outcome)) = self.servers.foresee(&self.stated.name, &request) else {
            let why = "the fixture has no script for this request";
            return Err(HttpFault::Unreachable(why.to_owned()));
        };
        let limit = self.stated.timeout.min(wait);
        let timeout = || {
            let why = format!("there was no whole answer within {} ms", limit.as_millis());
            HttpFault::Timeout(why)
        };
        // Really, so that the deadline of the hook counts it; and on the clock of the case, where the guest can see it.
        let passes = delay.min(limit);
        if !passes.is_zero() {
            thread::sleep(passes);
            self.servers.nature.pass(passes);
        }
        if delay > limit {
            return Err(timeout());
        }
        match outcome {
            HttpOutcome::Answer { status, headers, body } => {
                let most = self.stated.max_response;
                if body.len() as u64 > most {
                    let why = format!("the answer has more than {most} bytes");
                    return Err(HttpFault::TooLarge(why));
                }
                Ok(HttpResponse { status, headers, body })
            }
            HttpOutcome::Failure(failure) => Err(match failure {
                HttpFailure::Timeout => timeout(),
                HttpFailure::Refused => HttpFault::Unreachable(
                    "the server does not answer: the connection is refused".to_owned(),
                ),
                HttpFailure::Tls => HttpFault::Tls(
                    "no encrypted connection to the server: its certificate is not trusted"
                        .to_owned(),
                ),
                HttpFailure::TooLarge => HttpFault::TooLarge(format!(
                    "the answer has more than {} bytes",
                    self.stated.max_response
                )),
                HttpFailure::Busy => HttpFault::Busy(format!(
                    "{} requests are under way, as many as may be",
                    self.stated.max_concurrent
                )),
                HttpFailure::Protocol => {
                    HttpFault::Protocol("what the server sends is no HTTP".to_owned())
                }
            }),
        }
    }
}

impl Connection {
    /// Whether the gateway would send it.
    fn check(&self, request: &HttpRequest) -> Result<(), HttpFault> {
        let HttpRequest { method, path, headers, body } = request.clone();
        let request = connections::HttpRequest { method, path, headers, body };
        let granted = self.stated.headers.keys().chain(self.stated.secret_headers.keys());
        let checked = request.check(granted.map(String::as_str));
        checked.map_err(|failure| HttpFault::Invalid(failure.to_string()))
    }
}

fn fits(script: &Script, connection: &str, request: &HttpRequest) -> bool {
    let has_header = |(name, pattern): &(String, String)| {
        let mut named =
            request.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.any(|(_, value)| matches(pattern, value))
    };
    script.connection == connection
        && script.method.as_ref().is_none_or(|method| *method == request.method)
        && matches(&script.path, &request.path)
        && script.headers.iter().all(has_header)
        && matches(&script.body, &String::from_utf8_lossy(&request.body))
}

/// A request in a line: `POST idp /introspect: token=x`.
fn line(connection: &str, request: &HttpRequest) -> String {
    let head = format!("{} {connection} {}", request.method, request.path);
    match request.body.as_slice() {
        [] => head,
        body => head + ": " + &text(body),
    }
}

/// Bytes as they are where they are a text, and as a fixture writes them otherwise.
pub(super) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => shown(bytes),
    }
}

fn times(count: u32) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        many => format!("{many} times"),
    }
}

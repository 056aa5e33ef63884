use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bridge::{Counts, Each, Event, Health, Outlook, Priority};
use mqtt::Version;
use telemetry::{Sample, Sampler, SamplerSettings};

use crate::clock;

/// What is known of a bridge. Whoever asks reads it; its agent writes it.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) name: String,
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    view: View,
    /// Of relays that are over.
    before: Counts,
    log: Sampler,
}

/// What is known of a bridge at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) state: State,
    /// The address that is used, or was tried last.
    pub(crate) url: String,
    pub(crate) version: Version,
    /// Why the last connection is over, or there was none.
    pub(crate) cause: Option<String>,
    /// When the state began.
    pub(crate) since: Instant,
    /// Connections that came as far as messages passing.
    pub(crate) connections: u64,
    /// Attempts that did not, and connections that are over.
    pub(crate) failures: u64,
    /// What probes say of the connection.
    pub(crate) health: Health,
    pub(crate) counts: Counts,
    /// Messages that waited when the connection was made and have not gone yet.
    pub(crate) backlog: usize,
    /// While it is closed, when its window opens, in seconds since 1970; `None` also if that is not known.
    pub(crate) opens_at: Option<u64>,
    /// Whether messages of each priority go over the connection, or wait for a window of their own.
    pub(crate) priorities: Each<Outlook>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// An address is tried, or the answer to CONNECT is awaited.
    Connecting,
    /// Messages pass.
    Connected,
    /// Upstream refused the last attempt; another one is made later.
    Refused,
    /// The last attempt failed, or the connection broke; another one is made later.
    Waiting,
    /// The operator has it wait.
    Paused,
    /// None of its windows is open.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Closed => "closed",
        })
    }
}

impl Status {
    pub(super) fn new(name: &str, url: &str, version: Version) -> Self {
        let view = View {
            state: State::Connecting,
            url: url.to_owned(),
            version,
            cause: None,
            since: Instant::now(),
            connections: 0,
            failures: 0,
            health: Health::default(),
            counts: Counts::default(),
            backlog: 0,
            opens_at: None,
            priorities: Each::from_fn(|_| Outlook::OPEN),
        };
        let log = Sampler::new(SamplerSettings::default());
        let inner = Mutex::new(Inner { view, before: Counts::default(), log });
        Self { name: name.to_owned(), started: Instant::now(), inner }
    }

    pub(crate) fn view(&self) -> View {
        self.lock().view.clone()
    }

    pub(super) fn connecting(&self, url: &str, version: Version) {
        let mut inner = self.lock();
        inner.view.url = url.to_owned();
        inner.view.version = version;
        inner.view.health = Health::default();
        inner.before = inner.view.counts;
        if inner.view.state == State::Closed {
            inner.view.cause = None;
        }
        inner.enter(State::Connecting);
    }

    pub(super) fn paused(&self) {
        let mut inner = self.lock();
        inner.view.cause = None;
        inner.enter(State::Paused);
        drop(inner);
        tracing::info!(
            bridge = self.name,
            "bridge paused by the operator; what is for upstream waits"
        );
    }

    /// None of its windows is open; the next is at this moment in seconds since 1970, if that is known.
    pub(super) fn closed(&self, opens_at: Option<u64>) {
        let mut inner = self.lock();
        if inner.view.state == State::Closed && inner.view.opens_at == opens_at {
            return;
        }
        let cause = match opens_at {
            Some(at) => format!("outside of its windows; the next opens at {}", utc(at)),
            None => format!(
                "the system's clock is not set; its windows are taken for closed until it is, for {} min at most",
                clock::AWAITED.as_secs() / 60
            ),
        };
        inner.view.cause = Some(cause.clone());
        inner.view.health = Health::default();
        inner.enter(State::Closed);
        inner.view.opens_at = opens_at;
        drop(inner);
        tracing::info!(bridge = self.name, cause, "bridge closed; what is for upstream waits");
    }

    /// Whether messages of each priority go, or wait for a window of their own.
    pub(super) fn resting(&self, priorities: Each<Outlook>) {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.view.priorities, priorities);
        drop(inner);
        for priority in Priority::ALL {
            let (is, was) = (priorities.of(priority), before.of(priority));
            let (bridge, priority, until) = (&self.name, priority.name(), is.until.map(utc));
            match (was.open, is.open) {
                (false, true) => {
                    tracing::info!(bridge, priority, until, "messages of a priority go")
                }
                (true, false) => {
                    tracing::info!(
                        bridge,
                        priority,
                        until,
                        "messages of a priority wait for their window"
                    );
                }
                _ => {}
            }
        }
    }

    pub(super) fn connected(&self, session_present: bool) {
        let mut inner = self.lock();
        inner.view.connections += 1;
        inner.view.cause = None;
        inner.enter(State::Connected);
        let (url, version) = (inner.view.url.clone(), inner.view.version);
        drop(inner);
        let version = if version.is_v5() { "5.0" } else { "3.1.1" };
        tracing::info!(bridge = self.name, url, version, session_present, "bridge connected");
    }

    /// The relay is over, and what it has counted stays.
    pub(super) fn left(&self) {
        let mut inner = self.lock();
        inner.before = inner.view.counts;
        inner.view.backlog = 0;
    }

    /// What upstream was shown is about to end, and there is no other yet.
    pub(super) fn not_renewed(&self, cause: &str) {
        if let Some(suppressed) = self.sample("renewal") {
            tracing::warn!(bridge = self.name, cause, suppressed, "bridge credential not renewed");
        }
    }

    pub(super) fn over(&self, state: State, cause: String, wait: Duration) {
        let mut inner = self.lock();
        inner.view.failures += 1;
        inner.view.cause = Some(cause.clone());
        let was_connected = inner.view.state == State::Connected;
        inner.view.health = Health::default();
        inner.enter(state);
        let url = inner.view.url.clone();
        drop(inner);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let what = if was_connected { "broken" } else { "failed" };
        if let Some(suppressed) = self.sample(what) {
            tracing::warn!(bridge = self.name, url, cause, %state, wait_ms, suppressed, "bridge not connected");
        }
    }

    /// What the present relay has done so far.
    pub(super) fn count(&self, counts: &Counts, backlog: usize) {
        let mut inner = self.lock();
        inner.view.backlog = backlog;
        let mut all = inner.before;
        all.add(counts);
        inner.view.counts = all;
    }

    /// What probes say of the connection.
    pub(super) fn health(&self, health: Health) {
        self.lock().view.health = health;
    }

    pub(super) fn tell(&self, event: &Event) {
        let bridge = self.name.as_str();
        let Some(suppressed) = self.sample(kind(event)) else { return };
        match event {
            Event::NotSubscribed { filter, code } => tracing::warn!(
                bridge,
                filter,
                code = code.as_u8(),
                suppressed,
                "upstream did not grant a subscription"
            ),
            Event::NotUnsubscribed { filter, code } => tracing::warn!(
                bridge,
                filter,
                code = code.as_u8(),
                suppressed,
                "upstream did not give up a subscription that no rule is for"
            ),
            Event::Refused { topic, why } => {
                tracing::warn!(
                    bridge,
                    topic,
                    why,
                    suppressed,
                    "message not sent upstream; it is a dead letter"
                );
            }
            Event::LetterLost { code } => tracing::error!(
                bridge,
                code = code.as_u8(),
                suppressed,
                "dead letter not kept; the message is gone"
            ),
            Event::RefusedHere { why } => {
                tracing::warn!(bridge, why, suppressed, "message from upstream not taken");
            }
            Event::Looped { topic } => {
                tracing::info!(
                    bridge,
                    topic,
                    suppressed,
                    "message not passed on; it has been there"
                );
            }
            Event::Degraded => {
                tracing::warn!(
                    bridge,
                    suppressed,
                    "upstream routes nothing; its probe did not come back"
                );
            }
            Event::Healthy { round_trip } => {
                let round_trip_ms = u64::try_from(round_trip.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(
                    bridge,
                    round_trip_ms,
                    suppressed,
                    "upstream routes; its probe came back"
                );
            }
            Event::Unmatched { topic } => {
                tracing::warn!(bridge, topic, suppressed, "message from upstream is for no rule");
            }
        }
    }

    fn sample(&self, what: &str) -> Option<u64> {
        match self.lock().log.sample(what, self.started.elapsed()) {
            Sample::Write { suppressed } => Some(suppressed),
            Sample::Suppress => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// The priorities whose messages wait for a window of their own, and when that opens, if it is known.
    pub(crate) fn resting(&self) -> impl Iterator<Item = (Priority, Option<u64>)> + '_ {
        let all =
            Priority::ALL.into_iter().map(|priority| (priority, self.priorities.of(priority)));
        all.filter(|(_, outlook)| !outlook.open)
            .map(|(priority, outlook)| (priority, outlook.until))
    }
}

impl Inner {
    fn enter(&mut self, state: State) {
        (self.view.state, self.view.since) = (state, Instant::now());
        self.view.opens_at = None;
    }
}

/// A moment in seconds since 1970 as people read it.
fn utc(unix_s: u64) -> String {
    transport::utc(i64::try_from(unix_s).unwrap_or(i64::MAX))
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::NotSubscribed { .. } => "subscription",
        Event::NotUnsubscribed { .. } => "former subscription",
        Event::Refused { .. } => "refused",
        Event::LetterLost { .. } => "letter",
        Event::RefusedHere { .. } => "refused here",
        Event::Looped { .. } => "looped",
        Event::Unmatched { .. } => "unmatched",
        Event::Degraded => "degraded",
        Event::Healthy { .. } => "healthy",
    }
}

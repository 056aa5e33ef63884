mod hours;
mod reach;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::{Backoff, End, Relay, Settings, loops};
use config::{Bridge, BridgeCredential, BridgeVersion};
use mqtt::Version;
use tokio::sync::mpsc;
use transport::{DialSettings, Dialed};

use super::conversation::Conversation;
use super::credential;
use super::dials::dials;
use super::ledger::Ledger;
use super::review::Review;
use super::schedule::Schedule;
use super::sessions::Sessions;
use super::status::{State, Status};
use super::wish::{Wish, Wishes, changed};
use crate::clock::Clock;
use crate::secret;
use hours::Waited;

/// How long upstream may take over our last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long it may take to give up all subscriptions.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// Keeps one bridge connected.
pub(super) struct Agent {
    bridge: Bridge,
    settings: Arc<Settings>,
    sessions: Sessions,
    /// Who sees what is sent; `None` if nobody does.
    review: Option<Arc<Review>>,
    status: Arc<Status>,
    clock: Clock,
    version: Version,
    /// How often in a row a CONNECT of MQTT 5 was not answered.
    unanswered: u32,
    backoff: Backoff,
    schedule: Schedule,
    /// When the sessions were last in use.
    used: Instant,
    /// When those of priorities that rest were last looked after.
    rested: Instant,
    dials: Vec<DialSettings>,
    /// Whether a probe has ever come back.
    proven: bool,
    ledger: Ledger,
    /// Upstream was told that nobody comes back.
    withdrawn: bool,
}

/// How an attempt ended.
struct Outcome {
    why: Why,
    /// How long messages could pass.
    lasted: Duration,
}

enum Why {
    NoConnection(String),
    Over(End),
    /// There is a connection to go on with, to the address of this number: an earlier one that can be reached again, or
    /// the same where what upstream was shown is about to end.
    GoesOn(usize, Dialed),
    /// A window begins or ends.
    Edge,
    /// The agent is to do something else.
    Wished,
}

impl Agent {
    pub(super) fn new(
        bridge: Bridge,
        settings: Arc<Settings>,
        sessions: Sessions,
        review: Option<Arc<Review>>,
        clock: Clock,
        data: &Path,
    ) -> Self {
        let version = match bridge.version {
            BridgeVersion::V5 => Version::V5,
            BridgeVersion::V3_1_1 => Version::V3_1_1,
        };
        let url = bridge.upstreams.first().map_or("", |first| &first.url);
        let status = Arc::new(Status::new(&bridge.name, url, version));
        let backoff = Backoff::new(bridge.retry_min, bridge.retry_max);
        let schedule = Schedule::new(&bridge.timetable);
        let (used, dials) = (Instant::now(), dials(&bridge));
        let (unanswered, proven) = (0, false);
        let ledger = Ledger::open(data, &bridge.name, &settings.client_id);
        Self {
            bridge,
            settings,
            sessions,
            review,
            status,
            clock,
            version,
            unanswered,
            backoff,
            schedule,
            used,
            rested: used,
            dials,
            proven,
            ledger,
            withdrawn: false,
        }
    }

    /// Goes on with what was known of a bridge that this one was before.
    pub(super) fn with_status(self, status: &Arc<Status>) -> Self {
        Self { status: Arc::clone(status), ..self }
    }

    pub(super) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    pub(super) fn review(&self) -> Option<Arc<Review>> {
        self.review.clone()
    }

    /// Does what is wished until that is to end; answers whether upstream was told that nobody comes back.
    pub(super) async fn run(mut self, mut wishes: Wishes) -> bool {
        loop {
            let wish = *wishes.borrow_and_update();
            match wish {
                Wish::Run => self.keep_connected(&mut wishes).await,
                Wish::Pause => self.pause(&mut wishes).await,
                Wish::Stop | Wish::Withdraw => return self.withdrawn,
            }
        }
    }

    /// Connects, and connects again, until something else is wished.
    async fn keep_connected(&mut self, wishes: &mut Wishes) {
        let (mut number, mut ready) = (0, None);
        loop {
            match self.await_window(wishes).await {
                Waited::Not => {}
                Waited::Long => (number, ready) = (0, None),
                Waited::Wished => return,
            }
            self.keep_sessions();
            let outcome = self.attempt(number, ready.take(), wishes).await;
            self.backoff.connection_lasted(outcome.lasted);
            if outcome.lasted > Duration::ZERO {
                self.used = Instant::now();
            }
            self.note_answer(&outcome);
            // Whatever ended a connection, the first address comes first again, unless it is just what is of no use.
            let is_of_no_use = matches!(outcome.why, Why::Over(End::NotRouted { .. }));
            let worked = outcome.lasted > Duration::ZERO && !is_of_no_use;
            let next = if worked { 0 } else { (number + 1) % self.dials.len().max(1) };
            (number, ready) = match outcome.why {
                Why::Wished => return,
                // To the same address: what is open has changed, and nothing else.
                Why::Edge => (number, None),
                Why::GoesOn(number, dialed) => (number, Some(dialed)),
                Why::Over(End::UnsupportedVersion) if self.falls_back() => {
                    self.version = Version::V3_1_1;
                    tracing::info!(
                        bridge = self.bridge.name,
                        "upstream does not speak MQTT 5; going on with 3.1.1"
                    );
                    (0, None)
                }
                Why::NoConnection(cause) => {
                    if !self.rest(State::Waiting, cause, wishes).await {
                        return;
                    }
                    (next, None)
                }
                Why::Over(end) => {
                    let refused = matches!(end, End::Refused { .. } | End::UnsupportedVersion);
                    let state = if refused { State::Refused } else { State::Waiting };
                    if !self.rest(state, end.to_string(), wishes).await {
                        return;
                    }
                    (next, None)
                }
            };
        }
    }

    /// Has no connection until something else is wished.
    async fn pause(&mut self, wishes: &mut Wishes) {
        self.status.paused();
        loop {
            self.keep_sessions();
            let until = tokio::time::sleep(self.sessions.kept_for / 4);
            tokio::select! {
                () = until => {}
                () = changed(wishes) => return,
            }
        }
    }

    /// The version for the next connection. An upstream that closes the connection instead of answering CONNECT may do so because
    /// it does not know MQTT 5, or for any other reason: so that is found out with every third attempt, and 3.1.1 is
    /// spoken for no longer than that connection lasts.
    fn speaks(&self) -> Version {
        let guesses = self.version.is_v5() && self.unanswered % 3 == 2;
        let cannot = || {
            self.is_bound_to_5() || loops(&self.settings.outward, &self.settings.inward).is_some()
        };
        if guesses && !cannot() { Version::V3_1_1 } else { self.version }
    }

    fn note_answer(&mut self, outcome: &Outcome) {
        self.unanswered = match outcome.why {
            Why::Over(End::Unanswered) => self.unanswered.wrapping_add(1),
            Why::NoConnection(_) | Why::GoesOn(..) | Why::Edge => self.unanswered,
            // What 3.1.1 had an answer for is asked once in MQTT 5 before it is asked in 3.1.1 again.
            _ if self.speaks() != self.version => 1,
            _ => 0,
        };
    }

    /// Whether 3.1.1 will do: not where messages would come back, or upstream could not be shown who we are.
    fn falls_back(&self) -> bool {
        let loops = loops(&self.settings.outward, &self.settings.inward);
        if let (true, Some((out, back))) = (self.version.is_v5(), loops) {
            tracing::error!(
                bridge = self.bridge.name,
                out = out + 1,
                back = back + 1,
                "upstream speaks MQTT 3.1.1 only, in which these rules of out and in would feed each other"
            );
        }
        self.version.is_v5() && loops.is_none() && !self.is_bound_to_5()
    }

    /// 3.1.1 has no word for a method of authentication, and none for a password without a user name (MQTT-3.1.2-22 of it).
    fn is_bound_to_5(&self) -> bool {
        let nameless = self.bridge.username.is_none();
        let credential = &self.bridge.credential;
        credential::renews_in_place(credential) || nameless && *credential != BridgeCredential::None
    }

    /// Waits before the next attempt; answers whether there is to be one.
    async fn rest(&mut self, state: State, cause: String, wishes: &mut Wishes) -> bool {
        // Without randomness all gateways of a fleet come back at once; that is no reason not to come back.
        let random = u64::from_ne_bytes(secret::random().unwrap_or_default());
        let wait = self.backoff.next_wait(random);
        self.status.over(state, cause, wait);
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.schedule.closes() => true,
            () = changed(wishes) => false,
        }
    }

    /// A session without a conversation has an end, which an outage of upstream must not reach.
    fn keep_sessions(&mut self) {
        if self.used.elapsed() > self.sessions.kept_for / 2 {
            self.sessions.prepare();
            self.used = Instant::now();
        }
    }

    /// One connection, from its beginning to its end; `ready` is one that has been made already.
    async fn attempt(
        &mut self,
        number: usize,
        ready: Option<Dialed>,
        wishes: &mut Wishes,
    ) -> Outcome {
        let over = |why| Outcome { why, lasted: Duration::ZERO };
        let Some(url) = self.bridge.upstreams.get(number).map(|upstream| upstream.url.clone())
        else {
            return over(Why::NoConnection("there is no such address".to_owned()));
        };
        let version = self.speaks();
        let opening = self.open_up();
        self.status.connecting(&url, version);
        let begun = tokio::select! {
            begun = self.begin(number, ready) => begun,
            () = self.edge(&opening) => return over(Why::Edge),
            () = changed(wishes) => return over(Why::Wished),
        };
        let (shown, stream) = match begun {
            Ok(begun) => begun,
            Err(cause) => return over(Why::NoConnection(cause)),
        };
        let renew_after = shown.as_ref().and_then(|shown| shown.renew_after);
        let settings = match shown {
            Some(shown) => Arc::new(shown.begins(&self.settings)),
            None => Arc::clone(&self.settings),
        };
        let settings = self.with_former(settings, &url).await;
        let relay = Relay::new(settings, version, self.clock.now());
        let relay = relay.with_proven_probe(self.proven);
        let (renewals, renewed) = mpsc::channel(1);
        let mut talk =
            Conversation::new(stream, relay, renewed, &self.sessions, &self.status, self.clock)
                .reviewed(self.review.as_deref());
        let began = Instant::now();
        let mut why = tokio::select! {
            end = talk.run() => Why::Over(end),
            (number, dialed) = self.earlier_is_back(number) => Why::GoesOn(number, dialed),
            dialed = self.renewal(number, renew_after, renewals) => Why::GoesOn(number, dialed),
            () = self.edge(&opening) => Why::Edge,
            never = self.keep_resting() => match never {},
            () = changed(wishes) => Why::Wished,
        };
        if matches!(why, Why::Edge) && Self::finish(&mut talk, wishes).await {
            why = Why::Wished;
        }
        let is_last = *wishes.borrow() == Wish::Withdraw && talk.relay.is_running();
        let lasted = if talk.relay.is_running() { began.elapsed() } else { Duration::ZERO };
        let withdrawn = matches!(why, Why::Wished)
            && is_last
            && tokio::time::timeout(WITHDRAWAL, talk.withdraw()).await.unwrap_or(false);
        // If that takes too long, closing has to do.
        let _ = tokio::time::timeout(FAREWELL, talk.leave(is_last)).await;
        self.proven |= talk.relay.has_proven_probe();
        let left = talk.relay.take_left();
        self.withdrawn |= withdrawn;
        self.ledger.left(&url, &left);
        self.status.left();
        self.write_ledger().await;
        Outcome { why, lasted }
    }

    /// The sessions that there are and what upstream's session is to give up; what it is asked for is noted.
    async fn with_former(&mut self, settings: Arc<Settings>, url: &str) -> Arc<Settings> {
        let former = self.ledger.former(url, &self.settings.inward);
        self.ledger.asks(url, &self.settings.inward);
        self.write_ledger().await;
        let priorities = self.sessions.priorities();
        Arc::new(Settings { former, priorities, ..(*settings).clone() })
    }

    async fn write_ledger(&mut self) {
        let Some(page) = self.ledger.unwritten() else { return };
        let written = tokio::task::spawn_blocking(move || page.write()).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(
                bridge = self.bridge.name,
                %error,
                "what is asked of upstream was not noted; its session may keep subscriptions that no rule is for"
            );
        }
    }
}

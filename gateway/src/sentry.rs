use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt::ReasonCode;
use telemetry::Counter;
use tokio::sync::{Notify, Semaphore};
use transport::{Incoming, Origin};
use warden::{Ban, BanError, Glance, Limits, Newcomer, Now, Pass, Refusal, Warden, Whom};

use crate::ban_file::BanFile;
use crate::clock::Clock;
use crate::report::Reporter;

/// Refusals that are kept back, and clients that wait before they are decided about, in all.
const KEPT_BACK_MAX: usize = 256;

/// How often bans that have ended are looked for, and the disk is tried again that did not take them.
const TIDY: Duration = Duration::from_secs(30);

/// What bans that come one after another share a write in.
const PAUSE: Duration = Duration::from_secs(1);

/// The warden at its post: with a clock, a log, and a file for its bans. `gateway/ABUSE.md` has its rules.
#[derive(Debug)]
pub(crate) struct Sentry {
    warden: Mutex<Warden>,
    clock: Clock,
    reporter: Arc<Reporter>,
    file: Mutex<BanFile>,
    /// Rung when bans have changed.
    changed: Notify,
    kept_back: Semaphore,
    unanswered: Counter,
    pub(crate) crowded: Counter,
    pub(crate) busy: Counter,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) warden: warden::Stats,
    /// Connections that had to wait for a place to make their handshake.
    pub(crate) handshakes: u64,
    /// Clients that were not decided about because too many waited for that.
    pub(crate) waiting: u64,
    /// Clients that heard nothing because too many refusals were kept back.
    pub(crate) kept_back: u64,
}

/// A connection that the warden counts, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Visit {
    sentry: Arc<Sentry>,
    /// `None` until it is known where it comes from.
    pass: Option<Pass>,
}

impl Sentry {
    /// Takes over the bans that are in the file.
    pub(crate) fn new(
        limits: Limits,
        seed: u64,
        clock: Clock,
        reporter: Arc<Reporter>,
        file: BanFile,
    ) -> Self {
        let mut warden = Warden::new(limits, seed);
        let now = now(clock);
        let mut left_out = 0;
        for ban in file.read() {
            left_out += u64::from(warden.add(now, ban).is_err());
        }
        if left_out > 0 {
            tracing::warn!(left_out, "bans of the file have no room; raise limits.max-bans");
        }
        Self {
            warden: Mutex::new(warden),
            clock,
            reporter,
            file: Mutex::new(file),
            changed: Notify::new(),
            kept_back: Semaphore::new(KEPT_BACK_MAX),
            unanswered: Counter::default(),
            crowded: Counter::default(),
            busy: Counter::default(),
        }
    }

    /// Looks at a connection that has arrived and of which nothing was read: gives it back if it may go on.
    pub(crate) fn screen(
        self: &Arc<Self>,
        listener: &str,
        incoming: Incoming,
    ) -> Option<(Incoming, Visit)> {
        let mut visit = Visit { sentry: Arc::clone(self), pass: None };
        let refusal = match incoming.origin() {
            Origin::Unknown => None,
            Origin::Local => visit.show(None).err(),
            Origin::Shown(address) => visit.show(Some(address)).err(),
            Origin::Claimed(address) => {
                let glance = self.lock().glance(now(self.clock), address);
                match glance {
                    Glance::Fine => None,
                    Glance::Prove => {
                        incoming.prove();
                        return None;
                    }
                    Glance::Ignore(refusal) => Some(refusal),
                }
            }
        };
        let Some(refusal) = refusal else { return Some((incoming, visit)) };
        self.reporter.kept_out(listener, &incoming.peer, &refusal);
        incoming.turn_away();
        None
    }

    /// Waits for as long as a refusal is kept back; answers whether it is to be said then. More than so many do not wait, and
    /// hear nothing.
    pub(crate) async fn keep_back(&self, time: Duration) -> bool {
        if time.is_zero() {
            return true;
        }
        let Ok(_place) = self.kept_back.try_acquire() else {
            self.unanswered.increment();
            return false;
        };
        tokio::time::sleep(time).await;
        true
    }

    /// Bans somebody by order of the operator, or puts that in the place of the ban of the same.
    pub(crate) fn ban(&self, ban: Ban) -> Result<(), BanError> {
        self.lock().add(now(self.clock), ban)
    }

    /// Lifts a ban; answers whether there was one.
    pub(crate) fn lift(&self, whom: &Whom) -> bool {
        self.lock().lift(whom)
    }

    pub(crate) fn bans(&self) -> Vec<Ban> {
        self.lock().bans(now(self.clock)).cloned().collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            warden: self.lock().stats(),
            handshakes: self.crowded.get(),
            waiting: self.busy.get(),
            kept_back: self.unanswered.get(),
        }
    }

    /// Whether somebody who is in would not be let in now.
    pub(crate) fn has_banned(&self, guest: warden::Guest<'_>) -> bool {
        self.lock().is_banned(now(self.clock), guest)
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn unix_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Writes the bans to their file if they have changed; answers whether the file has them all. Blocks.
    pub(crate) fn save(&self) -> bool {
        // Whoever comes second writes what is the case then.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now(self.clock);
        let bans: Vec<Ban> = {
            let mut warden = self.lock();
            if !warden.take_changed(now) {
                return true;
            }
            warden.bans(now).cloned().collect()
        };
        let written = file.write(&bans);
        if let Err(error) = &written {
            self.lock().mark_changed();
            tracing::error!(
                %error,
                "bans could not be written; they hold until the gateway stops, and it is tried again"
            );
        }
        written.is_ok()
    }

    /// Keeps the file as the bans are, for ever.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(TIDY) => {}
            }
            let sentry = Arc::clone(&self);
            // It reports its own failures.
            let _ = tokio::task::spawn_blocking(move || sentry.save()).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Enters the warden, and reports the bans that come of it.
    fn with<T>(&self, job: impl FnOnce(&mut Warden, Now) -> T) -> T {
        let now = now(self.clock);
        let mut warden = self.lock();
        let outcome = job(&mut warden, now);
        let made = warden.take_made();
        drop(warden);
        for ban in &made {
            self.reporter.banned(ban);
        }
        if !made.is_empty() {
            self.changed.notify_one();
        }
        outcome
    }

    /// A panic in the warden would be a bug; what it counts may be off by one then.
    fn lock(&self) -> MutexGuard<'_, Warden> {
        self.warden.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Whether it is still not known where it comes from.
    pub(crate) fn is_unknown(&self) -> bool {
        self.pass.is_none()
    }

    /// It has turned out where it comes from; `None` is this machine.
    pub(crate) fn show(&mut self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let pass = self.sentry.with(|warden, now| warden.knock(now, address))?;
        self.pass = Some(pass);
        Ok(())
    }

    /// Its CONNECT is there: answers how long it has to wait before it is decided about.
    pub(crate) fn greet(&self, user: Option<&str>, client: &str) -> Result<Duration, Refusal> {
        let Some(pass) = &self.pass else { return Ok(Duration::ZERO) };
        self.sentry.with(|warden, now| warden.greet(now, pass, user, client))
    }

    /// It has not shown who it is: answers how long its refusal is to be kept back.
    pub(crate) fn failed(&self, user: Option<&str>, client: &str) -> Duration {
        let Some(pass) = &self.pass else { return Duration::ZERO };
        self.sentry.with(|warden, now| warden.failed(now, pass, user, client))
    }

    /// It has used up its time.
    pub(crate) fn stalled(&self) {
        if let Some(pass) = &self.pass {
            self.sentry.with(|warden, now| warden.stalled(now, pass));
        }
    }

    /// It has shown who it is.
    pub(crate) fn admit(&mut self, who: &Newcomer<'_>) -> Result<(), Refusal> {
        let Some(pass) = &mut self.pass else { return Ok(()) };
        self.sentry.with(|warden, now| warden.admit(now, pass, who))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.sentry.lock().leave(pass);
        }
    }
}

/// What a client hears of a refusal.
pub(crate) fn code(refusal: &Refusal) -> ReasonCode {
    match refusal {
        Refusal::Banned(_) => ReasonCode::Banned,
        Refusal::Arrivals | Refusal::Flapping => ReasonCode::ConnectionRateExceeded,
        Refusal::Connections | Refusal::Strangers | Refusal::Identity => ReasonCode::QuotaExceeded,
    }
}

fn now(clock: Clock) -> Now {
    Now { up_ms: clock.now().as_unix_ms(), unix_ms: clock.wall_ms() }
}

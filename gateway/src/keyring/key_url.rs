use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use auth::jwt::{KeySet, MAX_SET_BYTES, Policy, SkipReason};
use connections::{Fetcher, Settings};
use extension_host::{KeySource, Look, Miss};

use super::Label;
use super::kept::Kept;
use crate::failure::Failure;

/// Time for one fetch.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// How often tokens can have the set fetched: whoever makes up names of keys costs the issuer no more.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// When a fetch that failed is tried again; the time doubles up to the second.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How often an answer that says what the last one did is written to disk: often enough for `max-stale`, which
/// counts hours, and nothing to a card.
const KEEP_EVERY: Duration = Duration::from_secs(600);

/// A key set that is fetched by a thread of its own, which ends with this value.
#[derive(Debug)]
pub(super) struct KeyUrl(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    label: Label,
    stated: config::KeyUrl,
    kept: Kept,
    policy: Policy,
    state: Mutex<State>,
    /// The thread is wanted for something.
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Why the last fetch failed.
    failure: Option<String>,
    /// Whether it is known that the set is too old.
    stale: bool,
    /// A fetch is under way, or is to begin at once.
    under_way: bool,
    /// When a token last had the set fetched.
    asked: Option<Instant>,
    kept: Option<Instant>,
    stopped: bool,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    answer: String,
    /// How old it was at `since`.
    age: Duration,
    since: Instant,
}

impl Held {
    fn age(&self) -> Duration {
        self.age + self.since.elapsed()
    }
}

impl KeyUrl {
    /// Takes what was kept, if anything was.
    pub(super) fn open(
        label: Label,
        stated: &config::KeyUrl,
        kept: Kept,
        policy: Policy,
    ) -> Result<Self, Failure> {
        let mut state = State::default();
        if let Some((answer, age)) = kept.read()
            && let Ok(keys) = KeySet::parse(&answer, &policy)
        {
            state.held = Some(Held { keys: Arc::new(keys), answer, age, since: Instant::now() });
        }
        let shared = Shared {
            label,
            stated: stated.clone(),
            kept,
            policy,
            state: Mutex::new(state),
            wanted: Condvar::new(),
        };
        shared.fetcher().map_err(|why| shared.label.failure(why))?;
        Ok(Self(Arc::new(shared)))
    }

    /// Begins to fetch, at once and then as stated.
    pub(super) fn start(&self) -> Result<(), Failure> {
        let shared = Arc::clone(&self.0);
        shared.lock().under_way = true;
        let thread = thread::Builder::new().name("key-set".into());
        let started = thread.spawn(move || shared.keep());
        started.map_err(|error| Failure::System { what: "start a thread", error })?;
        Ok(())
    }

    /// Has it fetched without waiting for it.
    pub(super) fn fetch_now(&self) {
        self.0.lock().under_way = true;
        self.0.wanted.notify_all();
    }
}

impl Drop for KeyUrl {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.wanted.notify_all();
    }
}

impl KeySource for KeyUrl {
    fn current(&self) -> Result<Arc<KeySet>, String> {
        let mut state = self.0.lock();
        let State { held, failure, stale, .. } = &mut *state;
        let why = failure.as_deref().unwrap_or("it is being fetched");
        let Some(held) = held else {
            return Err(format!("the key set has not been fetched yet: {why}"));
        };
        let max_stale = self.0.stated.max_stale;
        if held.age() <= max_stale {
            return Ok(Arc::clone(&held.keys));
        }
        if !*stale {
            *stale = true;
            let Label { extension, key_set } = &self.0.label;
            let max_stale_s = max_stale.as_secs();
            tracing::error!(extension, key_set, max_stale_s, error = why, "key set is too old");
        }
        Err(format!("the key set is older than {} s: {why}", max_stale.as_secs()))
    }

    fn missed(&self, miss: Miss) -> Look {
        let mut state = self.0.lock();
        let nameless = state.held.as_ref().is_some_and(|held| held.keys.kids().next().is_none());
        if miss == Miss::WrongSignature && !nameless {
            return Look::Same;
        }
        if !state.under_way {
            if state.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
                // An issuer that cannot be reached may have signed it with a key that is new: no token is called wrong over that.
                return state.failure.clone().map_or(Look::Same, Look::Failed);
            }
            state.asked = Some(Instant::now());
            state.under_way = true;
            self.0.wanted.notify_all();
        }
        Look::UnderWay
    }
}

impl Shared {
    /// The thread: fetches until it is stopped.
    fn keep(&self) {
        let mut retry = RETRY_FIRST;
        loop {
            let pause = if self.fetch() {
                retry = RETRY_FIRST;
                self.stated.refresh
            } else {
                let pause = retry.min(self.stated.refresh);
                retry = (retry * 2).min(RETRY_MAX);
                pause
            };
            if !self.wait(pause) {
                return;
            }
        }
    }

    /// Waits for the next fetch; says whether there is to be one.
    fn wait(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        while !state.stopped && !state.under_way {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.wanted.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.under_way = true;
        !state.stopped
    }

    fn fetch(&self) -> bool {
        let answer = self.fetcher().and_then(|fetcher| fetcher.get().map_err(|e| e.to_string()));
        let fetched = answer.and_then(|answer| {
            let keys = KeySet::parse(&answer, &self.policy).map_err(|error| error.to_string())?;
            Ok((keys, answer))
        });
        let Label { extension, key_set } = &self.label;
        let mut state = self.lock();
        state.under_way = false;
        match fetched {
            Ok((keys, answer)) => {
                let changed = state.held.as_ref().is_none_or(|held| held.answer != answer);
                if changed || state.failure.is_some() {
                    tracing::info!(
                        extension,
                        key_set,
                        keys = keys.len(),
                        changed,
                        "key set fetched"
                    );
                }
                if changed {
                    self.log_skipped(&keys);
                }
                let due = state.kept.is_none_or(|kept| kept.elapsed() >= KEEP_EVERY);
                let keep = (changed || due).then(|| answer.clone());
                let keys = Arc::new(keys);
                let held = Held { keys, answer, age: Duration::ZERO, since: Instant::now() };
                let kept = if keep.is_some() { Some(Instant::now()) } else { state.kept };
                *state = State { held: Some(held), failure: None, stale: false, kept, ..*state };
                drop(state);
                if let Some(Err(error)) = keep.map(|answer| self.kept.write(&answer)) {
                    tracing::warn!(extension, key_set, %error, "key set could not be kept for a start without network");
                }
                true
            }
            Err(error) => {
                if state.failure.as_ref() == Some(&error) {
                    tracing::debug!(
                        extension,
                        key_set,
                        error,
                        "key set could not be fetched again"
                    );
                } else {
                    let age_s = state.held.as_ref().map(|held| held.age().as_secs());
                    tracing::warn!(
                        extension,
                        key_set,
                        error,
                        age_s,
                        "key set could not be fetched"
                    );
                }
                state.failure = Some(error);
                false
            }
        }
    }

    fn log_skipped(&self, keys: &KeySet) {
        let Label { extension, key_set } = &self.label;
        for skipped in keys.skipped() {
            if skipped.reason == SkipReason::Private {
                tracing::warn!(extension, key_set, key = %skipped, "key set publishes a private key");
            } else {
                tracing::debug!(extension, key_set, key = %skipped, "key is not used");
            }
        }
    }

    /// A new one each time, so that authorities that were replaced count.
    fn fetcher(&self) -> Result<Fetcher, String> {
        let settings = Settings {
            url: self.stated.url.clone(),
            authorities: self.stated.ca.clone(),
            time: FETCH_TIME,
            max_bytes: MAX_SET_BYTES as u64,
        };
        Fetcher::new(settings).map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

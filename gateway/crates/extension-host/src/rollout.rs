//! How a new generation of an extension takes the place of the one that runs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::extension::lock;
use crate::generation::Generation;
use crate::shadow::Shadow;

/// Faults of a candidate that the running generation does not share, after which the candidate is dropped. More
/// than one, so that a fault of the moment does not undo what an operator asked for.
const REGRESSIONS_MAX: u64 = 3;
/// Differences of which the operator can see the details.
const DIFFERENCES_KEPT: usize = 100;

/// How a candidate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It decides beside the running generation, and its decisions are only compared.
    Shadow,
    /// It decides for this share of the clients, in percent, chosen by their identifiers.
    Canary(u8),
    /// It decides for all clients, and takes over for good when it has done so for this long.
    Trial(Duration),
}

/// A decision about which two generations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The client that it is about.
    pub client_id: String,
    /// The hook.
    pub hook: &'static str,
    /// What it was about, such as a topic; empty where the client is all.
    pub what: String,
    /// What the running generation said.
    pub running: String,
    /// What the candidate said.
    pub candidate: String,
}

/// What came of a candidate so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateStatus {
    /// Its name and hash.
    pub id: Arc<str>,
    /// How it is tried.
    pub mode: Mode,
    /// Time since its beginning.
    pub age: Duration,
    /// Decisions that it made.
    pub decisions: u64,
    /// Decisions that differed from those of the running generation; of a shadow only.
    pub differences: u64,
    /// Decisions that it was not asked for because it did not keep up; of a shadow only.
    pub skipped: u64,
    /// Faults that the running generation did not share.
    pub regressions: u64,
    /// The latest differences, oldest first.
    pub latest: Vec<Difference>,
}

/// A generation on its way in.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) generation: Arc<Generation>,
    pub(crate) mode: Mode,
    pub(crate) shadow: Option<Shadow>,
    began: Instant,
    pub(crate) tally: Arc<Tally>,
}

/// What is counted of a candidate.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) decisions: AtomicU64,
    pub(crate) differences: AtomicU64,
    pub(crate) skipped: AtomicU64,
    regressions: AtomicU64,
    latest: Mutex<VecDeque<Difference>>,
}

/// The generations of one extension.
#[derive(Debug)]
pub(crate) struct Rollout {
    running: Arc<Generation>,
    candidate: Option<Arc<Candidate>>,
    /// Generations that there have been.
    pub(crate) number: u32,
    /// The latest candidate was dropped because it failed.
    is_rolled_back: bool,
    /// Moves on whenever another generation decides, for anybody.
    revision: Arc<AtomicU64>,
}

/// Who answers a question.
pub(crate) struct Turn {
    pub(crate) first: Arc<Generation>,
    /// The running generation, where a candidate answers.
    pub(crate) fallback: Option<Arc<Generation>>,
    /// The candidate, if it answers or only watches.
    pub(crate) candidate: Option<Arc<Candidate>>,
}

impl Rollout {
    pub(crate) fn new(first: Generation) -> Self {
        Self {
            running: Arc::new(first),
            candidate: None,
            number: 1,
            is_rolled_back: false,
            revision: Arc::default(),
        }
    }

    /// The generation that decides for most clients.
    pub(crate) fn current(&self) -> &Arc<Generation> {
        match &self.candidate {
            Some(candidate) if matches!(candidate.mode, Mode::Trial(_)) => &candidate.generation,
            _ => &self.running,
        }
    }

    pub(crate) fn running(&self) -> &Arc<Generation> {
        &self.running
    }

    pub(crate) fn candidate(&self) -> Option<&Arc<Candidate>> {
        self.candidate.as_ref()
    }

    /// Whether the latest candidate was dropped because it failed, and no other has come since.
    pub(crate) fn is_rolled_back(&self) -> bool {
        self.is_rolled_back
    }

    /// The number that says whether what was decided before still counts.
    pub(crate) fn revision(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.revision)
    }

    /// Who answers a question about this client.
    pub(crate) fn turn(&mut self, client_id: &str) -> Turn {
        let Some(candidate) = self.candidate.clone() else {
            return Turn { first: Arc::clone(&self.running), fallback: None, candidate: None };
        };
        if let Mode::Trial(time) = candidate.mode
            && candidate.began.elapsed() >= time
        {
            self.promote();
            return Turn { first: Arc::clone(&self.running), fallback: None, candidate: None };
        }
        let decides = match candidate.mode {
            Mode::Shadow => false,
            Mode::Canary(percent) => bucket(client_id) < percent,
            Mode::Trial(_) => true,
        };
        let running = Arc::clone(&self.running);
        if decides {
            let first = Arc::clone(&candidate.generation);
            return Turn { first, fallback: Some(running), candidate: Some(candidate) };
        }
        let candidate = (candidate.mode == Mode::Shadow).then_some(candidate);
        Turn { first: running, fallback: None, candidate }
    }

    /// Who answers some questions in a row about this client; none if others are to answer the same.
    pub(crate) fn turn_alone(&mut self, client_id: &str) -> Option<Turn> {
        let turn = self.turn(client_id);
        (turn.candidate.is_none() || turn.fallback.is_some()).then_some(turn)
    }

    /// Who answers a question about all clients together: a candidate that decides for all of them, or the running generation.
    pub(crate) fn turn_of_all(&mut self) -> Turn {
        // A trial that is over ends here as for a client.
        match &self.candidate {
            Some(candidate) if matches!(candidate.mode, Mode::Trial(_)) => self.turn(""),
            _ => Turn { first: Arc::clone(&self.running), fallback: None, candidate: None },
        }
    }

    /// Puts a generation in the place of any candidate that there is. What decides for all clients goes on doing so beside a new one
    /// that does not: it has taken over.
    pub(crate) fn begin(&mut self, generation: Arc<Generation>, mode: Mode) -> Arc<Candidate> {
        let decides = |candidate: &Arc<Candidate>| matches!(candidate.mode, Mode::Trial(_));
        if !matches!(mode, Mode::Trial(_)) && self.candidate.as_ref().is_some_and(decides) {
            self.promote();
        }
        let tally = Arc::new(Tally::default());
        generation.rehearse(mode == Mode::Shadow);
        let shadow = (mode == Mode::Shadow)
            .then(|| Shadow::start(Arc::clone(&generation), Arc::clone(&tally)))
            .flatten();
        let candidate =
            Arc::new(Candidate { generation, mode, shadow, began: Instant::now(), tally });
        self.candidate = Some(Arc::clone(&candidate));
        self.is_rolled_back = false;
        self.revision.fetch_add(1, Ordering::Relaxed);
        candidate
    }

    /// Puts generations with other settings in the place of the running one and, if it is still tried, of `of`, whose trial
    /// goes on. Any other candidate goes.
    pub(crate) fn resettle(
        &mut self,
        running: Option<Arc<Generation>>,
        of: Option<(&Arc<Candidate>, Arc<Generation>)>,
    ) {
        self.revision.fetch_add(1, Ordering::Relaxed);
        let now = self.candidate.take();
        let Some((of, fresh)) = of else {
            self.running = running.unwrap_or_else(|| Arc::clone(&self.running));
            return;
        };
        if Arc::ptr_eq(&self.running, &of.generation) {
            // It has taken over meanwhile.
            self.running = fresh;
            return;
        }
        self.running = running.unwrap_or_else(|| Arc::clone(&self.running));
        if now.is_some_and(|now| Arc::ptr_eq(&now, of)) {
            let tally = Arc::clone(&of.tally);
            let again = Candidate {
                generation: fresh,
                mode: of.mode,
                shadow: None,
                began: of.began,
                tally,
            };
            self.candidate = Some(Arc::new(again));
        }
    }

    /// The candidate takes over; answers whether there was one.
    pub(crate) fn promote(&mut self) -> bool {
        let Some(candidate) = self.candidate.take() else { return false };
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.running = Arc::clone(&candidate.generation);
        self.running.rehearse(false);
        true
    }

    /// The candidate goes; answers it if there was one.
    pub(crate) fn abandon(&mut self) -> Option<Arc<Candidate>> {
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.candidate.take()
    }

    /// Drops this candidate if it has failed too often; answers whether that was just now.
    pub(crate) fn regressed(&mut self, candidate: &Arc<Candidate>) -> bool {
        let failed = candidate.tally.regressions.fetch_add(1, Ordering::Relaxed) + 1;
        let is_it = self.candidate.as_ref().is_some_and(|c| Arc::ptr_eq(c, candidate));
        if failed < REGRESSIONS_MAX || !is_it {
            return false;
        }
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.candidate = None;
        self.is_rolled_back = true;
        true
    }
}

impl Candidate {
    pub(crate) fn status(&self) -> CandidateStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CandidateStatus {
            id: Arc::clone(&self.generation.id),
            mode: self.mode,
            age: self.began.elapsed(),
            decisions: read(&self.tally.decisions),
            differences: read(&self.tally.differences),
            skipped: read(&self.tally.skipped),
            regressions: read(&self.tally.regressions),
            latest: lock(&self.tally.latest).iter().cloned().collect(),
        }
    }
}

impl Tally {
    pub(crate) fn differs(&self, difference: Difference) {
        self.differences.fetch_add(1, Ordering::Relaxed);
        let mut latest = lock(&self.latest);
        if latest.len() >= DIFFERENCES_KEPT {
            latest.pop_front();
        }
        latest.push_back(difference);
    }
}

/// A number below 100 that is always the same for the same client, and evenly spread over clients however
/// much their identifiers resemble each other.
fn bucket(client_id: &str) -> u8 {
    let digest = Sha256::digest(client_id.as_bytes());
    let number = digest.iter().take(4).fold(0, |number, byte| number << 8 | u64::from(*byte));
    u8::try_from((number * 100) >> 32).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_clients_are_about_as_large_as_asked_for() {
        for percent in [1, 10, 50, 99] {
            let chosen = (0..10_000).filter(|n| bucket(&format!("device-{n}")) < percent).count();
            let asked = usize::from(percent) * 100;
            assert!(chosen.abs_diff(asked) < 200, "{percent} %: {chosen} of 10000");
        }
        assert!((0..10_000).all(|n| bucket(&format!("device-{n}")) < 100));
    }
}

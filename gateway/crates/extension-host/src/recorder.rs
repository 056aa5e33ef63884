//! Keeps what an extension is asked, for as long as an operator wants to know.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::extension::lock;
use crate::recording::{RecordedCall, StandIn};
use crate::tape::Tape;

/// Bytes of recorded calls that wait to be fetched, at most; more are counted and left out.
const BYTES_MAX: usize = 16 << 20;

/// The recorder of one extension. It is off but for the time that an operator names.
#[derive(Default)]
pub(crate) struct Recorder {
    /// So that a call that is not recorded pays for a look and no more.
    on: AtomicBool,
    session: Mutex<Option<Session>>,
}

struct Session {
    until: Instant,
    /// `None` where secrets are recorded as they are.
    stand_in: Option<StandIn>,
    lines: VecDeque<String>,
    bytes: usize,
    lost: u64,
}

/// A part of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordingPart {
    /// Lines, each a call.
    pub lines: Vec<String>,
    /// Whether there will be no more.
    pub is_last: bool,
    /// Calls that are missing because they were too large, or were not fetched soon enough.
    pub lost: u64,
}

impl Recorder {
    /// Begins; false if there is a recording under way. One that nobody fetched to its end gives way.
    pub(crate) fn begin(&self, time: Duration, stand_in: Option<StandIn>) -> bool {
        let mut session = lock(&self.session);
        let now = Instant::now();
        if session.as_ref().is_some_and(|session| now < session.until) {
            return false;
        }
        let until = now.checked_add(time).unwrap_or(now);
        *session = Some(Session { until, stand_in, lines: VecDeque::new(), bytes: 0, lost: 0 });
        self.on.store(true, Ordering::Release);
        true
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// A tape for a call that is about to be made, if it is to be recorded.
    pub(crate) fn tape(&self) -> Option<Tape> {
        if !self.is_on() {
            return None;
        }
        let session = lock(&self.session);
        if session.as_ref().is_some_and(|session| Instant::now() < session.until) {
            return Some(Tape::recording());
        }
        self.on.store(false, Ordering::Release);
        None
    }

    /// Keeps a call, unless there was too much on its tape, for which there is none.
    pub(crate) fn keep(&self, call: Option<RecordedCall>) {
        let stand_in = match &*lock(&self.session) {
            Some(session) => session.stand_in.clone(),
            None => return,
        };
        // Written without the lock: other calls are being recorded.
        let line = call.map(|call| call.line(stand_in.as_ref()));
        let mut session = lock(&self.session);
        let Some(session) = session.as_mut() else { return };
        match line.filter(|line| session.bytes.saturating_add(line.len()) <= BYTES_MAX) {
            Some(line) => {
                session.bytes += line.len();
                session.lines.push_back(line);
            }
            None => session.lost += 1,
        }
    }

    /// What was recorded since the last time, at most about so many bytes; none if there is no recording, or its
    /// last part was fetched.
    pub(crate) fn take(&self, bytes: usize) -> Option<RecordingPart> {
        let mut place = lock(&self.session);
        let session = place.as_mut()?;
        let mut part = RecordingPart { lost: session.lost, ..RecordingPart::default() };
        let mut taken = 0;
        while taken < bytes
            && let Some(line) = session.lines.pop_front()
        {
            taken += line.len();
            session.bytes -= line.len();
            part.lines.push(line);
        }
        if session.lines.is_empty() && Instant::now() >= session.until {
            part.is_last = true;
            self.on.store(false, Ordering::Release);
            *place = None;
        }
        Some(part)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.is_on()).finish()
    }
}

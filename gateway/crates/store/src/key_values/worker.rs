//! The thread that changes what is kept.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, mpsc::SyncSender},
};

use super::{
    Change, Changed, KeyValueError, KeyValueEvent, KeyValueQuota, KeyValueSink, body,
    spaces::{self, Spaces},
};
use crate::{
    StoreError,
    engine::{Engine, Writes},
    key::{Key, Kind},
    record,
};

/// What the file may have besides twice what is kept, before it is copied.
const SLACK_BYTES: u64 = 4 << 20;

/// A change, and who waits for it.
pub(super) struct Request {
    pub(super) space: String,
    pub(super) quota: KeyValueQuota,
    pub(super) change: Change,
    pub(super) answer: SyncSender<Result<Changed, KeyValueError>>,
}

pub(super) struct Worker {
    /// `None` where nothing is to outlive the process.
    engine: Option<Box<dyn Engine>>,
    spaces: Arc<RwLock<Spaces>>,
    sink: KeyValueSink,
    /// A batch failed, and what came of it on disk is not known.
    stale: bool,
}

/// What a batch changes, as it comes to be.
#[derive(Default)]
struct Draft {
    values: HashMap<(String, String), Option<Arc<[u8]>>>,
    /// Keys and bytes of the spaces that it touches.
    usage: HashMap<String, (usize, usize)>,
}

impl Worker {
    pub(super) fn new(
        engine: Option<Box<dyn Engine>>,
        spaces: Arc<RwLock<Spaces>>,
        sink: KeyValueSink,
    ) -> Self {
        Self { engine, spaces, sink, stale: false }
    }

    /// Makes these changes, one after the other, and answers.
    pub(super) fn serve(&mut self, batch: Vec<Request>) {
        let made = self.refresh().and_then(|()| self.make(&batch));
        let answers = made.unwrap_or_else(|error| {
            let why = error.to_string();
            if !self.stale {
                (self.sink)(KeyValueEvent::Failed(error));
            }
            self.stale = true;
            batch.iter().map(|_| Err(KeyValueError::Disk(why.clone()))).collect()
        });
        for (request, answer) in batch.into_iter().zip(answers) {
            // Whoever does not wait any more does not want to know.
            let _ = request.answer.try_send(answer);
        }
        self.tidy();
    }

    /// After a failure memory and disk may differ: the disk is what counts.
    fn refresh(&mut self) -> Result<(), StoreError> {
        let Some(engine) = self.engine.as_mut().filter(|_| self.stale) else { return Ok(()) };
        let read = spaces::load(engine.as_mut())?;
        // That it can be read is not enough.
        engine.apply(&Writes::new())?;
        *self.spaces.write().unwrap_or_else(PoisonError::into_inner) = read.spaces;
        self.stale = false;
        (self.sink)(KeyValueEvent::Recovered);
        Ok(())
    }

    fn make(
        &mut self,
        batch: &[Request],
    ) -> Result<Vec<Result<Changed, KeyValueError>>, StoreError> {
        let mut draft = Draft::default();
        let mut writes = Writes::new();
        let answers = {
            let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
            let answers = batch.iter().map(|request| draft.judge(request, &spaces)).collect();
            for ((space, key), value) in &draft.values {
                let place = Key::kept(space, key);
                if let Some(before) = spaces.get(space, key) {
                    // A shorter value leaves no piece of a longer one behind.
                    let before = body::encode(space, key, before);
                    record::split(Kind::Kept, place, &before, |piece, _| {
                        writes.insert(piece, None);
                    });
                }
                if let Some(value) = value {
                    let after = body::encode(space, key, value);
                    record::split(Kind::Kept, place, &after, |piece, bytes| {
                        writes.insert(piece, Some(bytes));
                    });
                }
            }
            answers
        };
        if let Some(engine) = self.engine.as_mut().filter(|_| !writes.is_empty()) {
            engine.apply(&writes)?;
        }
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        for ((space, key), value) in draft.values {
            spaces.put(&space, &key, value);
        }
        Ok(answers)
    }

    /// Has the file copied where it has grown far beyond what is in it.
    fn tidy(&mut self) {
        let Some(engine) = self.engine.as_mut().filter(|_| !self.stale) else { return };
        let (_, bytes) = self.spaces.read().unwrap_or_else(PoisonError::into_inner).total();
        engine.settle(bytes, SLACK_BYTES);
        for incident in engine.incidents() {
            (self.sink)(KeyValueEvent::Incident(incident));
        }
    }
}

impl Draft {
    fn judge(&mut self, request: &Request, spaces: &Spaces) -> Result<Changed, KeyValueError> {
        let Request { space, quota, change, .. } = request;
        let place = (space.clone(), change.key().to_owned());
        let there = match self.values.get(&place) {
            Some(drafted) => drafted.clone(),
            None => spaces.get(space, change.key()).map(Arc::clone),
        };
        let (answer, after) = change.judge(there.as_deref())?;
        let Some(after) = after else { return Ok(answer) };
        let weight =
            |value: &Option<Arc<[u8]>>| value.as_ref().map_or(0, |v| change.key().len() + v.len());
        let usage = self.usage.get(space).copied();
        let (keys_before, bytes_before) = usage.unwrap_or_else(|| spaces.usage(space));
        let keys = keys_before + usize::from(after.is_some()) - usize::from(there.is_some());
        let bytes = bytes_before + weight(&after) - weight(&there);
        // Whoever has more than is granted any more may still have less.
        if keys > quota.keys && keys > keys_before {
            return Err(KeyValueError::Keys { limit: quota.keys });
        }
        if bytes > quota.bytes && bytes > bytes_before {
            return Err(KeyValueError::Bytes { wanted: bytes, limit: quota.bytes });
        }
        self.usage.insert(space.clone(), (keys, bytes));
        self.values.insert(place, after);
        Ok(answer)
    }
}

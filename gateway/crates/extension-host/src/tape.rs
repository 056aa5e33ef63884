//! What a call of a hook got from the gateway: kept while it runs, or given once more.

mod values;

use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::extension::lock;
use crate::guest::Guest;

pub(crate) use values::{bytes, hex, read_bytes, unhex};

/// Calls of capabilities in one call of a hook, and bytes of all that is kept of them, at most. What has more
/// cannot be replayed.
const CALLS_MAX: usize = 1000;
const BYTES_MAX: usize = 1 << 20;

/// Functions that are told secrets, or tell them. A recording without secrets does not have what they were told, so they are
/// answered in the order in which they were called.
pub(crate) const HMAC: &str = "credentials.hmac-sha256";
pub(crate) const EQUAL: &str = "credentials.equal";

/// The tape of one call. Clones are the same tape.
#[derive(Clone)]
pub(crate) struct Tape(Arc<Mutex<Reel>>);

enum Reel {
    Recording { calls: Vec<HostCall>, bytes: usize, full: bool },
    Playing { calls: Vec<(HostCall, bool)>, improvised: u32 },
}

/// One call of a capability.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostCall {
    /// Interface and function: `clock.now-ms`.
    pub(crate) function: String,
    pub(crate) arguments: Value,
    pub(crate) result: Value,
}

/// What a capability answers, on tape.
pub(crate) trait OnTape: Sized {
    fn write(&self) -> Value;
    /// `None` for what this type does not write.
    fn read(value: &Value) -> Option<Self>;
}

impl Tape {
    pub(crate) fn recording() -> Self {
        Self(Arc::new(Mutex::new(Reel::Recording { calls: Vec::new(), bytes: 0, full: false })))
    }

    pub(crate) fn playing(calls: &[HostCall]) -> Self {
        let calls = calls.iter().map(|call| (call.clone(), false)).collect();
        Self(Arc::new(Mutex::new(Reel::Playing { calls, improvised: 0 })))
    }

    /// What was recorded; `None` if it was too much.
    pub(crate) fn calls(&self) -> Option<Vec<HostCall>> {
        match &*lock(&self.0) {
            Reel::Recording { full: true, .. } => None,
            Reel::Recording { calls, .. } => Some(calls.clone()),
            Reel::Playing { .. } => None,
        }
    }

    /// Calls that were not on the tape, and were made in fact.
    pub(crate) fn improvised(&self) -> u32 {
        match &*lock(&self.0) {
            Reel::Recording { .. } => 0,
            Reel::Playing { improvised, .. } => *improvised,
        }
    }

    /// The answer to a call, if the tape plays and has it: each once in its order, then the last once more.
    fn play(&self, function: &str, arguments: &Value) -> Option<Value> {
        let mut reel = lock(&self.0);
        let Reel::Playing { calls, improvised } = &mut *reel else { return None };
        let fits = |call: &HostCall| call.function == function && call.arguments == *arguments;
        if let Some((call, given)) = calls.iter_mut().find(|(call, given)| !given && fits(call)) {
            *given = true;
            return Some(call.result.clone());
        }
        if [HMAC, EQUAL].contains(&function)
            && let Some((call, given)) =
                calls.iter_mut().find(|(call, given)| !given && call.function == function)
        {
            *given = true;
            return Some(call.result.clone());
        }
        let last = calls.iter().rev().find(|(call, _)| fits(call));
        if last.is_none() {
            *improvised += 1;
        }
        last.map(|(call, _)| call.result.clone())
    }

    fn keep(&self, function: &str, arguments: Value, result: Value) {
        let mut reel = lock(&self.0);
        let Reel::Recording { calls, bytes, full } = &mut *reel else { return };
        *bytes += values::weight(&arguments) + values::weight(&result);
        *full |= calls.len() >= CALLS_MAX || *bytes > BYTES_MAX;
        if !*full {
            calls.push(HostCall { function: function.to_owned(), arguments, result });
        }
    }
}

impl Guest {
    /// Makes a call of a capability: as a tape that plays has it, or in fact; one that records keeps it.
    pub(crate) fn taped<R: OnTape>(
        &mut self,
        function: &'static str,
        arguments: impl FnOnce() -> Value,
        live: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let Some(tape) = self.subject.tape.clone() else { return live(self) };
        let arguments = arguments();
        if let Some(result) = tape.play(function, &arguments).as_ref().and_then(R::read) {
            return result;
        }
        let result = live(self);
        tape.keep(function, arguments, result.write());
        result
    }
}

/// Says how much is on it: what is may be secret.
impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*lock(&self.0) {
            Reel::Recording { calls, .. } => write!(f, "Recording({})", calls.len()),
            Reel::Playing { calls, .. } => write!(f, "Playing({})", calls.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(function: &str, argument: u32, result: u32) -> HostCall {
        HostCall {
            function: function.to_owned(),
            arguments: json!([argument]),
            result: json!(result),
        }
    }

    #[test]
    fn a_tape_gives_each_answer_in_its_order_and_the_last_again() {
        let tape = Tape::playing(&[call("a", 1, 10), call("a", 1, 11), call("a", 2, 20)]);
        let play = |function, argument: u32| tape.play(function, &json!([argument]));
        assert_eq!(
            [play("a", 1), play("a", 1), play("a", 1)],
            [10, 11, 11].map(|n| Some(json!(n)))
        );
        assert_eq!(play("a", 2), Some(json!(20)));
        assert_eq!((play("a", 3), play("b", 1)), (None, None));
        assert_eq!(tape.improvised(), 2);
    }

    #[test]
    fn what_is_too_much_is_not_recorded_by_halves() {
        let tape = Tape::recording();
        for n in 0..CALLS_MAX {
            tape.keep("a", json!([n]), json!(n));
        }
        assert_eq!(tape.calls().map(|calls| calls.len()), Some(CALLS_MAX));
        tape.keep("a", json!(1), json!(1));
        assert_eq!(tape.calls(), None);
        let tape = Tape::recording();
        tape.keep("a", json!(["x".repeat(BYTES_MAX)]), json!(null));
        assert_eq!(tape.calls(), None);
    }
}

//! What a call of a hook got from the gateway: kept while it runs, or given once more.

mod faults;
mod outside;
mod values;

use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::extension::lock;
use crate::guest::Guest;

pub(crate) use outside::{
    COMPARE_AND_SET, DELETE, DISCONNECT, GET, INCREMENT, LIST_KEYS, Outside, PUBLISH,
    REPLACE_PERMISSIONS, SEND, SET, written,
};
pub(crate) use values::{bytes, hex, read_bytes, unhex};

/// Calls of capabilities in one call of a hook, and bytes of all that is kept of them, at most. What has more
/// cannot be replayed.
const CALLS_MAX: usize = 1000;
const BYTES_MAX: usize = 1 << 20;

/// Functions that are told secrets, or tell them. A recording without secrets does not have what they were told, so they are
/// answered in the order in which they were called.
pub(crate) const HMAC: &str = "credentials.hmac-sha256";
pub(crate) const EQUAL: &str = "credentials.equal";
pub(crate) const VERIFY_PASSWORD: &str = "credentials.verify-password";

/// The tape of one call. Clones are the same tape.
#[derive(Clone)]
pub(crate) struct Tape(Arc<Mutex<Reel>>);

enum Reel {
    Recording { calls: Vec<HostCall>, bytes: usize, full: bool },
    Playing { calls: Vec<(HostCall, bool)>, improvised: u32, differences: Vec<String> },
}

/// What a tape makes of a call that reaches beyond the gateway's memory.
enum Play {
    /// It is to be made.
    Live,
    /// This is the answer.
    Has(Value),
    /// It is not made, and there is no answer.
    Lacks,
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
        Self(Arc::new(Mutex::new(Reel::Playing { calls, improvised: 0, differences: Vec::new() })))
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

    /// What reached beyond the gateway's memory and is not on the tape, or is on it and was not asked for, as sentences. What
    /// failed or changed nothing when it was recorded may be left out.
    pub(crate) fn differences(&self) -> Vec<String> {
        let reel = lock(&self.0);
        let Reel::Playing { calls, differences, .. } = &*reel else { return Vec::new() };
        let had_effect =
            |call: &HostCall| call.result != false && call.result.get("error").is_none();
        let left_out = calls.iter().filter(|(call, given)| !given && had_effect(call));
        let left_out = left_out.filter_map(|(call, _)| {
            let function = Outside::named(&call.function).filter(|function| function.has_effect)?;
            Some(function.left_out(&call.arguments))
        });
        differences.iter().cloned().chain(left_out).collect()
    }

    /// The answer to a call, if the tape plays and has it: each once in its order, then the last once more.
    fn play(&self, function: &str, arguments: &Value) -> Option<Value> {
        let mut reel = lock(&self.0);
        let Reel::Playing { calls, improvised, .. } = &mut *reel else { return None };
        let arguments = written(function, arguments);
        let fits = |call: &HostCall| call.function == function && call.arguments == arguments;
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

    /// The same for what reaches beyond the gateway's memory. What has an effect is answered as often as it was recorded.
    fn ask(&self, function: &'static Outside, arguments: &Value) -> Play {
        let mut reel = lock(&self.0);
        let Reel::Playing { calls, differences, .. } = &mut *reel else { return Play::Live };
        let arguments = written(function.name, arguments);
        let fits = |call: &HostCall| call.function == function.name && call.arguments == arguments;
        if let Some((call, given)) = calls.iter_mut().find(|(call, given)| !given && fits(call)) {
            *given = true;
            return Play::Has(call.result.clone());
        }
        let again = calls.iter().rev().find(|(call, _)| !function.has_effect && fits(call));
        if let Some((call, _)) = again {
            return Play::Has(call.result.clone());
        }
        differences.push(function.asked_for(&arguments, calls.iter().map(|(call, _)| call)));
        Play::Lacks
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

    /// Makes a call that reaches beyond the gateway's memory: as a tape that plays has it, or else in fact; one that
    /// records keeps it. What a tape that plays does not have is not done: the guest gets what `lacking` makes of a sentence.
    /// `arguments` are there if the call has a tape.
    pub(crate) fn outside<R: OnTape>(
        &mut self,
        function: &'static Outside,
        arguments: Option<Value>,
        live: impl FnOnce(&mut Self) -> R,
        lacking: impl FnOnce(String) -> R,
    ) -> R {
        let (Some(tape), Some(arguments)) = (self.subject.tape.clone(), arguments) else {
            return live(self);
        };
        let lacking = || lacking("this is a replay, and the recording does not have it".to_owned());
        match tape.ask(function, &arguments) {
            Play::Has(result) => R::read(&result).unwrap_or_else(lacking),
            Play::Lacks => lacking(),
            Play::Live => {
                let result = live(self);
                tape.keep(function.name, arguments, result.write());
                result
            }
        }
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
    fn what_has_an_effect_is_done_as_often_as_it_was() {
        let set = |key: &str, value: &str, result: Value| HostCall {
            function: SET.name.to_owned(),
            arguments: written(SET.name, &json!([key, value])),
            result,
        };
        let failed = json!({ "error": ["quota-exceeded", "full"] });
        let get = HostCall {
            function: GET.name.to_owned(),
            arguments: json!(["k"]),
            result: json!("value"),
        };
        let calls =
            [set("k", "1", json!(null)), set("l", "1", json!(null)), set("m", "1", failed), get];
        let tape = Tape::playing(&calls);
        let asks = |function, arguments: Value| match tape.ask(function, &arguments) {
            Play::Has(result) => Some(result),
            Play::Lacks => None,
            Play::Live => panic!("a tape that plays asks nobody"),
        };
        for _ in 0..3 {
            assert_eq!(asks(&GET, json!(["k"])), Some(json!("value")), "reading changes nothing");
        }
        assert_eq!(asks(&SET, json!(["k", "1"])), Some(json!(null)));
        assert_eq!(asks(&SET, json!(["k", "1"])), None);
        assert_eq!(asks(&SET, json!(["l", "2"])), None);
        assert_eq!(asks(&GET, json!(["m"])), None);
        let lacks = |what| format!("asked for key-value {what}, which the recording does not have");
        let differences = vec![
            lacks("set k once more"),
            lacks("set l with another value"),
            lacks("get m"),
            "did not ask for key-value set l, which the recording has".to_owned(),
        ];
        assert_eq!((tape.differences(), tape.improvised()), (differences, 0));
        let recording = Tape::recording();
        assert!(matches!(recording.ask(&GET, &json!(["k"])), Play::Live));
        assert!(recording.differences().is_empty());
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

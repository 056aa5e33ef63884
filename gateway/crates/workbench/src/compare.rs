//! What was expected beside what came.

use std::collections::BTreeMap;
use std::time::Duration;

use config::fixture::{Ask, Expect, Opinion, Outcome, What};

use crate::arrival::{Arrival, fallback, rule, shown};
use crate::diff;
use crate::pattern::matches;
use crate::questions::Answer;
use crate::scripted::list;

/// Something that is not as expected.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Where in the file the expectation stands.
    pub(crate) line: usize,
    /// What it is about.
    pub(crate) what: String,
    /// Lines with `-` for what was expected and `+` for what came.
    pub(crate) lines: Vec<String>,
}

impl Difference {
    pub(crate) fn of(
        line: usize,
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        let lines = vec![format!("- {}", expected.into()), format!("+ {}", got.into())];
        Self { line, what: what.into(), lines }
    }
}

/// What of a CONNECT is not as expected.
pub(crate) fn arrival(expect: &Expect, got: &Arrival) -> Vec<Difference> {
    if got.outcome() != Some(expect.outcome) {
        let expected = expect.outcome.word();
        return vec![Difference::of(expect.line, "outcome", expected, got.to_string())];
    }
    let mut found = Found { line: expect.line, differences: Vec::new() };
    if let Some(reason) = &expect.reason
        && !matches(reason, got.reason())
    {
        found.note("reason", reason, got.reason());
    }
    if let (Some(expected), Arrival::Rejected { code, .. }) = (expect.code, got)
        && expected != *code
    {
        found.note("code", format!("0x{expected:02x}"), format!("0x{code:02x}"));
    }
    if let Arrival::Accepted { principal, attributes, valid_for_ms, data, permissions, limits } =
        got
    {
        found.text("principal", expect.principal.as_deref(), principal);
        found.attributes(expect.attributes.as_ref(), attributes);
        found.valid_for(expect.valid_for, *valid_for_ms);
        let data = shown(data.as_deref().unwrap_or_default());
        found.text("data", expect.data.as_deref().map(shown).as_deref(), &data);
        found.permissions(expect, permissions.as_ref());
        let limits = limits.unwrap_or_default().to_string();
        found.text("limits", expect.limits.as_deref(), &limits);
    }
    found.differences
}

/// What of an answer is not as expected.
pub(crate) fn answers(ask: &Ask, got: &[Answer]) -> Vec<Difference> {
    let what = subject(&ask.what);
    let mut found = Found { line: ask.line, differences: Vec::new() };
    if got.is_empty() {
        found.note(&what, words(&ask.expect), "nothing: the client is not in");
        return found.differences;
    }
    let opinions: Vec<_> = got.iter().map(|answer| answer.opinion).collect();
    if opinions != ask.expect {
        let got: Vec<_> = got.iter().map(with_reason).collect();
        found.note(&what, words(&ask.expect), got.join(", "));
        return found.differences;
    }
    for answer in got {
        if let Some(by) = ask.by.filter(|by| *by != answer.by) {
            found.note(&format!("{what}: by"), by.word(), answer.by.word());
        }
    }
    let [answer] = got else { return found.differences };
    if let Some(code) = ask.code.filter(|code| *code != answer.code) {
        let got = format!("0x{:02x}", answer.code);
        found.note(&format!("{what}: code"), format!("0x{code:02x}"), got);
    }
    if let Some(reason) = &ask.reason
        && !matches(reason, &answer.reason)
    {
        found.note(&format!("{what}: reason"), reason, &answer.reason);
    }
    if let Some(becomes) = &ask.becomes {
        let what = format!("{what}: becomes");
        found.differences.extend(list(ask.line, &what, becomes, answer.becomes.clone()));
    }
    if let Some(qos) = ask.granted_qos.filter(|qos| Some(*qos) != answer.granted_qos) {
        let got = answer.granted_qos.map_or("none".to_owned(), |qos| (qos as u8).to_string());
        found.note(&format!("{what}: granted-qos"), (qos as u8).to_string(), got);
    }
    found.differences
}

/// What of the expected lines of the log is not among those that were written, in their order.
pub(crate) fn log(expect: &Expect, written: &[String]) -> Option<Difference> {
    let mut rest = written.iter();
    let missing = expect.log.iter().find(|pattern| !rest.any(|line| matches(pattern, line)))?;
    let mut lines = vec![format!("- {missing}")];
    lines.extend(written.iter().map(|line| format!("+ {line}")));
    Some(Difference { line: expect.line, what: "log".to_owned(), lines })
}

struct Found {
    line: usize,
    differences: Vec<Difference>,
}

impl Found {
    fn note(&mut self, what: &str, expected: impl Into<String>, got: impl Into<String>) {
        self.differences.push(Difference::of(self.line, what, expected, got));
    }

    fn text(&mut self, what: &str, expected: Option<&str>, got: &str) {
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            self.note(what, expected, got);
        }
    }

    fn list(&mut self, what: &str, expected: &[String], got: &[String]) {
        if expected != got {
            let lines = diff::lines(expected, got);
            self.differences.push(Difference { line: self.line, what: what.to_owned(), lines });
        }
    }

    fn attributes(
        &mut self,
        expected: Option<&BTreeMap<String, String>>,
        got: &[(String, String)],
    ) {
        let Some(expected) = expected else { return };
        let shown = |(name, value): (&String, &String)| format!("{name} = {value}");
        let mut got: Vec<_> = got.iter().map(|(name, value)| shown((name, value))).collect();
        got.sort();
        let expected: Vec<_> = expected.iter().map(shown).collect();
        self.list("attributes", &expected, &got);
    }

    fn valid_for(&mut self, expected: Option<Duration>, got: Option<u64>) {
        let Some(expected) = expected else { return };
        if Some(expected) != got.map(Duration::from_millis) {
            let got = got.map_or("without end".to_owned(), |ms| format!("{ms} ms"));
            self.note("valid-for", format!("{} ms", expected.as_millis()), got);
        }
    }

    fn permissions(&mut self, expect: &Expect, got: Option<&auth::Permissions>) {
        if let Some(expected) = &expect.rules {
            let rules: Vec<_> = got.iter().flat_map(|set| &set.rules).map(rule).collect();
            self.list("rules", expected, &rules);
        }
        if let Some(expected) = expect.fallback
            && expected != fallback(got)
        {
            self.note("fallback", expected.word(), fallback(got).word());
        }
    }
}

fn subject(what: &What) -> String {
    match what {
        What::Publish { topic, .. } => format!("publish {topic}"),
        What::Subscribe { filters, .. } => format!("subscribe {}", filters.join(", ")),
        What::Deliver { topic } => format!("deliver {topic}"),
        What::Authenticate { .. } => "authenticate".to_owned(),
        What::InterceptPublish(message) => format!("intercept-publish {}", message.topic),
        What::InterceptDelivery(message) => format!("intercept-delivery {}", message.topic),
        What::Observe { events, .. } => {
            let kinds: Vec<_> = events.iter().map(|event| &*event.kind).collect();
            format!("observe {}", kinds.join(", "))
        }
        What::Reconfigure(_) => "reconfigure".to_owned(),
    }
}

fn words(opinions: &[Opinion]) -> String {
    let words: Vec<_> = opinions.iter().map(|opinion| opinion.word()).collect();
    words.join(", ")
}

fn with_reason(answer: &Answer) -> String {
    match answer.opinion {
        opinion @ (Opinion::Allow | Opinion::Pass | Opinion::Discard | Opinion::Taken) => {
            format!("{} (by {})", opinion.word(), answer.by.word())
        }
        Opinion::Replace => format!("replace: {}", answer.becomes.join("; ")),
        opinion @ (Opinion::Deny | Opinion::Refuse | Opinion::Fail) => {
            let (word, code) = (opinion.word(), answer.code);
            format!("{word} 0x{code:02x} (by {}): {}", answer.by.word(), answer.reason)
        }
    }
}

/// Whether a case can go on to what the client wants.
pub(crate) fn lets_in(expect: &Expect) -> bool {
    expect.outcome == Outcome::Accept
}

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use broker::{Ruling, Verdict};
use extension_host::Validity;
use mqtt::{QoS, TopicFilterBuf, TopicName};

/// Topics with a verdict of their own, and filters with one, that are remembered for a client at most.
const TOPICS_MAX: usize = 256;
const FILTERS_MAX: usize = 16;

/// What an extension said about publishes of one client and need not be asked again. Clones are the same memory: the link
/// writes, and whoever explains a decision reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    topics: HashMap<Box<str>, Remembered>,
    filters: Vec<(TopicFilterBuf, Remembered)>,
    /// Of the extension whose verdicts these are.
    revision: u64,
}

#[derive(Debug)]
struct Remembered {
    verdict: Verdict,
    until: Instant,
    max_qos: QoS,
    retain: bool,
}

impl Memory {
    /// Forgets everything, and says so, if the extension may decide otherwise by now.
    pub(crate) fn keep_to(&self, revision: u64) -> bool {
        let mut notes = self.notes();
        let outdated = notes.revision != revision;
        if outdated {
            *notes = Notes { revision, ..Notes::default() };
        }
        outdated
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        *self.notes() = Notes::default();
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        let notes = self.notes();
        notes.topics.is_empty() && notes.filters.is_empty()
    }

    pub(crate) fn recall(
        &self,
        topic: &str,
        qos: QoS,
        retain: bool,
        now: Instant,
    ) -> Option<Ruling> {
        self.notes().find(topic, qos, retain, now)
    }

    /// The same where the extension is at this revision; what was said at another does not count any more.
    pub(crate) fn recall_of(
        &self,
        revision: u64,
        topic: &str,
        qos: QoS,
        retain: bool,
        now: Instant,
    ) -> Option<Ruling> {
        let notes = self.notes();
        let current = notes.revision == revision;
        current.then(|| notes.find(topic, qos, retain, now)).flatten()
    }

    /// Keeps what was said about one publish, and says what that is for those like it.
    pub(crate) fn remember(
        &self,
        topic: &str,
        qos: QoS,
        retain: bool,
        verdict: Verdict,
        validity: Validity,
        now: Instant,
    ) -> Ruling {
        let remembered = Remembered {
            verdict,
            until: now + validity.time,
            max_qos: validity.max_qos,
            retain: validity.retain,
        };
        let ruling = match remembered.holds(qos, retain, now) {
            true => remembered.ruling(now),
            false => remembered.verdict.clone().into(),
        };
        self.notes().keep(topic, validity.filter, remembered, now);
        ruling
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn find(&self, topic: &str, qos: QoS, retain: bool, now: Instant) -> Option<Ruling> {
        let holds = |remembered: &&Remembered| remembered.holds(qos, retain, now);
        let of_topic = self.topics.get(topic).filter(holds);
        let found = of_topic.or_else(|| {
            let name = TopicName::new(topic).ok()?;
            let fitting =
                self.filters.iter().filter(|(filter, _)| filter.as_filter().matches(name));
            fitting.map(|(_, remembered)| remembered).find(holds)
        });
        found.map(|remembered| remembered.ruling(now)).map(recalled)
    }

    fn keep(
        &mut self,
        topic: &str,
        filter: Option<TopicFilterBuf>,
        remembered: Remembered,
        now: Instant,
    ) {
        match filter {
            Some(filter) => {
                self.filters.retain(|(other, old)| *other != filter && old.until > now);
                if self.filters.len() >= FILTERS_MAX {
                    self.filters.remove(0);
                }
                self.filters.push((filter, remembered));
            }
            None => {
                if self.topics.len() >= TOPICS_MAX {
                    self.topics.retain(|_, old| old.until > now);
                }
                // Whoever publishes on so many topics is asked about all of them anew.
                if self.topics.len() >= TOPICS_MAX {
                    self.topics.clear();
                }
                self.topics.insert(topic.into(), remembered);
            }
        }
    }
}

/// What was said some time ago, and takes no time now.
fn recalled(mut ruling: Ruling) -> Ruling {
    if let Verdict::Deny { why, .. } = &mut ruling.verdict
        && let Some(asked) = &mut why.asked
    {
        asked.took = Duration::ZERO;
        asked.cached = true;
    }
    ruling
}

impl Remembered {
    fn ruling(&self, now: Instant) -> Ruling {
        let left = self.until.saturating_duration_since(now).as_millis();
        let valid_ms = u32::try_from(left).unwrap_or(u32::MAX);
        Ruling { verdict: self.verdict.clone(), valid_ms }
    }

    fn holds(&self, qos: QoS, retain: bool, now: Instant) -> bool {
        let covers = match self.verdict {
            Verdict::Allow => qos <= self.max_qos && (self.retain || !retain),
            Verdict::Deny { .. } => true,
        };
        covers && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use broker::{Asked, Grounds};
    use mqtt::ReasonCode;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn remember(
        memory: &Memory,
        topic: &str,
        verdict: Verdict,
        filter: Option<&str>,
        now: Instant,
    ) -> Ruling {
        memory.remember(topic, QoS::AtMostOnce, false, verdict, validity(filter), now)
    }

    fn validity(filter: Option<&str>) -> Validity {
        let filter = filter.map(|text| mqtt::TopicFilter::new(text).unwrap().to_owned());
        Validity { time: SECOND, filter, max_qos: QoS::AtLeastOnce, retain: false }
    }

    #[test]
    fn a_verdict_holds_for_its_topic_its_time_and_what_it_covers() {
        let (memory, now) = (Memory::default(), Instant::now());
        let ruling = remember(&memory, "a/b", Verdict::Allow, None, now);
        assert_eq!(ruling, Ruling { verdict: Verdict::Allow, valid_ms: 1000 });
        let recall = |topic, qos, retain, now| memory.recall(topic, qos, retain, now);
        assert_eq!(recall("a/b", QoS::AtLeastOnce, false, now), Some(ruling.clone()));
        let later = now + SECOND * 3 / 4;
        assert_eq!(recall("a/b", QoS::AtMostOnce, false, later).unwrap().valid_ms, 250);
        assert_eq!(recall("a/b", QoS::ExactlyOnce, false, now), None);
        assert_eq!(recall("a/b", QoS::AtMostOnce, true, now), None);
        assert_eq!(recall("a/c", QoS::AtMostOnce, false, now), None);
        assert_eq!(recall("a/b", QoS::AtMostOnce, false, now + SECOND), None);
    }

    #[test]
    fn a_verdict_that_does_not_cover_what_was_asked_is_about_that_alone() {
        let (memory, now) = (Memory::default(), Instant::now());
        let verdict = Verdict::Allow;
        let ruling = memory.remember("a", QoS::ExactlyOnce, false, verdict, validity(None), now);
        assert_eq!(ruling, Verdict::Allow.into());
        assert_eq!(memory.recall("a", QoS::ExactlyOnce, false, now), None);
        assert!(memory.recall("a", QoS::AtMostOnce, false, now).is_some());
    }

    #[test]
    fn a_denial_covers_everything_on_its_filter() {
        let (memory, now) = (Memory::default(), Instant::now());
        let deny = |took, cached| {
            let asked = Asked { by: Arc::from("acl@1"), took, cached };
            let why = Box::new(Grounds { why: "no".to_owned(), asked: Some(asked) });
            Verdict::Deny { code: ReasonCode::NotAuthorized, why }
        };
        let said = remember(&memory, "a/b", deny(SECOND, false), Some("a/#"), now);
        assert_eq!(said.verdict, deny(SECOND, false));
        let recalled = memory.recall("a/c/d", QoS::ExactlyOnce, true, now).unwrap();
        assert_eq!(recalled.verdict, deny(Duration::ZERO, true), "it took no time this time");
        assert_eq!(memory.recall("b", QoS::AtMostOnce, false, now), None);
    }

    #[test]
    fn another_revision_of_the_extension_begins_anew() {
        let (memory, now) = (Memory::default(), Instant::now());
        remember(&memory, "a", Verdict::Allow, None, now);
        assert!(!memory.keep_to(0));
        assert!(memory.recall("a", QoS::AtMostOnce, false, now).is_some());
        let same = memory.clone();
        assert!(same.recall_of(0, "a", QoS::AtMostOnce, false, now).is_some());
        assert!(same.recall_of(1, "a", QoS::AtMostOnce, false, now).is_none());
        assert!(memory.keep_to(1));
        assert!(memory.recall("a", QoS::AtMostOnce, false, now).is_none());
        remember(&memory, "a", Verdict::Allow, None, now);
        memory.forget();
        assert!(same.recall("a", QoS::AtMostOnce, false, now).is_none());
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let (memory, now) = (Memory::default(), Instant::now());
        for n in 0..1000 {
            remember(&memory, &n.to_string(), Verdict::Allow, None, now);
            remember(&memory, "t", Verdict::Allow, Some(&format!("{n}/#")), now);
            let notes = memory.notes();
            assert!(notes.topics.len() <= TOPICS_MAX && notes.filters.len() <= FILTERS_MAX);
        }
        assert!(memory.recall("999", QoS::AtMostOnce, false, now).is_some());
    }
}

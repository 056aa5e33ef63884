use std::sync::Arc;

/// After a question the broker is expected to have some about so many batches, and they are answered before it asks.
/// Then it is seen whether it still asks: it may remember what it was told.
const BATCHES: u8 = 16;

/// Whether the broker is likely to ask about the publishes that a client sends next.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    /// For how many batches more it is.
    batches: u8,
    /// The topic of its last question.
    topic: Option<Arc<str>>,
    /// Whether that of the question before was the same.
    repeated: bool,
}

impl Expectation {
    /// The broker asks about a publish on this topic.
    pub(crate) fn asked(&mut self, topic: &Arc<str>) {
        let before = self.topic.replace(Arc::clone(topic));
        self.repeated = before.as_ref() == Some(topic);
        self.batches = BATCHES;
    }

    /// The answer to its last question holds for some time. The broker remembers one such answer by itself: if it asked about nothing
    /// else meanwhile, it asked because the time of that was over, and has no question until the time of this is.
    pub(crate) fn settled(&mut self) {
        if self.repeated {
            self.batches = 0;
        }
    }

    /// Whether it is likely to ask about the next batch, which is counted.
    pub(crate) fn next_batch(&mut self) -> bool {
        let expects = self.batches > 0;
        self.batches = self.batches.saturating_sub(1);
        expects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_expected_after_a_question_for_some_batches() {
        let mut expectation = Expectation::default();
        assert!(!expectation.next_batch());
        expectation.asked(&"a".into());
        assert_eq!((0..100).filter(|_| expectation.next_batch()).count(), usize::from(BATCHES));
    }

    #[test]
    fn none_are_where_the_broker_remembers_the_one_answer_that_it_needs() {
        let mut expectation = Expectation::default();
        expectation.asked(&"a".into());
        expectation.settled();
        assert!(expectation.next_batch(), "others may be about other topics");
        expectation.asked(&"a".into());
        expectation.settled();
        assert!(!expectation.next_batch());
        expectation.asked(&"b".into());
        expectation.settled();
        assert!(expectation.next_batch(), "it remembers one and asks about two");
    }

    #[test]
    fn an_answer_for_one_publish_settles_nothing() {
        let mut expectation = Expectation::default();
        expectation.asked(&"a".into());
        expectation.asked(&"a".into());
        assert!(expectation.next_batch());
    }
}

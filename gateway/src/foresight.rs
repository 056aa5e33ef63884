use std::collections::VecDeque;

use broker::{Answer, Verdict};

/// Answers to questions about packets of one batch that the broker has not asked yet, each by where its packet begins.
#[derive(Default)]
pub(crate) struct Foresight {
    verdicts: VecDeque<(usize, Verdict)>,
    /// The answer to the question that the broker did ask, about the first packet.
    answer: Option<Answer>,
}

impl Foresight {
    pub(crate) fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    /// Whether the question about the first packet has been answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// Notes a verdict about the packet that begins at `at`, which is behind those noted before.
    pub(crate) fn note(&mut self, at: usize, verdict: Verdict) {
        self.verdicts.push_back((at, verdict));
    }

    /// The answer about the packet that begins at `at`, if there is one.
    pub(crate) fn about(&mut self, at: usize) -> Option<Answer> {
        if let Some(answer) = self.answer.take() {
            return Some(answer);
        }
        while self.verdicts.front().is_some_and(|(of, _)| *of < at) {
            self.verdicts.pop_front();
        }
        let (_, verdict) = self.verdicts.pop_front_if(|(of, _)| *of == at)?;
        Some(Answer::Publish(verdict))
    }

    /// Forgets what the batch did not come to.
    pub(crate) fn clear(&mut self) {
        self.verdicts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_the_packet_that_begins_there() {
        let deny = |why: &str| Verdict::Deny { why: why.to_owned() };
        let mut foresight = Foresight::default();
        for (at, why) in [(0, "a"), (10, "b"), (30, "d")] {
            foresight.note(at, deny(why));
        }
        let mut about = |at| match foresight.about(at) {
            Some(Answer::Publish(Verdict::Deny { why })) => why,
            _ => String::new(),
        };
        assert_eq!([0, 10, 20, 30].map(&mut about), ["a", "b", "", "d"]);
    }

    #[test]
    fn what_was_passed_over_is_gone() {
        let mut foresight = Foresight::default();
        foresight.note(0, Verdict::Allow);
        foresight.note(10, Verdict::Allow);
        assert!(foresight.about(20).is_none());
        assert!(foresight.about(0).is_none());
    }
}

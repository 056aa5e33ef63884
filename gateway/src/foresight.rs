use std::collections::VecDeque;

use broker::{Answer, Ruling};

/// Answers to questions about packets of one batch that the broker has not asked yet, each by where its packet begins.
#[derive(Default)]
pub(crate) struct Foresight {
    rulings: VecDeque<(usize, Ruling)>,
    /// The answer to the question that the broker did ask, about the first packet.
    answer: Option<Answer>,
    /// What was said before about publishes of the client does not count any more.
    revoked: bool,
}

impl Foresight {
    pub(crate) fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    /// Whether the question about the first packet has been answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether there is a ruling about the first packet.
    pub(crate) fn begins_at_once(&self) -> bool {
        self.rulings.front().is_some_and(|(of, _)| *of == 0)
    }

    /// Notes a ruling about the packet that begins at `at`, which is behind those noted before.
    pub(crate) fn note(&mut self, at: usize, ruling: Ruling) {
        self.rulings.push_back((at, ruling));
    }

    /// Has the broker forget what it was told before.
    pub(crate) fn revoke(&mut self) {
        self.revoked = true;
    }

    /// Whether the broker is to forget what it was told before. It is said once.
    pub(crate) fn take_revoked(&mut self) -> bool {
        std::mem::take(&mut self.revoked)
    }

    /// The answer about the packet that begins at `at`, if there is one.
    pub(crate) fn about(&mut self, at: usize) -> Option<Answer> {
        if let Some(answer) = self.answer.take() {
            return Some(answer);
        }
        while self.rulings.front().is_some_and(|(of, _)| *of < at) {
            self.rulings.pop_front();
        }
        let (_, ruling) = self.rulings.pop_front_if(|(of, _)| *of == at)?;
        Some(Answer::Publish(ruling))
    }

    /// So many bytes have been handled: what is noted about the rest is about what begins so much earlier.
    pub(crate) fn advance(&mut self, handled: usize) {
        self.rulings.retain_mut(|(at, _)| {
            let ahead = at.checked_sub(handled);
            *at = ahead.unwrap_or_default();
            ahead.is_some()
        });
    }

    /// Forgets what the batch did not come to.
    pub(crate) fn clear(&mut self) {
        self.rulings.clear();
    }
}

#[cfg(test)]
mod tests {
    use broker::Verdict;
    use mqtt::ReasonCode;

    use super::*;

    #[test]
    fn an_answer_is_about_the_packet_that_begins_there() {
        let deny = |why: &str| {
            Ruling::from(Verdict::Deny { code: ReasonCode::NotAuthorized, why: why.into() })
        };
        let mut foresight = Foresight::default();
        for (at, why) in [(0, "a"), (10, "b"), (30, "d")] {
            foresight.note(at, deny(why));
        }
        let mut about = |at| match foresight.about(at) {
            Some(Answer::Publish(Ruling { verdict: Verdict::Deny { why, .. }, .. })) => why.why,
            _ => String::new(),
        };
        assert_eq!([0, 10, 20, 30].map(&mut about), ["a", "b", "", "d"]);
    }

    #[test]
    fn what_is_noted_moves_with_what_is_handled() {
        let mut foresight = Foresight::default();
        for at in [0, 10, 30] {
            foresight.note(at, Verdict::Allow.into());
        }
        foresight.advance(10);
        assert!(foresight.about(0).is_some());
        assert!(foresight.about(10).is_none());
        assert!(foresight.about(20).is_some());
    }

    #[test]
    fn what_was_passed_over_is_gone() {
        let mut foresight = Foresight::default();
        foresight.note(0, Verdict::Allow.into());
        foresight.note(10, Verdict::Allow.into());
        assert!(foresight.about(20).is_none());
        assert!(foresight.about(0).is_none());
    }
}

use std::collections::BTreeMap;

use mqtt::{PacketId, QoS};

/// Dead letters that the local broker has not taken over yet. Only then is the message that one is about acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    waiting: BTreeMap<PacketId, Letter>,
}

/// What a dead letter is about: the exchange of the local broker, unless that was at QoS 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) about: Option<PacketId>,
    pub(crate) qos: QoS,
}

/// Dead letters at a time. Those of messages above QoS 0 are bounded by the receive maximum.
const LETTERS_MAX: usize = 1000;

impl Letters {
    pub(crate) fn has(&self, id: PacketId) -> bool {
        self.waiting.contains_key(&id)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= LETTERS_MAX
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Gives a letter an identifier that nobody uses: far from `last`, which upstream used last, so that it does not soon
    /// come to use it either.
    pub(crate) fn send(
        &mut self,
        letter: Letter,
        last: u16,
        taken: impl Fn(PacketId) -> bool,
    ) -> Option<PacketId> {
        const FAR: u16 = 1 << 15;
        let ids = (0..u16::MAX).map(|step| last.wrapping_add(FAR).wrapping_add(step));
        let id = ids.filter_map(PacketId::new).find(|id| !taken(*id) && !self.has(*id))?;
        self.waiting.insert(id, letter);
        Some(id)
    }

    pub(crate) fn taken_over(&mut self, id: PacketId) -> Option<Letter> {
        self.waiting.remove(&id)
    }
}

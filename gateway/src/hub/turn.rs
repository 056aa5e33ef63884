use broker::Timestamp;

/// Milliseconds for which one link has the hub to itself, about, while it has more to pass on.
const LENGTH_MS: u64 = 2;

/// Packets, and bytes of packets, between two looks at the clock, if none of them is a costly one.
const PACKETS: usize = 64;
const BYTES: usize = 4096;

/// A link's turn in the hub. Whoever sends what takes long is not to keep all others waiting for the whole of a batch.
pub(super) struct Turn {
    began: Timestamp,
    searches: u64,
    /// Since the last look at the clock.
    packets: usize,
    bytes: usize,
}

impl Turn {
    /// Of a link that came in at `began`, to a broker that has made so many searches.
    pub(super) fn begin(began: Timestamp, searches: u64) -> Self {
        Self { began, searches, packets: 0, bytes: 0 }
    }

    /// Whether it is over, now that another packet of so many bytes was handled.
    pub(super) fn is_over(
        &mut self,
        bytes: usize,
        searches: u64,
        now: impl FnOnce() -> Timestamp,
    ) -> bool {
        self.packets += 1;
        self.bytes += bytes;
        // A look at the clock takes as long as a fifth of a packet that costs little.
        if searches == self.searches && self.packets < PACKETS && self.bytes < BYTES {
            return false;
        }
        (self.searches, self.packets, self.bytes) = (searches, 0, 0);
        now().as_unix_ms().saturating_sub(self.began.as_unix_ms()) >= LENGTH_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_asked_where_it_may_matter() {
        let at = Timestamp::from_unix_ms;
        let mut turn = Turn::begin(at(10), 5);
        for _ in 1..PACKETS {
            assert!(!turn.is_over(10, 5, || panic!("nobody asks")));
        }
        assert!(!turn.is_over(10, 5, || at(10 + LENGTH_MS - 1)));
        assert!(!turn.is_over(10, 6, || at(10)), "a search, and no time");
        assert!(!turn.is_over(10, 6, || panic!("nobody asks")));
        assert!(turn.is_over(BYTES, 6, || at(10 + LENGTH_MS)), "a large packet");
        assert!(turn.is_over(10, 7, || at(10 + LENGTH_MS)), "a search");
    }
}

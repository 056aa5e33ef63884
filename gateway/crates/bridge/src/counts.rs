/// What a relay has done. Everything only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were sent upstream, repeats included.
    pub sent: u64,
    /// Messages above QoS 0 that upstream has confirmed.
    pub confirmed: u64,
    /// Messages that came from upstream and went on to the local broker, repeats included.
    pub received: u64,
    /// Messages for upstream that went to the dead letters instead.
    pub refused: u64,
    /// Of these, those of which no dead letter could be kept either.
    pub letters_lost: u64,
    /// Messages of either direction that had been here, or there, before, or had passed too many gateways.
    pub looped: u64,
    /// Messages from upstream for which no rule is.
    pub unmatched: u64,
    /// Messages from upstream that the local broker could not take.
    pub refused_here: u64,
    /// Messages of QoS 0 from upstream that were dropped because the local broker was slow.
    pub dropped: u64,
    /// Messages for upstream that an extension had go nowhere.
    pub discarded: u64,
    /// Batches that were sent upstream.
    pub batches: u64,
    /// Batches of upstream that were taken apart.
    pub unpacked: u64,
    /// Bytes of payloads that were not sent because the payloads were compressed.
    pub bytes_saved: u64,
    /// Probes that were sent upstream.
    pub probes_sent: u64,
    /// Of these, those that came back.
    pub probes_returned: u64,
    /// Intervals at whose end a probe was still out.
    pub probes_missing: u64,
}

impl Counts {
    /// Adds what another relay has done.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.confirmed += other.confirmed;
        self.received += other.received;
        self.refused += other.refused;
        self.letters_lost += other.letters_lost;
        self.looped += other.looped;
        self.unmatched += other.unmatched;
        self.refused_here += other.refused_here;
        self.dropped += other.dropped;
        self.discarded += other.discarded;
        self.batches += other.batches;
        self.unpacked += other.unpacked;
        self.bytes_saved += other.bytes_saved;
        self.probes_sent += other.probes_sent;
        self.probes_returned += other.probes_returned;
        self.probes_missing += other.probes_missing;
    }
}

mod authentication;
mod model;
mod packs;
mod reviews;
mod scenes;
mod simulation;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use mqtt::{QoS, Version};
use session::Timestamp;

use crate::{Bounds, End, LocalLimits, LocalTerms, Passing, Relay, Rule, Ruling, Settings};
use model::Model;

/// What goes upstream: `up/...` as `site/up/...`; what comes: `site/down/...` as `down/...`.
fn settings() -> Settings {
    let rule =
        |filter, strip, prefix| Rule::new(filter, strip, prefix, QoS::ExactlyOnce, true).unwrap();
    Settings {
        gateway: "here".to_owned(),
        announces: true,
        client_id: "gateway".to_owned(),
        username: None,
        password: None,
        authentication: None,
        keep_alive: 10,
        answer_timeout: Duration::from_secs(5),
        receive_maximum: 20,
        max_packet_size: u32::MAX,
        bounds: Bounds::OF_MQTT,
        max_hops: 4,
        topic_aliases: 1,
        probe: None,
        outward: vec![rule("up/#", "", "site")],
        inward: vec![rule("site/down/#", "site", "")],
        former: Vec::new(),
        refused_topic: "$bridge/b/refused".to_owned(),
        local: LocalLimits {
            max_packet_size: 1 << 20,
            max_topic_bytes: 1000,
            max_topic_levels: 10,
            max_user_properties: 10,
            maximum_qos: QoS::ExactlyOnce,
            receive_maximum: 1000,
        },
    }
}

/// A relay between two brokers, with bytes on their way.
struct World {
    relay: Relay,
    local: Model,
    upstream: Model,
    now: Timestamp,
    terms: Option<LocalTerms>,
    /// Who decides about what goes upstream, each time that bytes move.
    ruling: Option<fn(&Passing) -> Ruling>,
}

impl World {
    fn new(settings: &Arc<Settings>, version: Version) -> Self {
        let now = Timestamp::from_unix_ms(0);
        Self {
            relay: Relay::new(Arc::clone(settings), version, now),
            local: Model::new(Version::V5, "up/x"),
            upstream: Model::new(version, "site/down/x"),
            now,
            terms: None,
            ruling: None,
        }
    }

    /// From now on somebody decides about everything that goes upstream.
    fn reviewed_by(&mut self, ruling: fn(&Passing) -> Ruling) {
        self.ruling = Some(ruling);
        self.relay.show(vec![mqtt::TopicFilter::new("#").unwrap().to_owned()].into());
    }

    /// The connection breaks; what was on its way is gone.
    fn cut(&mut self, settings: &Arc<Settings>) {
        self.relay = Relay::new(Arc::clone(settings), self.upstream.version, self.now);
        self.local.disconnect();
        self.upstream.disconnect();
        self.terms = None;
        if let Some(ruling) = self.ruling {
            self.reviewed_by(ruling);
        }
    }

    /// Moves at most `most` bytes along each of the four ways; answers whether there were any.
    fn flow(&mut self, most: usize) -> Result<bool, End> {
        let mut moved = false;
        if let Some(ruling) = self.ruling
            && let Some(question) = self.relay.poll_question()
        {
            moved = true;
            self.relay.handle_ruling(self.now, ruling(&question))?;
        }
        let mut some = |bytes: &mut Vec<u8>| {
            let taken: Vec<u8> = bytes.drain(..bytes.len().min(most)).collect();
            moved |= !taken.is_empty();
            taken
        };
        let to_upstream = some(self.relay.upstream_output());
        let from_upstream =
            if self.relay.wants_upstream() { some(&mut self.upstream.output) } else { Vec::new() };
        let (to_local, from_local) = match self.local.online {
            true => (
                some(self.relay.local_output()),
                if self.relay.wants_local() { some(&mut self.local.output) } else { Vec::new() },
            ),
            false => (Vec::new(), Vec::new()),
        };
        self.upstream.take(&to_upstream);
        self.local.take(&to_local);
        self.relay.handle_upstream(self.now, &from_upstream)?;
        if let Some(terms) = self.relay.local_terms() {
            self.terms = Some(terms);
            self.local.connect(terms.receive_maximum);
        }
        if self.local.online {
            self.relay.handle_local(self.now, &from_local)?;
        }
        Ok(moved)
    }

    /// Until nothing moves any more.
    fn settle(&mut self) -> Result<(), End> {
        while self.flow(usize::MAX)? {}
        Ok(())
    }
}

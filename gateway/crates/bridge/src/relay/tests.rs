mod authentication;
mod ending;
mod model;
mod pacing;
mod packs;
mod reviews;
mod scenes;
mod simulation;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use mqtt::{QoS, Version};
use session::Timestamp;

use crate::{
    Bounds, End, LocalLimits, LocalTerms, Pace, Passing, Priority, Relay, Rule, Ruling, Settings,
};
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
        pace: Pace::default(),
        priorities: vec![Priority::Normal],
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
    /// The session of normal priority.
    local: Model,
    high: Model,
    low: Model,
    upstream: Model,
    priorities: Vec<Priority>,
    now: Timestamp,
    terms: Option<LocalTerms>,
    /// Who decides about what goes upstream, each time that bytes move.
    ruling: Option<fn(&Passing) -> Ruling>,
}

impl World {
    fn new(settings: &Arc<Settings>, version: Version) -> Self {
        let now = Timestamp::from_unix_ms(0);
        let local = |priority| Model::local(priority, "up/x");
        Self {
            relay: Relay::new(Arc::clone(settings), version, now),
            local: local(Priority::Normal),
            high: Model::local(Priority::High, "up/high"),
            low: Model::local(Priority::Low, "up/low"),
            upstream: Model::new(version, "site/down/x"),
            priorities: settings.priorities.clone(),
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

    fn local_of(&mut self, priority: Priority) -> &mut Model {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.local,
            Priority::Low => &mut self.low,
        }
    }

    /// The connection breaks; what was on its way is gone.
    fn cut(&mut self, settings: &Arc<Settings>) {
        self.relay = Relay::new(Arc::clone(settings), self.upstream.version, self.now);
        for priority in Priority::ALL {
            self.local_of(priority).disconnect();
        }
        self.upstream.disconnect();
        self.terms = None;
        if let Some(ruling) = self.ruling {
            self.reviewed_by(ruling);
        }
    }

    /// Moves at most `most` bytes along each way; answers whether there were any.
    fn flow(&mut self, most: usize) -> Result<bool, End> {
        let mut moved = false;
        if let Some(ruling) = self.ruling
            && let Some(question) = self.relay.poll_question()
        {
            moved = true;
            self.relay.handle_ruling(self.now, ruling(&question))?;
        }
        for priority in self.priorities.clone() {
            moved |= self.flow_local(priority, most)?;
        }
        let to_upstream = some(self.relay.upstream_output(), most);
        let from_upstream = match self.relay.wants_upstream() {
            true => some(&mut self.upstream.output, most),
            false => Vec::new(),
        };
        moved |= !to_upstream.is_empty() || !from_upstream.is_empty();
        self.upstream.take(&to_upstream);
        self.relay.handle_upstream(self.now, &from_upstream)?;
        if let Some(terms) = self.relay.local_terms() {
            self.terms = Some(terms);
            for priority in self.priorities.clone() {
                let local = self.local_of(priority);
                local.connect(terms.receive_maximum);
                let owed = local.owed();
                self.relay.note_owed(priority, owed);
            }
        }
        if self.relay.next_deadline().is_some_and(|at| at <= self.now) {
            self.relay.handle_deadline(self.now)?;
        }
        Ok(moved)
    }

    fn flow_local(&mut self, priority: Priority, most: usize) -> Result<bool, End> {
        if !self.local_of(priority).online {
            return Ok(false);
        }
        let to_local = some(self.relay.local_output(priority), most);
        let from_local = match self.relay.wants_local(priority) {
            true => some(&mut self.local_of(priority).output, most),
            false => Vec::new(),
        };
        self.local_of(priority).take(&to_local);
        self.relay.handle_local(self.now, priority, &from_local)?;
        Ok(!to_local.is_empty() || !from_local.is_empty())
    }

    /// Until nothing moves any more.
    fn settle(&mut self) -> Result<(), End> {
        while self.flow(usize::MAX)? {}
        Ok(())
    }
}

fn some(bytes: &mut Vec<u8>, most: usize) -> Vec<u8> {
    bytes.drain(..bytes.len().min(most)).collect()
}

use std::sync::Arc;
use std::time::Duration;

use bridge::{Each, LocalTerms, Outlook, Priority};
use broker::{Arrangement, TopicRule};
use config::{Bridge, Budget, Checked};
use tokio::io::DuplexStream;

use super::CLIENT_ID_PREFIX;
use super::session::Session;
use crate::hub::Hub;
use crate::settings::overflow;

/// The sessions of one bridge: one for each priority that its rules have, and that of normal priority in any case. One that no rule
/// uses any more is kept until what waits in it has gone.
pub(super) struct Sessions {
    all: Each<Session>,
    used: Each<bool>,
    /// Those in which something is, or may come to be.
    open: Vec<Priority>,
    /// Whether what waits in each may go now.
    admitted: Each<bool>,
    /// How long they are kept without a conversation.
    pub(super) kept_for: Duration,
}

impl Sessions {
    pub(super) fn new(bridge: &Bridge, checked: &Checked, hub: &Arc<Hub>) -> Self {
        let session = |priority| {
            let arrangement = Some(Arc::new(arrangement(bridge, priority)));
            let rules = bridge.outward.iter().filter(|rule| rule.priority == priority);
            let id = client_id(&bridge.name, priority).into();
            Session::of(id, arrangement, rules.cloned().collect(), checked, Arc::clone(hub))
        };
        Self {
            all: Each::from_fn(session),
            used: Each::from_fn(|priority| is_used(bridge, priority)),
            open: Vec::new(),
            admitted: Each::from_fn(|_| true),
            kept_for: checked.sessions.max_expiry,
        }
    }

    /// Sees that they are there and have the subscriptions that the rules ask for, and no others. From here on messages wait in
    /// them.
    pub(super) fn prepare(&mut self) {
        // What moves from one to another is in the one before it leaves the other.
        self.widen();
        let mut open = Vec::new();
        for priority in Priority::ALL {
            let session = self.all.of(priority);
            let waits = match *self.used.of(priority) {
                true => {
                    session.prepare();
                    true
                }
                false => session.exists() && session.dissolve() > 0,
            };
            open.extend(waits.then_some(priority));
        }
        self.open = open;
    }

    /// As [`prepare`](Self::prepare), and leaves them those that no rule asks for.
    pub(super) fn widen(&self) {
        let used = Priority::ALL.into_iter().filter(|priority| *self.used.of(*priority));
        used.for_each(|priority| self.all.of(priority).widen());
    }

    /// Nobody comes for them any more.
    pub(super) fn retire(&self) {
        self.all.iter().filter(|session| session.exists()).for_each(Session::retire);
    }

    /// Of these what waits may go, over the next connection. The others rest: as if there was none.
    pub(super) fn admit(&mut self, priorities: &Each<Outlook>) {
        self.admitted = Each::from_fn(|priority| priorities.of(priority).open);
    }

    /// Those that do not rest.
    pub(super) fn priorities(&self) -> Vec<Priority> {
        self.open.iter().copied().filter(|priority| *self.admitted.of(*priority)).collect()
    }

    /// A session without a conversation has an end, which is put off for those that rest.
    pub(super) fn keep_resting(&self) {
        let resting = self.open.iter().filter(|priority| !*self.admitted.of(**priority));
        resting.for_each(|priority| self.all.of(*priority).prepare());
    }

    /// Begins a conversation in each that does not rest, of which CONNACK comes first.
    pub(super) fn open(&self, terms: LocalTerms) -> Result<Vec<(Priority, DuplexStream)>, String> {
        let open = |priority: Priority| Ok((priority, self.all.of(priority).open(terms)?));
        self.priorities().into_iter().map(open).collect()
    }

    /// Messages that wait in each that does not rest, sent and unconfirmed ones included.
    pub(super) fn owed(&self) -> Vec<(Priority, usize)> {
        let owed = |priority| (priority, self.all.of(priority).waiting());
        self.priorities().into_iter().map(owed).collect()
    }

    /// Those that wait in any, all together.
    pub(super) fn waiting(&self) -> usize {
        self.open.iter().map(|priority| self.all.of(*priority).waiting()).sum()
    }
}

/// The client identifier of a bridge's session.
pub(crate) fn client_id(bridge: &str, priority: Priority) -> String {
    format!("{CLIENT_ID_PREFIX}{bridge}{}", priority.suffix())
}

fn is_used(bridge: &Bridge, priority: Priority) -> bool {
    priority == Priority::Normal || bridge.outward.iter().any(|rule| rule.priority == priority)
}

/// What is arranged for the session of a priority. The rules keep their places among all of the bridge, for the first that matches
/// a topic decides.
fn arrangement(bridge: &Bridge, priority: Priority) -> Arrangement {
    let rules = bridge.outward.iter().zip(&bridge.budgets).enumerate();
    let own = rules.filter(|(_, (rule, _))| rule.priority == priority);
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let most = |messages: u32| usize::try_from(messages).unwrap_or(usize::MAX);
    let kept = |(rule, budget): (&bridge::Rule, &Budget)| TopicRule {
        // By this name a queue on disk knows which messages its limits are about.
        name: format!("bridge {} {}", bridge.name, rule.filter().as_str()),
        filter: rule.filter().to_owned(),
        durability: None,
        overflow: budget.overflow.map(overflow),
        max_queued_messages: budget.max_messages.map(most),
        max_queued_bytes: budget.max_bytes.map(size),
    };
    let all = &bridge.budget;
    Arrangement {
        household: Some(format!("bridge {}", bridge.name).into()),
        identifiers: Some(priority.identifiers()),
        max_queued_messages: all.max_messages.map(most),
        max_queued_bytes: all.max_bytes.map(size),
        overflow: all.overflow.map(overflow),
        rules: own.map(|(place, rule)| (place, kept(rule))).collect(),
    }
}

use std::ops::RangeInclusive;
use std::sync::Arc;

use mqtt::TopicName;

use crate::client::Client;
use crate::deliver::Publication;
use crate::routes::Target;
use crate::treatment::Treatment;
use crate::{Broker, Overflow, Settings, TopicRule};

/// What is arranged for the session of a part of the gateway itself, such as a bridge; no client can ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    /// Sessions of one household count as one receiver. A message goes to that of them whose first rule that matches its topic has
    /// the lowest place; and what one of them publishes is not for the others either, where they asked for No Local.
    pub household: Option<Arc<str>>,
    /// The packet identifiers of its deliveries, always the same ones; all that there are if `None`.
    pub identifiers: Option<RangeInclusive<u16>>,
    /// Instead of [`Settings::max_queued_messages`].
    pub max_queued_messages: Option<usize>,
    /// Instead of [`Settings::max_queued_bytes`].
    pub max_queued_bytes: Option<usize>,
    /// Instead of [`Settings::overflow`].
    pub overflow: Option<Overflow>,
    /// How the messages of some topics are kept, with the place of each rule among those of the household: the first that matches
    /// counts. What it leaves open, and its durability, is for [`Settings::topic_rules`] to say.
    pub rules: Vec<(usize, TopicRule)>,
}

impl Arrangement {
    fn rule(&self, topic: TopicName<'_>) -> Option<&(usize, TopicRule)> {
        self.rules.iter().find(|(_, rule)| rule.filter.as_filter().matches(topic))
    }

    /// How the messages of a topic are kept here, where they are `usually` kept so.
    fn treatment(&self, topic: TopicName<'_>, usually: Treatment) -> Treatment {
        let rule = self.rule(topic).map(|(_, rule)| rule);
        let overflow = rule.and_then(|rule| rule.overflow).or(self.overflow);
        let quota = rule.and_then(TopicRule::quota);
        Treatment {
            overflow: overflow.unwrap_or(usually.overflow),
            quota: quota.or(usually.quota),
            ..usually
        }
    }
}

impl Client {
    /// Messages that may wait for it.
    pub(crate) fn max_queued_messages(&self, settings: &Settings) -> usize {
        let own = self.arrangement.as_ref().and_then(|it| it.max_queued_messages);
        own.unwrap_or(settings.max_queued_messages)
    }

    /// Bytes of them.
    pub(crate) fn max_queued_bytes(&self, settings: &Settings) -> usize {
        let own = self.arrangement.as_ref().and_then(|it| it.max_queued_bytes);
        own.unwrap_or(settings.max_queued_bytes)
    }

    /// The household that it is of.
    pub(crate) fn household(&self) -> Option<&Arc<str>> {
        self.arrangement.as_ref()?.household.as_ref()
    }
}

impl Publication<'_> {
    /// Has it treated otherwise; answers how it was.
    pub(crate) fn treat_as(&mut self, treatment: Treatment) -> Treatment {
        let before = Treatment { overflow: self.overflow, quota: self.quota, durability: None };
        (self.overflow, self.quota) = (treatment.overflow, treatment.quota);
        before
    }
}

impl Broker {
    /// What is arranged for those that get a topic: how it is kept for them, and who of a household gets it.
    pub(crate) fn arrange(&self, topic: &str, usually: Treatment, targets: &mut Vec<Target>) {
        let Ok(topic) = TopicName::new(topic) else { return };
        let mut first: Vec<(Arc<str>, usize, u32)> = Vec::new();
        for target in targets.iter_mut() {
            let client = self.clients.get(target.session as usize);
            let Some(arrangement) = client.and_then(|c| c.arrangement.as_ref()) else { continue };
            target.treatment = Some(arrangement.treatment(topic, usually));
            let Some(household) = &arrangement.household else { continue };
            let place = arrangement.rule(topic).map_or(usize::MAX, |(place, _)| *place);
            match first.iter_mut().find(|(name, ..)| name == household) {
                Some(known) if place < known.1 => (known.1, known.2) = (place, target.session),
                Some(_) => {}
                None => first.push((Arc::clone(household), place, target.session)),
            }
        }
        if first.is_empty() {
            return;
        }
        targets.retain(|target| {
            let client = self.clients.get(target.session as usize);
            client.and_then(Client::household).is_none_or(|household| {
                first.iter().any(|(name, _, who)| name == household && *who == target.session)
            })
        });
    }

    /// Whether a publication came of the session that it is for, or of its household.
    #[inline]
    pub(crate) fn is_own(&self, session: u32, publication: &Publication<'_>) -> bool {
        publication.from == Some(session)
            || publication.household.as_ref().is_some_and(|household| {
                let client = self.clients.get(session as usize);
                client.and_then(Client::household) == Some(household)
            })
    }
}

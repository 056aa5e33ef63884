mod draft;
mod forward;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use auth::Identity;
use broker::{Delivery, Draft, Interception, Interests, Reviewed};
use config::{MessageGrant, OnFailure};
use extension_host::{
    Connecting, DeliveryAction, Extension, Failure, Intercepted, MAX_REPLACEMENTS, PublishAction,
    Sitting,
};
use mqtt::{ReasonCode, TopicFilterBuf, TopicName};

pub(crate) use forward::Forwarded;

/// The interceptors of a listener: the extensions of its chain that look at messages, in its order.
pub(crate) struct Screen {
    chain: Vec<Extension>,
    interceptors: Mutex<Arc<[Interceptor]>>,
}

/// An extension that looks at messages, and at which ones.
struct Interceptor {
    extension: Extension,
    grant: Arc<MessageGrant>,
    /// Topics of which it wants to see what is published.
    publish: Vec<TopicFilterBuf>,
    /// Topics of which it wants to see what is delivered.
    delivery: Vec<TopicFilterBuf>,
}

/// One client before the interceptors of its listener.
pub(crate) struct Screened {
    screen: Arc<Screen>,
    who: Arc<Identity>,
    connecting: Arc<Connecting>,
}

/// Why a message does not go on: for the operator, with the version that is at fault.
struct Fault(String);

/// The answer of an interceptor: the version that gave it, and what it said.
type Said<T> = (Arc<str>, Result<T, Failure>);

/// Puts a message to one of the interceptors, by its place; None if it is not to be had now.
type Ask<'a, T> = dyn FnMut(usize, &Interceptor, &Intercepted<'_>) -> Option<Said<T>> + 'a;

impl Screen {
    pub(crate) fn new(chain: &[Extension]) -> Arc<Self> {
        let interceptors = Mutex::new(Vec::new().into());
        Arc::new(Self { chain: chain.to_vec(), interceptors })
    }

    /// Learns anew what its extensions want to see, and answers what the broker is to show it.
    pub(crate) fn look(&self, grants: &BTreeMap<String, Arc<MessageGrant>>) -> Interests {
        let filters = |interest: Option<Arc<extension_host::Interest>>| {
            interest.map(|interest| interest.filters.clone()).unwrap_or_default()
        };
        let interceptor = |extension: &Extension| {
            Some(Interceptor {
                extension: extension.clone(),
                grant: Arc::clone(grants.get(extension.name())?),
                publish: filters(extension.publish_interest()),
                delivery: filters(extension.delivery_interest()),
            })
        };
        let looks = |found: &Interceptor| !found.publish.is_empty() || !found.delivery.is_empty();
        let found: Vec<_> = self.chain.iter().filter_map(interceptor).filter(looks).collect();
        let interests = Interests {
            publish: found.iter().flat_map(|i| within(&i.publish, &i.grant.publish)).collect(),
            delivery: found.iter().flat_map(|i| within(&i.delivery, &i.grant.deliver)).collect(),
        };
        *self.interceptors.lock().unwrap_or_else(PoisonError::into_inner) = found.into();
        interests
    }

    /// A client whose messages go past the interceptors, if there are any.
    pub(crate) fn screened(
        self: &Arc<Self>,
        who: &Arc<Identity>,
        connecting: &Arc<Connecting>,
    ) -> Option<Screened> {
        (!self.interceptors().is_empty()).then(|| Screened {
            screen: Arc::clone(self),
            who: Arc::clone(who),
            connecting: Arc::clone(connecting),
        })
    }

    /// The versions that would be shown a publish of this topic, in their order.
    pub(crate) fn who_sees_published(&self, topic: TopicName<'_>) -> Vec<Arc<str>> {
        self.versions(|interceptor| interceptor.sees_published(topic))
    }

    /// The same of a delivery.
    pub(crate) fn who_sees_delivered(&self, topic: TopicName<'_>) -> Vec<Arc<str>> {
        self.versions(|interceptor| interceptor.sees_delivered(topic))
    }

    fn versions(&self, of: impl Fn(&Interceptor) -> bool) -> Vec<Arc<str>> {
        let interceptors = self.interceptors();
        interceptors.iter().filter(|one| of(one)).map(|one| one.extension.id()).collect()
    }

    fn interceptors(&self) -> Arc<[Interceptor]> {
        Arc::clone(&self.interceptors.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the broker is to show of what is wanted: what is granted, where that is no more.
fn within(wanted: &[TopicFilterBuf], granted: &[TopicFilterBuf]) -> Vec<TopicFilterBuf> {
    let everything = |filters: &[TopicFilterBuf]| filters.iter().any(|f| f.as_str() == "#");
    if everything(wanted) || granted.is_empty() { granted.to_vec() } else { wanted.to_vec() }
}

/// What the interceptors make of a client's messages. Whatever goes wrong refuses or drops the message, unless the operator
/// has said of the extension that messages pass when it fails.
impl Screened {
    /// The same client, which has authenticated again.
    pub(crate) fn as_known_by(&self, who: &Arc<Identity>) -> Self {
        let (screen, connecting) = (Arc::clone(&self.screen), Arc::clone(&self.connecting));
        Self { screen, who: Arc::clone(who), connecting }
    }

    /// What becomes of a publish. Blocks.
    pub(crate) fn publish(&self, draft: &Draft) -> Interception {
        let made = self.put_through(draft, &mut |_, interceptor, shown| {
            let answer =
                interceptor.extension.intercept_publish(&self.who, &self.connecting, shown);
            Some((answer.by, answer.result))
        });
        made.unwrap_or(Interception::Pass)
    }

    /// The same without waiting, if all who want to see it answer at once.
    pub(crate) fn publish_now(&self, draft: &Draft) -> Option<Interception> {
        let mut seats = Seats::default();
        self.put_through(draft, &mut |at, interceptor, shown| {
            let seat = seats.of(at, interceptor, self)?;
            Some((Arc::clone(seat.by()), seat.intercept_publish(shown)?))
        })
    }

    /// What becomes of deliveries. Blocks.
    pub(crate) fn deliver(&self, deliveries: &[Delivery]) -> Vec<Reviewed> {
        let review = |delivery| {
            let made = self.put_across(delivery, &mut |_, interceptor, shown| {
                let who = (&self.who, &self.connecting);
                let answer = interceptor.extension.intercept_delivery(who.0, who.1, shown);
                Some((answer.by, answer.result))
            });
            made.unwrap_or(Reviewed::Failed)
        };
        deliveries.iter().map(review).collect()
    }

    /// The same without waiting, if all who want to see them answer at once.
    pub(crate) fn deliver_now(&self, deliveries: &[Delivery]) -> Option<Vec<Reviewed>> {
        let mut seats = Seats::default();
        let mut review = |delivery| {
            self.put_across(delivery, &mut |at, interceptor, shown| {
                let seat = seats.of(at, interceptor, self)?;
                Some((Arc::clone(seat.by()), seat.intercept_delivery(shown)?))
            })
        };
        deliveries.iter().map(&mut review).collect()
    }

    /// Has each interceptor see what those before it made of a publish. None if one of them was not to be had.
    fn put_through(&self, draft: &Draft, ask: &mut Ask<'_, PublishAction>) -> Option<Interception> {
        let mut made: Option<Vec<Draft>> = None;
        for (at, interceptor) in self.screen.interceptors().iter().enumerate() {
            let before = made.as_deref().unwrap_or(std::slice::from_ref(draft));
            let mut actions = Vec::with_capacity(before.len());
            let mut version: Arc<str> = Arc::from("");
            for message in before {
                if !interceptor.sees_published(message.topic.as_topic()) {
                    actions.push(PublishAction::Pass);
                    continue;
                }
                let (by, said) = ask(at, interceptor, &draft::shown(message))?;
                actions.push(match said {
                    Ok(PublishAction::Refuse { code, reason }) => {
                        let reason = reason.as_deref().unwrap_or("refused without a reason");
                        let why = format!("{by}: {reason}");
                        return Some(Interception::Refuse { code, why });
                    }
                    Ok(action) => action,
                    Err(failure) => match interceptor.grant.on_failure {
                        OnFailure::Pass => PublishAction::Pass,
                        OnFailure::Refuse => return Some(refused(&by, &failure.to_string())),
                    },
                });
                version = by;
            }
            if actions.iter().all(|action| *action == PublishAction::Pass) {
                continue;
            }
            let before = made.take().unwrap_or_else(|| vec![draft.clone()]);
            match interceptor.changed(before, actions) {
                Ok(after) => made = Some(after),
                Err(Fault(why)) => return Some(refused(&version, &why)),
            }
        }
        Some(match made {
            None => Interception::Pass,
            Some(drafts) if drafts.is_empty() => Interception::Discard,
            Some(drafts) => Interception::Replace(drafts),
        })
    }

    /// Has each interceptor see what those before it made of a delivery. None if one of them was not to be had.
    fn put_across(
        &self,
        delivery: &Delivery,
        ask: &mut Ask<'_, DeliveryAction>,
    ) -> Option<Reviewed> {
        let mut made: Option<Draft> = None;
        for (at, interceptor) in self.screen.interceptors().iter().enumerate() {
            let topic = made.as_ref().map_or(&delivery.message.topic, |draft| &draft.topic);
            if !interceptor.sees_delivered(topic.as_topic()) {
                continue;
            }
            let shown = match &made {
                Some(draft) => draft::shown(draft),
                None => draft::delivered(delivery),
            };
            let (by, said) = ask(at, interceptor, &shown)?;
            match said {
                Ok(DeliveryAction::Pass) => {}
                Ok(DeliveryAction::Discard) => return Some(Reviewed::Discard),
                Ok(DeliveryAction::Replace(change)) => {
                    let before = made.take().unwrap_or_else(|| draft::of(delivery));
                    match interceptor.apply(&before, *change) {
                        Ok(after) => made = Some(after),
                        Err(Fault(why)) => return Some(dropped(&by, &why)),
                    }
                }
                Err(failure) => match interceptor.grant.on_failure {
                    OnFailure::Pass => {}
                    OnFailure::Refuse => return Some(dropped(&by, &failure.to_string())),
                },
            }
        }
        Some(made.map_or(Reviewed::Pass, Reviewed::Replace))
    }
}

impl Interceptor {
    fn sees_published(&self, topic: TopicName<'_>) -> bool {
        matches(&self.publish, topic) && matches(&self.grant.publish, topic)
    }

    fn sees_delivered(&self, topic: TopicName<'_>) -> bool {
        matches(&self.delivery, topic) && matches(&self.grant.deliver, topic)
    }

    /// What its actions make of messages.
    fn changed(
        &self,
        before: Vec<Draft>,
        actions: Vec<PublishAction>,
    ) -> Result<Vec<Draft>, Fault> {
        let mut after = Vec::new();
        for (message, action) in before.into_iter().zip(actions) {
            match action {
                PublishAction::Pass => after.push(message),
                // A refusal is the end of all, and was seen to before.
                PublishAction::Discard | PublishAction::Refuse { .. } => {}
                PublishAction::Replace(changes) => {
                    for change in changes {
                        after.push(self.apply(&message, change)?);
                    }
                }
            }
        }
        if after.len() > MAX_REPLACEMENTS {
            let why = format!("{} messages came of one, more than {MAX_REPLACEMENTS}", after.len());
            return Err(Fault(why));
        }
        Ok(after)
    }

    fn apply(&self, before: &Draft, change: extension_host::MessageChange) -> Result<Draft, Fault> {
        let after = draft::changed(before, change).map_err(Fault)?;
        let moved = after.topic != before.topic;
        if moved && !matches(&self.grant.to, after.topic.as_topic()) {
            let (name, topic) = (self.extension.name(), after.topic.as_str());
            return Err(Fault(format!(
                "it may not move messages to {topic:?}; add that to `to` of [extensions.{name}.messages] if it should"
            )));
        }
        Ok(after)
    }
}

fn matches(filters: &[TopicFilterBuf], topic: TopicName<'_>) -> bool {
    filters.iter().any(|filter| filter.as_filter().matches(topic))
}

fn refused(by: &str, why: &str) -> Interception {
    let code = ReasonCode::ImplementationSpecificError;
    Interception::Refuse { code, why: format!("{by}: {why}") }
}

fn dropped(by: &str, why: &str) -> Reviewed {
    tracing::debug!(extension = by, why, "delivery dropped because its interceptor failed");
    Reviewed::Failed
}

/// Instances of interceptors that answer at once, each taken when it is first needed.
#[derive(Default)]
struct Seats<'a>(Vec<Option<Sitting<'a>>>);

impl<'a> Seats<'a> {
    fn of(
        &mut self,
        at: usize,
        interceptor: &Interceptor,
        one: &'a Screened,
    ) -> Option<&mut Sitting<'a>> {
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        let seat = self.0.get_mut(at)?;
        if seat.is_none() {
            *seat = interceptor.extension.sit_to_intercept(&one.who, &one.connecting);
        }
        seat.as_mut()
    }
}

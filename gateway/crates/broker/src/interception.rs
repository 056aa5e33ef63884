use std::sync::Arc;

use mqtt::{MessageProperties, Publish, QoS, ReasonCode, TopicFilterBuf, TopicName, TopicNameBuf};
use session::{Message, Timestamp};

use crate::accept::Outcome;
use crate::deliver::Publication;
use crate::review::Review;
use crate::routes::Route;
use crate::{Action, Broker, Closing, Flow, Question};

/// A message as interceptors are shown it, and as they give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The topic, aliases resolved.
    pub topic: TopicNameBuf,
    /// The application's bytes.
    pub payload: Box<[u8]>,
    /// Quality of service of the publication.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// The properties that a server forwards unaltered (MQTT 5, 3.3.2.3), as wire bytes. What does not parse counts as
    /// no properties.
    pub properties: Box<[u8]>,
    /// Message Expiry Interval in seconds, what is left of it.
    pub expiry_seconds: Option<u32>,
}

/// What the interceptors of a listener made of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interception {
    /// It goes on as it is.
    Pass,
    /// It is acknowledged, and nobody gets it.
    Discard,
    /// It is refused. A failure of an extension is that by then, unless the operator says otherwise.
    Refuse {
        /// What the client hears: a code that the answering packet may carry.
        code: ReasonCode,
        /// Extension and reason, for the operator.
        why: String,
    },
    /// These go on in its place, in their order. The acknowledgement waits for all of them.
    Replace(Vec<Draft>),
}

/// Of which topics interceptors want to see the messages of a listener's clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// What clients publish.
    pub publish: Vec<TopicFilterBuf>,
    /// What clients are sent.
    pub delivery: Vec<TopicFilterBuf>,
}

impl Draft {
    pub(crate) fn of(publish: &Publish<'_>, topic: TopicName<'_>) -> Self {
        let mut properties = Vec::with_capacity(publish.properties.wire_len());
        publish.properties.write_to(&mut properties);
        Self {
            topic: topic.to_owned(),
            payload: publish.payload.into(),
            qos: publish.qos,
            retain: publish.retain,
            properties: properties.into_boxed_slice(),
            expiry_seconds: publish.message_expiry,
        }
    }

    fn as_publish(&self) -> Publish<'_> {
        Publish {
            qos: self.qos,
            retain: self.retain,
            message_expiry: self.expiry_seconds,
            properties: MessageProperties::parse(&self.properties).unwrap_or_default(),
            ..Publish::new(self.topic.as_topic(), &self.payload)
        }
    }

    /// The message that it is from now on.
    pub(crate) fn into_message(self, now: Timestamp) -> Message {
        let Self { topic, payload, qos, retain, properties, expiry_seconds } = self;
        let expires = expiry_seconds.map(|seconds| now.after_seconds(seconds));
        Message { topic, payload, qos, retain, properties, expires }
    }
}

/// What the interceptors of a listener want to see.
pub(crate) fn interests(all: &[Interests], listener: Option<u16>) -> Option<&Interests> {
    all.get(usize::from(listener?))
}

pub(crate) fn wants(filters: &[TopicFilterBuf], topic: TopicName<'_>) -> bool {
    filters.iter().any(|filter| filter.as_filter().matches(topic))
}

/// What clients publish, before anybody gets it.
impl Broker {
    /// Says which messages the interceptors of a listener want to see, from now on. Listeners are numbered as
    /// [`Admission::listener`](crate::Admission::listener) says.
    pub fn set_interests(&mut self, listener: u16, interests: Interests) {
        let at = usize::from(listener);
        if self.interests.len() <= at {
            self.interests.resize_with(at + 1, Interests::default);
        }
        for (_, client) in &mut self.clients {
            let online = client.online.as_mut().filter(|online| online.listener == Some(listener));
            let Some(online) = online else { continue };
            // It says whether the next one like it is shown.
            online.last_publish = None;
            if !interests.delivery.is_empty() {
                online.review.get_or_insert_with(Box::<Review>::default);
            }
        }
        if let Some(known) = self.interests.get_mut(at) {
            *known = interests;
        }
    }

    /// Whether an interceptor wants to see what this client publishes on `topic`.
    pub(crate) fn is_intercepted(&self, session: u32, topic: TopicName<'_>) -> bool {
        let client = self.clients.get(session as usize);
        let online = client.and_then(|client| client.online.as_ref());
        online.is_some_and(|online| self.wants_publish(online.listener, topic))
    }

    pub(crate) fn wants_publish(&self, listener: Option<u16>, topic: TopicName<'_>) -> bool {
        interests(&self.interests, listener)
            .is_some_and(|interests| wants(&interests.publish, topic))
    }

    /// Goes on with a publish that is allowed and that interceptors want to see.
    pub(crate) fn intercept(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        route: &Route,
        made: Option<Interception>,
    ) -> Result<Flow, Closing> {
        match made {
            None => {
                let draft = Draft::of(publish, topic);
                return Ok(Flow::Ask(Question::Intercept(Box::new(draft))));
            }
            Some(Interception::Pass) => return self.go_on(now, session, publish, topic, route),
            Some(Interception::Discard) => {
                self.stats.publishes_discarded += 1;
                self.answer(session, publish, ReasonCode::Success);
            }
            Some(Interception::Refuse { code, why }) => {
                self.denied(session, Action::Publish, topic.as_str(), Some(code), why);
                self.answer(session, publish, code);
            }
            Some(Interception::Replace(drafts)) => {
                return self.publish_drafts(now, session, publish, &drafts);
            }
        }
        Ok(Flow::Continue)
    }

    /// Publishes what came of a publish, and acknowledges that.
    fn publish_drafts(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        drafts: &[Draft],
    ) -> Result<Flow, Closing> {
        let mut routes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            if let Err(why) = self.check_draft(draft) {
                let why = format!("what an interceptor made of the message cannot go on: {why}");
                let (topic, code) = (draft.topic.as_str(), ReasonCode::ImplementationSpecificError);
                self.denied(session, Action::Publish, topic, Some(code), why);
                self.answer(session, publish, code);
                return Ok(Flow::Continue);
            }
            let route = self.route(draft.topic.as_str());
            if self.disk_is_full && self.takes_disk(session, &draft.as_publish(), &route) {
                return self.refuse_for_disk(session, publish);
            }
            routes.push(route);
        }
        self.stats.count_publish(publish);
        self.stats.publishes_replaced += 1;
        let parts: Vec<Publish<'_>> = drafts.iter().map(Draft::as_publish).collect();
        let mut publications: Vec<(Publication<'_>, &Arc<Route>)> = Vec::new();
        for ((part, draft), route) in parts.iter().zip(drafts).zip(&routes) {
            let topic = draft.topic.as_topic();
            let publication = self.publication(now, session, publish.qos, part, topic, route);
            publications.push((publication, route));
        }
        // Its publisher sends a QoS 2 message again that is refused, and nobody may get a part of it twice.
        let mut outcome = Outcome::default();
        for (publication, route) in &mut publications {
            outcome.refused |= self.refuse_whole(session, publication, route);
        }
        if !outcome.refused {
            for (publication, route) in &mut publications {
                self.distribute(now, publication, route, &mut outcome);
            }
        }
        self.acknowledge(session, publish, outcome);
        Ok(Flow::Continue)
    }

    pub(crate) fn check_draft(&self, draft: &Draft) -> Result<(), String> {
        let topic = draft.topic.as_topic();
        if crate::system::is_reserved(topic.as_str()) || crate::control::is_order(topic) {
            return Err(format!("topics such as {:?} are the gateway's own", topic.as_str()));
        }
        let checked =
            self.check_topic(topic).and_then(|()| self.check_publish(&draft.as_publish()));
        checked.map_err(|closing| closing.why)
    }
}

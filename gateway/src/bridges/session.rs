use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, Limits, PermissionSet, Permissions};
use bridge::{LocalTerms, Rule};
use broker::{Admission, Admitted, Arrangement, Closing, Conversation, Durability, Lane, Outbox};
use config::Checked;
use mqtt::{
    Connect, ConnectProperties, Decoder, Disconnect, EncodeError, Packet, PacketId, ReasonCode,
    RetainHandling, Subscribe, SubscribeFiltersBuf, SubscribeOptions, TopicFilter, Unsubscribe,
    UnsubscribeFiltersBuf, UserProperties, Version,
};
use tokio::io::DuplexStream;

use crate::accept;
use crate::foresight::Foresight;
use crate::hub::{Hub, Next, Registration};
use crate::judge::Judge;
use crate::link::Link;

/// Bytes on their way between a relay and its link.
const PIPE: usize = 64 << 10;

/// The session of the local broker in which messages for upstream wait, and by which messages from there come in. It may do
/// everything: what passes is for the rules to say, and only the relay speaks in it.
pub(super) struct Session {
    hub: Arc<Hub>,
    client_id: Arc<str>,
    permissions: Arc<PermissionSet>,
    /// What is arranged for it; `None` if nothing is to be any more.
    arrangement: Option<Arc<Arrangement>>,
    outward: Vec<Rule>,
    max_packet_size: u32,
    /// How long it is kept without a conversation.
    pub(super) kept_for: Duration,
}

impl Session {
    /// The one with this client identifier.
    pub(super) fn of(
        client_id: Arc<str>,
        arrangement: Option<Arc<Arrangement>>,
        outward: Vec<Rule>,
        checked: &Checked,
        hub: Arc<Hub>,
    ) -> Self {
        let stated = Permissions {
            rules: Vec::new(),
            fallback: Fallback::Allow,
            source: client_id.trim_start_matches('$').into(),
        };
        // Without a rule there is none that could be faulty.
        let permissions = PermissionSet::compile(&stated);
        let permissions = permissions.unwrap_or_else(|_| PermissionSet::deny_all("bridge"));
        Self {
            hub,
            client_id,
            permissions: Arc::new(permissions),
            arrangement,
            outward,
            max_packet_size: checked.sessions.max_packet_size,
            kept_for: checked.sessions.max_expiry,
        }
    }

    /// Sees that the session is there and has the subscriptions that the rules ask for, and no others. From here on messages wait
    /// in it.
    pub(super) fn prepare(&self) {
        self.tend(true);
    }

    /// As [`prepare`](Self::prepare), and leaves it those that no rule asks for.
    pub(super) fn widen(&self) {
        self.tend(false);
    }

    fn tend(&self, narrows: bool) {
        let Some(conversation) = self.visit() else { return };
        match self.wishes(narrows) {
            Ok(bytes) => self.say(&conversation, &bytes),
            Err(error) => {
                tracing::error!(client = &*self.client_id, %error, "bridge cannot subscribe");
            }
        }
        let granted = self.subscriptions();
        for rule in &self.outward {
            let filter = rule.filter().as_str();
            if !granted.contains(filter) {
                tracing::error!(
                    client = &*self.client_id,
                    filter,
                    "bridge is not granted a subscription"
                );
            }
        }
        self.take_leave(&conversation);
    }

    /// Nobody comes for it any more: nothing more is to wait in it. What does is kept for as long as for any client that is
    /// away, in case the bridge comes back; without that it ends at once.
    pub(super) fn retire(&self) {
        let waiting = self.dissolve();
        tracing::info!(
            client = &*self.client_id,
            waiting,
            kept_s = if waiting == 0 { 0 } else { self.kept_for.as_secs() },
            "bridge is gone; its session gets nothing more"
        );
    }

    /// Has nothing more wait in it, and ends it if nothing does; answers what does.
    pub(super) fn dissolve(&self) -> usize {
        let Some(conversation) = self.visit() else { return 0 };
        let unsubscribes = unsubscribes(self.subscriptions().iter().map(String::as_str));
        self.say(&conversation, &unsubscribes.unwrap_or_default());
        let waiting = self.waiting();
        if waiting == 0 {
            let end = Disconnect { session_expiry: Some(0), ..Disconnect::default() };
            let mut bytes = Vec::new();
            // Without text there is nothing in it that could not be written.
            let _ = end.encode(Version::V5, &mut bytes);
            self.say(&conversation, &bytes);
        }
        self.take_leave(&conversation);
        waiting
    }

    pub(super) fn exists(&self) -> bool {
        self.hub.guest(&self.client_id).is_some()
    }

    /// Messages that wait in it, sent and unconfirmed ones included.
    pub(super) fn waiting(&self) -> usize {
        self.hub.guest(&self.client_id).map_or(0, |(session, ..)| session.queued)
    }

    fn subscriptions(&self) -> BTreeSet<String> {
        let known = self.hub.guest(&self.client_id).map(|(_, known, _)| known).unwrap_or_default();
        known.into_iter().map(|it| it.filter).collect()
    }

    /// Enters it for a moment.
    fn visit(&self) -> Option<(Registration, Conversation)> {
        // Nobody is going to confirm anything, so it is asked for little.
        let entered = self.enter(1);
        if let Err(why) = &entered {
            tracing::error!(client = &*self.client_id, why, "bridge has no session");
        }
        entered.ok()
    }

    fn take_leave(&self, (_registration, conversation): &(Registration, Conversation)) {
        let why = "the bridge has looked after its session";
        self.hub.disconnect(*conversation, Closing::new(ReasonCode::NORMAL_DISCONNECTION, why));
    }

    /// Passes on packets of which no answer is awaited.
    fn say(&self, (_registration, conversation): &(Registration, Conversation), bytes: &[u8]) {
        let mut decoder = self.decoder();
        let (mut foresight, mut outbox) = (Foresight::default(), Outbox::default());
        let mut rest = bytes;
        loop {
            let batch = self.hub.receive(
                *conversation,
                Lane::CONTROL,
                &mut decoder,
                rest,
                &mut foresight,
                &mut outbox,
            );
            rest = rest.get(batch.consumed..).unwrap_or_default();
            if rest.is_empty() || !matches!(batch.next, Next::Yield) {
                break;
            }
        }
    }

    /// Begins a conversation, of which CONNACK comes first. It ends with the stream, when what was written to that has been read.
    pub(super) fn open(&self, terms: LocalTerms) -> Result<DuplexStream, String> {
        let (registration, conversation) = self.enter(terms.receive_maximum)?;
        let (stream, served) = tokio::io::duplex(PIPE);
        let hub = Arc::clone(&self.hub);
        let link = Link::new(served, hub, registration, conversation, self.decoder(), Vec::new());
        tokio::spawn(async move {
            let (mut link, mut judge) = (link, Judge::of_nobody());
            accept::run(&mut link, &mut judge).await;
        });
        Ok(stream)
    }

    fn enter(&self, receive_maximum: u16) -> Result<(Registration, Conversation), String> {
        let connect = Connect {
            version: Version::V5,
            client_id: &self.client_id,
            clean_start: false,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties {
                session_expiry: Some(u32::MAX),
                receive_maximum: Some(receive_maximum),
                ..ConnectProperties::default()
            },
        };
        let registration = self.hub.register();
        let admission = Admission {
            link: registration.link,
            connect: &connect,
            client_id: Arc::clone(&self.client_id),
            principal: Arc::clone(&self.client_id),
            attributes: Vec::new(),
            permissions: Arc::clone(&self.permissions),
            authentication_data: None,
            valid_for_ms: None,
            limits: Limits::default(),
            durability: Durability::Strict,
            will_verdict: None,
            will_interception: None,
            listener: None,
            arrangement: self.arrangement.clone(),
        };
        match self.hub.connect(admission) {
            Admitted::Accepted(conversation) => Ok((registration, conversation)),
            Admitted::Refused(closing) => Err(closing.why),
            Admitted::Ask(_) => Err("the broker asks about a will that there is not".to_owned()),
        }
    }

    fn decoder(&self) -> Decoder {
        let mut decoder = Decoder::new(self.max_packet_size);
        decoder.set_version(Version::V5);
        decoder
    }

    /// SUBSCRIBE for each rule, and UNSUBSCRIBE for what no rule asks for any more.
    fn wishes(&self, narrows: bool) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        let user = UserProperties::default();
        for rule in &self.outward {
            let mut filters = SubscribeFiltersBuf::default();
            filters.push(rule.filter(), options(rule))?;
            let (packet_id, subscription_id) = (PacketId::MIN, None);
            let filters = filters.as_ref();
            let subscribe = Subscribe { packet_id, subscription_id, user, filters };
            Packet::Subscribe(subscribe).encode(Version::V5, &mut bytes)?;
        }
        if narrows {
            let known = self.subscriptions();
            let is_wanted =
                |filter: &str| self.outward.iter().any(|rule| rule.filter().as_str() == filter);
            let others = known.iter().map(String::as_str).filter(|filter| !is_wanted(filter));
            bytes.extend(unsubscribes(others)?);
        }
        Ok(bytes)
    }
}

fn unsubscribes<'f>(all: impl Iterator<Item = &'f str>) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    for filter in all.filter_map(|filter| TopicFilter::new(filter).ok()) {
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(filter);
        let (packet_id, user) = (PacketId::MIN, UserProperties::default());
        let filters = filters.as_ref();
        Packet::Unsubscribe(Unsubscribe { packet_id, user, filters })
            .encode(Version::V5, &mut bytes)?;
    }
    Ok(bytes)
}

fn options(rule: &Rule) -> SubscribeOptions {
    SubscribeOptions {
        qos: rule.qos,
        no_local: true,
        retain_as_published: true,
        retain_handling: match rule.retain {
            true => RetainHandling::SendIfNew,
            false => RetainHandling::DoNotSend,
        },
    }
}

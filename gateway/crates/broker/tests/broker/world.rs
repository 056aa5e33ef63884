//! The shell around the broker, as a value: links, a clock and a disk that do what they are
//! told. A link fetches its output when it is woken and at no other time, so a wake that is
//! forgotten shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auth::PermissionSet;
use mqtt::{Connect, Decoded, Decoder, ReasonCode, TopicName, Version};
use portcullis_broker::durable::{Commit, Lsn};
use portcullis_broker::{
    Admission, Admitted, Answer, Broker, Closing, Conversation, Effect, Event, Flow, LinkId,
    Outbox, Question, Settings, Timestamp, Verdict,
};

use crate::model::Model;

pub(crate) struct World {
    settings: Settings,
    seed: u64,
    pub(crate) broker: Broker,
    pub(crate) model: Model,
    pub(crate) now: Timestamp,
    /// What became durable since somebody looked, op by op.
    pub(crate) written: Vec<&'static str>,
    pub(crate) events: Vec<Event>,
    committing: Option<Commit>,
    next_link: u64,
    links: BTreeMap<LinkId, Link>,
}

/// One connection as the shell sees it.
struct Link {
    conversation: Conversation,
    decoder: Decoder,
    /// A packet that waits for an answer, and what came behind it.
    unhandled: Vec<u8>,
    /// Bytes for the client that it has not looked at.
    wire: Vec<u8>,
    open: bool,
    /// The socket takes nothing at the moment.
    stalled: bool,
    woken: bool,
}

/// Who connects, and what an extension said about it.
pub(crate) struct Login<'a> {
    pub(crate) connect: &'a Connect<'a>,
    pub(crate) principal: &'a str,
    pub(crate) permissions: Arc<PermissionSet>,
    pub(crate) authentication_data: Option<&'a [u8]>,
    pub(crate) valid_for_ms: Option<u64>,
    pub(crate) will_verdict: Option<Verdict>,
}

/// What became of a CONNECT.
pub(crate) enum Door {
    Open(LinkId),
    Ask(Question),
    Shut(Closing),
}

impl World {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let now = Timestamp::from_unix_ms(1_000_000);
        let model = Model::default();
        Self {
            broker: Broker::new(settings.clone(), seed, now, model.snapshot()),
            settings,
            seed,
            model,
            now,
            written: Vec::new(),
            events: Vec::new(),
            committing: None,
            next_link: 1,
            links: BTreeMap::new(),
        }
    }

    pub(crate) fn connect(&mut self, login: &Login<'_>) -> Door {
        let link = LinkId(self.next_link);
        let connect = login.connect;
        let client_id = match connect.client_id {
            "" => self.broker.new_client_id(),
            id => id.into(),
        };
        let admission = Admission {
            link,
            connect,
            client_id,
            principal: login.principal.into(),
            attributes: Vec::new(),
            permissions: Arc::clone(&login.permissions),
            authentication_data: login.authentication_data,
            valid_for_ms: login.valid_for_ms,
            limits: auth::Limits::default(),
            will_verdict: login.will_verdict.clone(),
        };
        let door = match self.broker.connect(self.now, admission) {
            Admitted::Ask(question) => Door::Ask(question),
            Admitted::Refused(closing) => Door::Shut(closing),
            Admitted::Accepted(conversation) => {
                self.next_link += 1;
                self.let_in(link, conversation, connect.version);
                Door::Open(link)
            }
        };
        self.settle();
        door
    }

    fn let_in(&mut self, link: LinkId, conversation: Conversation, version: Version) {
        let mut decoder = Decoder::new(self.settings.max_packet_size);
        decoder.set_version(version);
        let entry = Link {
            conversation,
            decoder,
            unhandled: Vec::new(),
            wire: Vec::new(),
            open: true,
            stalled: false,
            woken: false,
        };
        self.links.insert(link, entry);
        // A new link looks once, for its CONNACK.
        self.fetch(link);
    }

    /// Bytes of the client arrive.
    pub(crate) fn send(&mut self, link: LinkId, bytes: &[u8]) -> Option<Question> {
        let entry = self.links.get_mut(&link)?;
        entry.unhandled.extend_from_slice(bytes);
        self.handle(link, None)
    }

    /// The extension answers what [`send`](Self::send) brought back.
    pub(crate) fn answer(&mut self, link: LinkId, answer: Answer) -> Option<Question> {
        self.handle(link, Some(answer))
    }

    fn handle(&mut self, link: LinkId, mut answer: Option<Answer>) -> Option<Question> {
        let entry = self.links.get_mut(&link).filter(|entry| entry.open)?;
        let bytes = std::mem::take(&mut entry.unhandled);
        let mut rest = &bytes[..];
        let mut packets = 0;
        let mut asked = None;
        loop {
            match entry.decoder.decode(rest) {
                Ok(Decoded::Incomplete { .. }) => break,
                Ok(Decoded::Packet { packet, len }) => {
                    let conversation = entry.conversation;
                    match self.broker.receive(self.now, conversation, &packet, answer.take()) {
                        Flow::Continue => {
                            rest = &rest[len..];
                            packets += 1;
                        }
                        Flow::Ask(question) => {
                            asked = Some(question);
                            break;
                        }
                        Flow::Closed => break,
                    }
                }
                Err(error) => {
                    let closing = Closing::new(error.reason_code(), error.to_string());
                    self.broker.disconnect(self.now, entry.conversation, closing);
                    break;
                }
            }
        }
        self.broker.count_input(packets, (bytes.len() - rest.len()) as u64);
        entry.unhandled = rest.to_vec();
        self.settle();
        asked
    }

    /// The connection is gone, without a word.
    pub(crate) fn cut(&mut self, link: LinkId) {
        if let Some(entry) = self.links.remove(&link) {
            let closing = Closing::new(ReasonCode::UnspecifiedError, "the connection was cut");
            self.broker.disconnect(self.now, entry.conversation, closing);
        }
        self.settle();
    }

    /// Time passes; what is due happens when it is due.
    pub(crate) fn advance(&mut self, by: Duration) {
        let target = self.now.after(by);
        let mut rounds = 0;
        while let Some(at) = self.broker.next_deadline().filter(|at| *at <= target) {
            self.now = self.now.max(at);
            self.broker.handle_deadline(self.now);
            self.settle();
            rounds += 1;
            assert!(rounds < 100_000, "a deadline that is handled must not stay due");
        }
        self.now = target;
    }

    /// The disk takes the next commit, which is lost if the power fails now.
    pub(crate) fn begin_commit(&mut self) -> bool {
        if self.committing.is_none() {
            self.committing = self.broker.take_commit();
        }
        self.committing.is_some()
    }

    /// The disk has written the commit that it took.
    pub(crate) fn finish_commit(&mut self) {
        if let Some(upto) = self.write() {
            self.broker.committed(self.now, upto);
        }
        self.settle();
    }

    fn write(&mut self) -> Option<Lsn> {
        let commit = self.committing.take()?;
        for op in commit.ops {
            let kind = self.model.apply(op);
            self.written.push(kind);
        }
        Some(commit.upto)
    }

    /// The disk writes all there is.
    pub(crate) fn disk(&mut self) {
        while self.begin_commit() {
            self.finish_commit();
        }
    }

    /// Power fails and comes back: what is not on disk is gone, and so are all links. The
    /// commit under way is either there or not.
    pub(crate) fn crash(&mut self, with_commit: bool) {
        if with_commit {
            self.write();
        }
        self.committing = None;
        self.links.clear();
        let snapshot = self.model.snapshot();
        self.broker = Broker::new(self.settings.clone(), self.seed, self.now, snapshot);
    }

    pub(crate) fn shut_down(&mut self) {
        self.broker.shut_down(self.now);
        self.settle();
    }

    /// The gateway has something to say of itself.
    pub(crate) fn publish_system(&mut self, topic: &str, value: &str) {
        let topic = TopicName::new(topic).expect("a topic");
        self.broker.publish_system(self.now, topic, value.as_bytes());
        self.settle();
    }

    /// The client's socket takes nothing, or takes again.
    pub(crate) fn stall(&mut self, link: LinkId, stalled: bool) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.stalled = stalled;
        if !stalled && std::mem::take(&mut entry.woken) {
            self.fetch(link);
        }
        self.settle();
    }

    /// The bytes that wait for the client to look at them.
    pub(crate) fn wire(&mut self, link: LinkId) -> Option<&mut Vec<u8>> {
        self.links.get_mut(&link).map(|entry| &mut entry.wire)
    }

    /// Whether the broker holds this connection.
    pub(crate) fn is_open(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|entry| entry.open)
    }

    fn fetch(&mut self, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        if entry.stalled {
            entry.woken = true;
            return;
        }
        let mut outbox = Outbox::default();
        self.broker.take_output(self.now, entry.conversation, &mut outbox);
        outbox.segments(0).for_each(|segment| entry.wire.extend_from_slice(segment));
    }

    fn settle(&mut self) {
        while let Some(effect) = self.broker.poll_effect() {
            match effect {
                Effect::Wake(link) => self.fetch(link),
                Effect::Close { link, last } => {
                    if let Some(entry) = self.links.get_mut(&link) {
                        last.segments(0).for_each(|bytes| entry.wire.extend_from_slice(bytes));
                        entry.open = false;
                    }
                }
                Effect::Event(event) => self.events.push(event),
            }
        }
    }
}

use std::sync::Arc;

use auth::Decision;
use mqtt::{Disconnect, Publish, QoS, ReasonCode, Version};
use session::{Lane, Timestamp};

use crate::client::{Offline, Online, Will};
use crate::deliver::Publication;
use crate::durable::Op;
use crate::frames::Audience;
use crate::timers::Alarm;
use crate::{Broker, Closing, Conversation, Effect, Event, Flow};

/// The ends of connections and of sessions.
impl Broker {
    /// The network connection is gone, or its bytes made no sense: `closing` says why.
    /// The client is told if it can still hear.
    pub fn disconnect(&mut self, now: Timestamp, from: Conversation, closing: Closing) {
        let client = self.clients.get(from.session as usize);
        if client.and_then(|c| c.online.as_ref()).is_some_and(|o| o.link == from.link) {
            self.close(now, from.session, closing);
        }
    }

    /// Ends every connection because the gateway stops (0x8B); sessions and queues stay on disk.
    pub fn shut_down(&mut self, now: Timestamp) {
        let online: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, client)| client.online.is_some())
            .map(|(session, _)| u32::try_from(session).unwrap_or(u32::MAX))
            .collect();
        for session in online {
            self.close(
                now,
                session,
                Closing::new(ReasonCode::ServerShuttingDown, "the gateway stops"),
            );
        }
    }

    /// DISCONNECT of a client (MQTT 5, 3.14.4).
    pub(crate) fn client_disconnects(
        &mut self,
        now: Timestamp,
        session: u32,
        disconnect: &Disconnect<'_>,
    ) -> Result<Flow, Closing> {
        if !disconnect.is_for_clients() {
            let why = format!(
                "the client sent DISCONNECT as only a server may, with {} ({:#04x}) (MQTT-3.14.2-1)",
                disconnect.code,
                disconnect.code.as_u8()
            );
            return Err(Closing::new(ReasonCode::ProtocolError, why));
        }
        let max_expiry = self.settings.max_session_expiry;
        let Some(client) = self.clients.get_mut(session as usize) else { return Ok(Flow::Closed) };
        if let Some(expiry) = disconnect.session_expiry {
            if client.expiry_seconds == 0 && expiry > 0 {
                return Err(Closing::new(
                    ReasonCode::ProtocolError,
                    "DISCONNECT sets a Session Expiry Interval although CONNECT had none (MQTT-3.14.2-2)",
                ));
            }
            client.expiry_seconds = expiry.min(max_expiry);
        }
        // Any other code means that something was wrong, and is what a will is for (MQTT-3.14.4-3).
        if disconnect.code == ReasonCode::NORMAL_DISCONNECTION {
            client.will = None;
        }
        let why = format!("the client said {}", disconnect.code);
        self.end_connection(now, session, Closing::new(disconnect.code, why), false);
        Ok(Flow::Closed)
    }

    /// Ends a connection from this side, with a DISCONNECT where the version has one.
    pub(crate) fn close(&mut self, now: Timestamp, session: u32, closing: Closing) {
        self.end_connection(now, session, closing, true);
    }

    fn end_connection(&mut self, now: Timestamp, session: u32, closing: Closing, tell: bool) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(mut online) = client.online.take() else { return };
        // What is not true yet must not leave; and nothing does without its CONNACK.
        let held = online.held.is_some_and(|lsn| !self.journal.is_durable(lsn));
        if held {
            online.outbox = crate::Outbox::default();
        }
        if tell && client.version.is_v5() && (online.greeted || !held) {
            // A client hears why it is disconnected whether it asked for reasons or not (3.1.2.11.7).
            let audience = Audience { wants_reasons: true, ..online.audience() };
            audience.write(Some(&closing.why), &mut online.outbox, |reason, out| {
                Disconnect { reason, ..Disconnect::new(closing.code) }.encode(Version::V5, out)
            });
        }
        client.inbound.disconnect();
        if online.lanes.is_some() {
            // What is still owed goes on the next connection, whose streams are others.
            client.outbound.iter_mut().for_each(|delivery| delivery.tag.lane = Lane::CONTROL);
        }
        self.stats.clients_connected -= 1;
        self.stats.count_output(&online.outbox);
        if let Some(limit) = closing.limit {
            self.stats.count_limit(limit);
        }
        self.effects.push_back(Effect::Close { link: online.link, last: online.outbox });
        let (client_id, principal) = client.whose();
        self.event(Event::Disconnected { client_id, principal, closing });
        self.go_offline(now, session);
    }

    /// A session has lost its connection: it ends, or everything it is owed goes to disk.
    fn go_offline(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let expiry = client.expiry_seconds;
        let will_delay = client.will.as_ref().map(|will| will.delay.min(expiry));
        let until = (expiry != u32::MAX).then(|| now.after_seconds(expiry));
        let will_due = will_delay.map(|delay| now.after_seconds(delay));
        client.offline = Some(Offline { since: now, until, will_due });
        if expiry == 0 {
            self.remove_session(now, session);
            return;
        }
        if will_delay == Some(0) {
            self.publish_will(now, session);
        }
        self.set_alarm(session);
        self.hand_over(now, session);
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let in_memory: Vec<u64> = client
            .outbound
            .iter_mut()
            .filter(|d| d.tag.stored.is_none())
            .map(|d| d.sequence)
            .collect();
        self.put_session(session);
        for sequence in in_memory {
            self.store_delivery(session, sequence);
        }
        self.wait_to_put_away(session);
    }

    /// Has the disk remember what is true of a session now.
    fn put_session(&mut self, session: u32) {
        let client = self.clients.get(session as usize);
        if let Some((key, record)) = client.and_then(|c| c.key.map(|key| (key, c.record()))) {
            self.journal.append(Op::PutSession { session: key, record });
        }
    }

    /// Ends a session: its subscriptions, its queue, its record. A will that is still due
    /// is due now (MQTT-3.1.2-10), and not for the session itself.
    pub(crate) fn remove_session(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get(session as usize) else { return };
        for filter in client.subscriptions.keys() {
            self.subscriptions.remove(filter.as_filter(), session);
        }
        self.publish_will(now, session);
        let Some(mut client) = self.clients.try_remove(session as usize) else { return };
        self.by_client_id.remove(&client.identity.client_id);
        self.timers.unset(Alarm { session, uid: client.uid }, client.alarm);
        self.queued_bytes -= client.outbound.weight();
        self.waiting_bytes -= client.outbound.weight_in_memory();
        let messages = client.outbound.len();
        let deliveries = client.outbound.drain();
        if let Some(key) = client.key {
            let lsn = self.end_on_disk(&client, key, &deliveries);
            let (client_id, principal) = client.whose();
            self.ended.insert(Arc::clone(&client_id), lsn);
            self.event(Event::SessionExpired { client_id, principal, messages });
        }
        for delivery in &deliveries {
            self.bequeath(now, delivery);
        }
    }

    /// Publishes the will of a session, once, if it has one and may still publish there.
    pub(crate) fn publish_will(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(Will { mut message, expiry, .. }) = client.will.take() else { return };
        if let Some(offline) = client.offline.as_mut() {
            offline.will_due = None;
        }
        let topic = message.topic.clone();
        let decision = client.permissions.as_ref().map(|set| {
            (
                set.check_publish(&client.identity, topic.as_str(), message.qos, message.retain),
                Arc::clone(set),
            )
        });
        if let Some((Decision::Deny(reason), set)) = decision {
            self.will_denied(session, topic.as_str(), set.explain(reason));
            return;
        }
        message.expires = expiry.map(|seconds| now.after_seconds(seconds));
        let properties = message.properties();
        let publish = Publish {
            dup: false,
            qos: message.qos,
            retain: message.retain,
            topic: Some(message.topic.as_topic()),
            packet_id: None,
            topic_alias: None,
            message_expiry: expiry,
            subscription_ids: mqtt::SubscriptionIds::default(),
            properties,
            payload: &message.payload,
        };
        let mut publication = Publication::new(&publish, topic.as_topic(), now);
        publication.from = Some(session);
        if message.retain && !self.retain(&mut publication) {
            self.stats.dropped_queue_full += 1;
        }
        let route = self.route(topic.as_str());
        publication.overflow = route.treatment.overflow;
        publication.quota = route.treatment.quota;
        self.fan_out(now, &mut publication, &route);
        debug_assert!(message.qos <= QoS::ExactlyOnce, "a will has a QoS");
    }

    /// Does what is due at `now`.
    pub fn handle_deadline(&mut self, now: Timestamp) {
        while let Some(write) = self.timers.due_write(now) {
            if self.clients.get(write.session as usize).is_some_and(|c| c.uid == write.uid) {
                self.store_delivery(write.session, write.sequence);
            }
        }
        while let Some((at, alarm)) = self.timers.due(now) {
            self.handle_alarm(now, at, alarm);
        }
    }

    /// Sees to it that a session is looked at when something about it falls due.
    pub(crate) fn set_alarm(&mut self, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(at) = client.deadline() else { return };
        if client.alarm.is_none_or(|set| at < set) {
            let alarm = Alarm { session, uid: client.uid };
            self.timers.set(alarm, client.alarm.replace(at), at);
        }
    }

    /// Does what was due `at` that time, which may be long past; what was due later has its turn
    /// among all others.
    fn handle_alarm(&mut self, now: Timestamp, at: Timestamp, alarm: Alarm) {
        let Alarm { session, uid } = alarm;
        let client = self.clients.get_mut(session as usize);
        let Some(client) = client.filter(|client| client.uid == uid) else { return };
        client.alarm = client.alarm.filter(|set| *set > at);
        let Some(client) = self.clients.get(session as usize) else { return };
        let due = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= at);
        if let Some(online) = &client.online {
            let stuck = online.lanes.as_ref().and_then(|lanes| lanes.deadline());
            if due(online.keep_alive.deadline()) && self.may_be_unheard(client) {
                self.excuse(session);
            } else if due(online.keep_alive.deadline()) {
                let why =
                    "nothing was heard for one and a half times the Keep Alive (MQTT-3.1.2-22)";
                self.close(now, session, Closing::new(ReasonCode::KeepAliveTimeout, why));
            } else if due(online.authorized_until) {
                let why = "the authorization that the extension granted has run out";
                self.close(now, session, Closing::new(ReasonCode::MaximumConnectTime, why));
            } else if due(stuck) {
                self.unstick(now, session);
            } else if due(online.lacks_memory_until) {
                self.give_up_for_memory(now, session);
            } else if due(online.waits_until()) {
                self.hear_again(now, session);
            }
        } else if let Some(offline) = &client.offline {
            if due(offline.until) {
                self.stats.sessions_expired += 1;
                self.remove_session(now, session);
            } else if due(offline.will_due) {
                self.publish_will(now, session);
                self.put_session(session);
            }
        }
        let client = self.clients.get(session as usize);
        if client.is_some_and(|client| client.uid == uid && due(client.sweep.due)) {
            self.sweep(now, session);
        }
        self.set_alarm(session);
    }

    /// Expects nothing of a client until the disk has done something: its silence may be the
    /// gateway's own doing.
    fn excuse(&mut self, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        if let Some(online) = client.online.as_mut() {
            online.keep_alive.suspend();
            self.excused.push((session, client.uid));
        }
    }

    /// The disk has done something: what it held up is read again.
    pub(crate) fn expect_excused(&mut self, now: Timestamp) {
        for (session, uid) in std::mem::take(&mut self.excused) {
            let client = self.clients.get_mut(session as usize);
            let client = client.filter(|client| client.uid == uid);
            // It may have come back meanwhile, on a connection of which nothing was excused.
            let online = client.and_then(|client| client.online.as_mut());
            let expected = |online: &&mut Online| {
                online.keep_alive.is_suspended() && online.waits_until().is_none()
            };
            if let Some(online) = online.filter(expected) {
                online.keep_alive.resume(now);
                self.set_alarm(session);
            }
        }
    }
}

use std::sync::Arc;

use auth::PermissionSet;
use mqtt::{Publish, ReasonCode, TopicName};
use session::Timestamp;

use crate::deliver::Publication;
use crate::{Broker, Closing, Event, Limit, Memory};

/// The session that is nobody's.
const NOBODY: u32 = u32::MAX;

/// What is done to clients and messages from outside of any conversation, on behalf of an extension or an operator. Who
/// calls has checked the right to it.
impl Broker {
    /// Publishes a message that no client sent. There is nobody to acknowledge it to: where a queue has no
    /// room for it, it is dropped there.
    ///
    /// # Errors
    /// Why it goes to nobody: the topic is none that a client could publish to, the message asks for more than
    /// CONNACK would announce, or it would have to be kept while the disk is full or the retained messages
    /// are too many.
    pub fn publish_from_outside(
        &mut self,
        now: Timestamp,
        topic: TopicName<'_>,
        publish: &Publish<'_>,
    ) -> Result<(), Closing> {
        if crate::system::is_reserved(topic.as_str()) || crate::control::is_order(topic) {
            let why = format!("topics such as {:?} are the gateway's own", topic.as_str());
            return Err(Closing::new(ReasonCode::TopicNameInvalid, why));
        }
        self.check_topic(topic)?;
        self.check_publish(publish)?;
        if self.memory == Memory::Full {
            self.stats.count_limit(Limit::Memory);
            let why = "the memory that the gateway may use, `limits.memory`, is used up";
            return Err(Closing::new(ReasonCode::QuotaExceeded, why));
        }
        let route = self.route(topic.as_str());
        if self.disk_is_full && self.takes_disk(NOBODY, publish, &route) {
            self.stats.count_limit(Limit::DiskFull);
            let why = "the disk is full, and the message would have to be kept";
            return Err(Closing::new(ReasonCode::QuotaExceeded, why));
        }
        let mut publication = Publication::new(publish, topic, now);
        publication.overflow = route.treatment.overflow;
        publication.quota = route.treatment.quota;
        if publish.retain && !self.retain(&mut publication) {
            let why = "there is no room for another retained message";
            return Err(Closing::new(ReasonCode::QuotaExceeded, why));
        }
        self.fan_out(now, &mut publication, &route);
        Ok(())
    }

    /// Ends the connection of a client; answers whether it had one.
    pub fn disconnect_client(&mut self, now: Timestamp, client_id: &str, closing: Closing) -> bool {
        let Some(session) = self.by_client_id.get(client_id).copied() else { return false };
        let online = self.clients.get(session as usize).is_some_and(|c| c.online.is_some());
        if online {
            self.close(now, session, closing);
        }
        online
    }

    /// Gives a client another permission set until it connects or authenticates again. Its subscriptions stay, and deliver
    /// nothing from here on that the set denies. Answers whether the client is known.
    pub fn replace_permissions(
        &mut self,
        client_id: &str,
        permissions: Arc<PermissionSet>,
    ) -> bool {
        let Some(session) = self.by_client_id.get(client_id).copied() else { return false };
        let Some(client) = self.clients.get_mut(session as usize) else { return false };
        client.permissions = Some(permissions);
        if let Some(online) = client.online.as_mut() {
            // It was allowed under the permissions from before.
            online.last_publish = None;
        }
        let (client_id, principal) = client.whose();
        if !client.subscriptions.is_empty() {
            self.subscriptions.invalidate();
        }
        self.event(Event::PermissionsReplaced { client_id, principal });
        true
    }
}

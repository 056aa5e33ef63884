use std::collections::BTreeMap;

use mqtt::QoS;
use session::Sum;

use crate::client::Client;
use crate::deliver::Publication;
use crate::queue::Way;
use crate::routes::{Grant, Route, Target};
use crate::{Broker, Limit, Overflow};

/// Whether all who are to get a publication have room for it.
impl Broker {
    /// The sessions that have no room for a publication, and the limits that say so. Whom of a group
    /// it goes to is open, so each of its members must have room for all that it may get.
    pub(crate) fn refusals(
        &self,
        publication: &mut Publication<'_>,
        route: &Route,
    ) -> Vec<(u32, Limit)> {
        // What those before have taken of the room for all, and of their own.
        let mut taken = 0;
        let mut copies: BTreeMap<u32, usize> = BTreeMap::new();
        let mut refusals = Vec::new();
        for target in &route.targets {
            let usually = target.treatment.map(|special| publication.treat_as(special));
            let rejects = publication.overflow == Overflow::Reject;
            let room = self.room(target, publication, 0, taken);
            usually.map(|usually| publication.treat_as(usually));
            match room {
                Ok(0) => continue,
                Ok(weight) => taken += weight,
                Err(limit) if rejects => refusals.push((target.session, limit)),
                // It is dropped there, or others are for it.
                Err(_) => continue,
            }
            copies.insert(target.session, 1);
        }
        for share in &route.shares {
            let (mut takes, mut refused) = (None, None);
            let able: Vec<&Target> = self.able(share, publication).collect();
            // Among those that seem to take no packets that large nobody is preferred.
            let any = able.is_empty();
            for member in if any { share.members.iter().collect() } else { able } {
                let before = copies.get(&member.session).copied().unwrap_or(0);
                match self.room(member, publication, before, taken) {
                    Ok(0) => {
                        takes = takes.max(Some(0));
                        continue;
                    }
                    Ok(weight) => takes = Some(weight),
                    Err(limit) => refused = Some((member.session, limit)),
                }
                copies.insert(member.session, before + 1);
            }
            match takes {
                Some(weight) if !any || refused.is_none() => taken += weight,
                _ if publication.overflow == Overflow::Reject => refusals.extend(refused),
                _ => {}
            }
        }
        refusals
    }

    /// The bytes that a publication takes of the room for all in one session, which gets some
    /// copies before it, or the limit that forbids it.
    fn room(
        &self,
        target: &Target,
        publication: &Publication<'_>,
        copies: usize,
        taken: usize,
    ) -> Result<usize, Limit> {
        let (settings, weight) = (&self.settings, publication.weight());
        let own = self.is_own(target.session, publication);
        let grant = if own { target.own.as_ref() } else { Some(&target.grant) };
        let client = self.clients.get(target.session as usize);
        let Some((grant, client)) = grant.zip(client) else { return Ok(0) };
        let qos = publication.publish.qos.min(grant.qos);
        if qos == QoS::AtMostOnce {
            return Ok(0);
        }
        let before = copies * weight;
        let topic = publication.quota;
        let topic = topic.and_then(|quota| quota.limit(client, weight, copies, Sum::default()));
        let queue = &client.outbound;
        match self.way(client, grant, publication, qos) {
            Way::Full(limit) => Err(limit),
            Way::Send if !client.is_durable() && !grant.is_shared() => Ok(0),
            _ if copies > 0 && topic.is_some() => topic.map_or(Ok(0), Err),
            _ if copies > 0 && queue.len() + copies >= client.max_queued_messages(settings) => {
                Err(Limit::QueuedMessages)
            }
            _ if queue.weight() + before + weight > client.max_queued_bytes(settings) => {
                Err(Limit::QueuedBytes)
            }
            _ if self.queued_bytes + taken + weight > settings.max_queued_bytes_total => {
                Err(Limit::QueuedBytesTotal)
            }
            _ => Ok(weight),
        }
    }

    /// The limit that forbids that a publication waits for a session.
    pub(crate) fn limit(
        &self,
        client: &Client,
        publication: &Publication<'_>,
        grant: &Grant,
    ) -> Option<Limit> {
        let weight = publication.weight();
        let too_many = client.outbound.len() >= client.max_queued_messages(&self.settings);
        publication
            .quota
            .and_then(|quota| {
                let limit = quota.limit(client, weight, 0, Sum::default())?;
                let replaced = crate::queue::replaceable(client, grant, publication);
                quota.limit(client, weight, 0, replaced).and(Some(limit))
            })
            .or(too_many.then_some(Limit::QueuedMessages))
            .or_else(|| self.byte_limit(client, weight))
    }

    /// The limit that forbids a session to keep one more message of that many bytes.
    pub(crate) fn byte_limit(&self, client: &Client, weight: usize) -> Option<Limit> {
        if client.outbound.weight() + weight > client.max_queued_bytes(&self.settings) {
            Some(Limit::QueuedBytes)
        } else if self.queued_bytes + weight > self.settings.max_queued_bytes_total {
            Some(Limit::QueuedBytesTotal)
        } else {
            None
        }
    }
}

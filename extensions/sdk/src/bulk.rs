use crate::{
    Authorizer, Client, Connection, HookError, Publication, Publications, Qos, Rulings, Verdict,
};

/// Says what a client may do, about several publishes in one call, in the form in which a question costs least. The gateway puts those
/// together that came together.
pub trait BulkAuthorizer: Authorizer {
    /// Called in the place of [`Authorizer::authorize_publish`] about 1 to 64 publishes of one client, unless the answer may take
    /// waiting. Asks `authorize_publish` about each unless written. Written, it can do without copying each topic, and without
    /// asking for the four parts of [`Client`], each of which costs a call into the gateway.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: all these publishes are refused.
    fn authorize_publications(
        &self,
        connection: &Connection,
        publications: &Publications,
    ) -> Result<Rulings, HookError> {
        let client = Client {
            connection_id: connection.connection_id(),
            client_id: connection.client_id(),
            username: connection.username(),
            principal: connection.principal(),
        };
        let mut copy = Publication {
            topic: String::new(),
            qos: Qos::AtMostOnce,
            retain: false,
            payload_size: 0,
        };
        let verdicts = publications.iter().map(|published| {
            copy.topic.clear();
            copy.topic.push_str(published.topic);
            (copy.qos, copy.retain) = (published.qos, published.retain);
            copy.payload_size = published.payload_size;
            self.authorize_publish(&client, connection, &copy)
        });
        Ok(Rulings::of(verdicts.collect::<Result<_, _>>()?))
    }
}

/// One publish of several that are asked about together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published<'a> {
    /// Topic name, aliases resolved.
    pub topic: &'a str,
    /// Bytes of the payload.
    pub payload_size: u32,
    /// The QoS of the publish.
    pub qos: Qos,
    /// Whether it is to be retained.
    pub retain: bool,
}

impl Publications {
    /// Each publish, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Published<'_>> {
        let mut begin = 0;
        self.each.iter().map(move |mark| {
            let end = mark.end as usize;
            // The gateway counts right.
            let topic = self.topics.get(begin..end).unwrap_or_default();
            begin = end;
            let (payload_size, qos, retain) = (mark.payload_size, mark.qos, mark.retain);
            Published { topic, payload_size, qos, retain }
        })
    }
}

impl Rulings {
    /// The shortest way to say these, which are one for each publish in their order.
    #[must_use]
    pub fn of(verdicts: Vec<Verdict>) -> Self {
        let plain = Verdict::allow();
        if verdicts.iter().all(|verdict| *verdict == plain) {
            return Self::AllAllowed;
        }
        Self::Each(verdicts)
    }
}

#[cfg(test)]
mod tests {
    use crate::bindings::authorizer::exports::portcullis::gateway::bulk_authorizer::Mark;

    use super::*;

    #[test]
    fn publishes_are_told_apart_by_where_their_topics_end() {
        let mark = |end, payload_size| Mark {
            end,
            payload_size,
            qos: Qos::AtLeastOnce,
            retain: payload_size == 9,
        };
        let publications = Publications {
            topics: "a/ä/b".into(),
            each: vec![mark(1, 7), mark(4, 9), mark(6, 0)],
        };
        let topics: Vec<_> = publications.iter().map(|one| (one.topic, one.retain)).collect();
        assert_eq!(topics, [("a", false), ("/ä", true), ("/b", false)]);
    }

    #[test]
    fn a_refusal_a_reason_or_a_validity_is_said_of_each() {
        let allow = Verdict::allow;
        assert_eq!(Rulings::of(vec![allow(), allow()]), Rulings::AllAllowed);
        let denied = vec![allow(), Verdict::deny(crate::reason::NOT_AUTHORIZED, "no")];
        assert_eq!(Rulings::of(denied.clone()), Rulings::Each(denied));
        let kept = vec![allow().remembered(std::time::Duration::from_secs(1))];
        assert_eq!(Rulings::of(kept.clone()), Rulings::Each(kept));
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;

use broker::Closing;
use mqtt::ReasonCode;
use transport::CertificateKey;

use super::{Hub, Inner, Registration};
use crate::badges::Holder;
use crate::presence::Presence;

impl Hub {
    /// The revocation lists of a listener name `revoked` from now on, and did not name `fresh` before:
    /// whoever is in by one of these is sent away. Answers how many.
    pub(crate) fn revoke(
        &self,
        listener: &str,
        revoked: &Arc<BTreeSet<CertificateKey>>,
        fresh: &[CertificateKey],
    ) -> usize {
        let now = self.clock.now();
        let mut inner = self.lock();
        let holders = inner.tenants.badges.revoke(listener, revoked, fresh);
        let sent_away = holders.iter().filter(|holder| inner.send_away(now, holder)).count();
        self.finish(inner, None);
        sent_away
    }
}

impl Registration {
    /// The client of this link is in. It is sent away again if what it came in by was revoked meanwhile.
    pub(crate) fn introduce(&self, presence: Presence) {
        let now = self.hub.clock.now();
        let mut inner = self.hub.lock();
        if let Some(holder) = inner.tenants.introduce(self.link, Arc::new(presence)) {
            inner.send_away(now, &holder);
        }
        self.hub.finish(inner, None);
    }
}

impl Inner {
    /// Ends a client's connection, if that is still its connection.
    fn send_away(&mut self, now: broker::Timestamp, holder: &Holder) -> bool {
        let why = "the client certificate, or that of an issuer of it, was revoked";
        self.broker.link_of(&holder.client_id) == Some(holder.link)
            && self.broker.disconnect_client(
                now,
                &holder.client_id,
                Closing::new(ReasonCode::NotAuthorized, why),
            )
    }
}

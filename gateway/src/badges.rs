use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use broker::LinkId;
use transport::CertificateKey;

/// The client certificates that a connection rests on.
#[derive(Debug)]
pub(crate) struct Badge {
    pub(crate) listener: Arc<str>,
    pub(crate) client_id: Arc<str>,
    /// The client's own, and those of the issuers that it has shown.
    pub(crate) keys: Vec<CertificateKey>,
}

impl Badge {
    pub(crate) fn held_by(&self, link: LinkId) -> Holder {
        let (client_id, listener) = (Arc::clone(&self.client_id), Arc::clone(&self.listener));
        Holder { link, client_id, listener }
    }
}

/// Who is in by which client certificate, and which of them are revoked. It holds nothing for a
/// connection without one.
#[derive(Default)]
pub(crate) struct Badges {
    held: HashMap<CertificateKey, Vec<Holder>>,
    /// What the lists of each listener name since they were read again.
    revoked: HashMap<Arc<str>, Arc<BTreeSet<CertificateKey>>>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) link: LinkId,
    pub(crate) client_id: Arc<str>,
    listener: Arc<str>,
}

impl Badges {
    /// Notes who is in. Answers whether that is as it should be: a list that was read while the client
    /// was on its way in may have revoked what it came with.
    pub(crate) fn note(&mut self, link: LinkId, badge: &Badge) -> bool {
        for key in &badge.keys {
            self.held.entry(*key).or_default().push(badge.held_by(link));
        }
        let revoked = self.revoked.get(&badge.listener);
        revoked.is_none_or(|revoked| !badge.keys.iter().any(|key| revoked.contains(key)))
    }

    /// Forgets a connection.
    pub(crate) fn forget(&mut self, link: LinkId, badge: &Badge) {
        for key in &badge.keys {
            if let Some(holders) = self.held.get_mut(key) {
                holders.retain(|holder| holder.link != link);
                if holders.is_empty() {
                    self.held.remove(key);
                }
            }
        }
    }

    /// The lists of a listener name `revoked` from now on, and did not name `fresh` before. Gives who
    /// is in by one of these.
    pub(crate) fn revoke(
        &mut self,
        listener: &str,
        revoked: &Arc<BTreeSet<CertificateKey>>,
        fresh: &[CertificateKey],
    ) -> Vec<Holder> {
        self.revoked.insert(listener.into(), Arc::clone(revoked));
        let holders = fresh.iter().filter_map(|key| self.held.get(key)).flatten();
        holders.filter(|holder| *holder.listener == *listener).cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

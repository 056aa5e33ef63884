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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: u8) -> CertificateKey {
        CertificateKey::of(b"an authority", &[serial])
    }

    fn badge(client_id: &str, serials: &[u8]) -> Badge {
        let keys = serials.iter().map(|serial| key(*serial)).collect();
        Badge { listener: "plant".into(), client_id: client_id.into(), keys }
    }

    fn set(serials: &[u8]) -> Arc<BTreeSet<CertificateKey>> {
        Arc::new(serials.iter().map(|serial| key(*serial)).collect())
    }

    fn names(holders: &[Holder]) -> Vec<&str> {
        holders.iter().map(|holder| &*holder.client_id).collect()
    }

    #[test]
    fn whoever_is_in_by_what_is_revoked_is_found() {
        let mut badges = Badges::default();
        // Two by one intermediate authority, which is 9.
        let (pump, valve) = (badge("pump", &[1, 9]), badge("valve", &[2, 9]));
        assert!(badges.note(LinkId(1), &pump) && badges.note(LinkId(2), &valve));
        assert_eq!(names(&badges.revoke("plant", &set(&[1]), &[key(1)])), ["pump"]);
        assert_eq!(names(&badges.revoke("other", &set(&[2]), &[key(2)])), [""; 0]);
        let both = badges.revoke("plant", &set(&[1, 9]), &[key(9)]);
        assert_eq!(names(&both), ["pump", "valve"]);
        badges.forget(LinkId(1), &pump);
        assert_eq!(names(&badges.revoke("plant", &set(&[1, 9]), &[key(1), key(9)])), ["valve"]);
        badges.forget(LinkId(2), &valve);
        assert!(badges.held.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn whoever_was_on_the_way_in_is_noticed() {
        let mut badges = Badges::default();
        badges.revoke("plant", &set(&[1]), &[key(1)]);
        assert!(!badges.note(LinkId(1), &badge("pump", &[1])));
        assert!(badges.note(LinkId(2), &badge("valve", &[2])));
        badges.revoke("plant", &set(&[]), &[]);
        assert!(badges.note(LinkId(3), &badge("pump", &[1])), "taken from the list again");
    }
}

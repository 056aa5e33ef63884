use std::sync::Arc;

use broker::LinkId;
use slab::Slab;

use crate::badges::{Badges, Holder};
use crate::mailbox::Mailbox;
use crate::presence::Presence;

/// The links that the broker can reach.
#[derive(Default)]
pub(crate) struct Tenants {
    links: Slab<Tenant>,
    next: u64,
    /// Links that do not read until the disk has caught up.
    paused: Vec<LinkId>,
    /// How often a link had to stop reading until then.
    pauses: u64,
    /// Who is in by which client certificate.
    pub(crate) badges: Badges,
}

struct Tenant {
    link: LinkId,
    mailbox: Arc<Mailbox>,
    /// `None` until the client is in.
    presence: Option<Arc<Presence>>,
    /// It is in `Tenants::paused`, where it must not be twice.
    paused: bool,
}

impl Tenants {
    /// Takes a link in that is rung by its mailbox.
    pub(crate) fn add(&mut self, mailbox: &Arc<Mailbox>) -> LinkId {
        self.next += 1;
        let entry = self.links.vacant_entry();
        // The low half finds the entry, the high half tells its tenants apart.
        let link = LinkId((self.next << 32) | (entry.key() as u64 & 0xFFFF_FFFF));
        entry.insert(Tenant { link, mailbox: Arc::clone(mailbox), presence: None, paused: false });
        link
    }

    pub(crate) fn remove(&mut self, link: LinkId) {
        if self.find(link).is_some() {
            let tenant = self.links.remove(index(link));
            if let Some(badge) = tenant.presence.as_ref().and_then(|it| it.badge.as_ref()) {
                self.badges.forget(link, badge);
            }
        }
    }

    pub(crate) fn mailbox(&mut self, link: LinkId) -> Option<Arc<Mailbox>> {
        self.find(link).map(|tenant| Arc::clone(&tenant.mailbox))
    }

    /// The client of a link is in. Gives it back if the certificate that it came in by is revoked.
    pub(crate) fn introduce(&mut self, link: LinkId, presence: Arc<Presence>) -> Option<Holder> {
        let tenant = self.find(link)?;
        tenant.presence = Some(Arc::clone(&presence));
        let badge = presence.badge.as_ref()?;
        let holder = badge.held_by(link);
        (!self.badges.note(link, badge)).then_some(holder)
    }

    /// How the client of a link came in.
    pub(crate) fn presence(&self, link: LinkId) -> Option<Arc<Presence>> {
        let tenant = self.links.get(index(link)).filter(|tenant| tenant.link == link)?;
        tenant.presence.clone()
    }

    /// The link is to read no more until [`Tenants::resume`].
    pub(crate) fn pause(&mut self, link: LinkId) {
        if let Some(tenant) = self.find(link).filter(|tenant| !tenant.paused) {
            tenant.paused = true;
            self.pauses += 1;
            self.paused.push(link);
        }
    }

    pub(crate) fn is_paused(&mut self, link: LinkId) -> bool {
        self.find(link).is_some_and(|tenant| tenant.paused)
    }

    pub(crate) fn pauses(&self) -> u64 {
        self.pauses
    }

    /// All may read again; gives those that have to be told.
    pub(crate) fn resume(&mut self) -> Vec<Arc<Mailbox>> {
        let paused = std::mem::take(&mut self.paused);
        let mut mailboxes = Vec::with_capacity(paused.len());
        for link in paused {
            if let Some(tenant) = self.find(link) {
                tenant.paused = false;
                mailboxes.push(Arc::clone(&tenant.mailbox));
            }
        }
        mailboxes
    }

    fn find(&mut self, link: LinkId) -> Option<&mut Tenant> {
        self.links.get_mut(index(link)).filter(|tenant| tenant.link == link)
    }
}

fn index(link: LinkId) -> usize {
    usize::try_from(link.0 & 0xFFFF_FFFF).unwrap_or(usize::MAX)
}

use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::ban::{Ban, BanError, By, Guest, Whom};
use crate::network::Network;
use crate::now::Now;

/// Who is banned. A ban ends by itself: by the wall clock, and never later than after its length, whatever that clock does.
#[derive(Debug)]
pub(crate) struct Bans {
    /// Those of whole networks, which are asked for with each connection.
    networks: BTreeMap<Network, Kept>,
    /// How many of them have so many bits.
    lengths: BTreeMap<u8, usize>,
    /// Those that name somebody.
    named: BTreeMap<Whom, Kept>,
    most: usize,
}

#[derive(Debug)]
struct Kept {
    ban: Ban,
    /// When it ends by the clock that never jumps, in milliseconds; `u64::MAX` never.
    ends: u64,
}

impl Kept {
    fn holds(&self, now: Now) -> bool {
        now.up_ms < self.ends && self.ban.until_unix_ms.is_none_or(|until| now.unix_ms < until)
    }
}

impl Bans {
    pub(crate) fn new(most: usize) -> Self {
        Self { networks: BTreeMap::new(), lengths: BTreeMap::new(), named: BTreeMap::new(), most }
    }

    /// The ban of a whole network that holds the address.
    pub(crate) fn of_address(&self, now: Now, address: IpAddr) -> Option<&Ban> {
        let networks = self.lengths.keys().map(|bits| Network::with(address, *bits));
        let kept = networks.filter_map(|network| self.networks.get(&network));
        kept.filter(|kept| kept.holds(now)).map(|kept| &kept.ban).next()
    }

    /// The ban of somebody.
    pub(crate) fn of_guest(&self, now: Now, guest: Guest<'_>) -> Option<&Ban> {
        let by_address = guest.address.and_then(|address| self.of_address(now, address));
        by_address.or_else(|| {
            let mut named = self.named.values().filter(|kept| kept.holds(now));
            named.find(|kept| kept.ban.whom.fits(guest)).map(|kept| &kept.ban)
        })
    }

    /// Adds a ban, or puts it in the place of the one of the same. Where there is no room, one that a rule has made and
    /// that ends soonest makes it.
    pub(crate) fn add(&mut self, now: Now, ban: Ban) -> Result<(), BanError> {
        ban.whom.check()?;
        if ban.by == By::Rule && self.has_of_operator(now, &ban.whom) {
            return Ok(());
        }
        let length = ban.until_unix_ms.map(|until| until.saturating_sub(ban.since_unix_ms));
        // Of one that is older, as after a restart, what is left; all of it where the clock is behind its beginning.
        let left = ban.until_unix_ms.map(|until| until.saturating_sub(now.unix_ms));
        let left = left.min(length);
        let ends = left.map_or(u64::MAX, |left| now.up_ms.saturating_add(left));
        self.remove(&ban.whom);
        if self.len() >= self.most {
            self.expire(now);
        }
        if self.len() >= self.most {
            let last = self.first_to_go().ok_or(BanError::Full(self.most))?;
            self.remove(&last);
        }
        let kept = Kept { ends, ban };
        match kept.ban.whom.only_network() {
            Some(network) => {
                *self.lengths.entry(network.bits()).or_default() += 1;
                self.networks.insert(network, kept);
            }
            None => {
                self.named.insert(kept.ban.whom.clone(), kept);
            }
        }
        Ok(())
    }

    /// Takes a ban back; answers whether there was one.
    pub(crate) fn remove(&mut self, whom: &Whom) -> bool {
        let Some(network) = whom.only_network() else { return self.named.remove(whom).is_some() };
        let was_there = self.networks.remove(&network).is_some();
        if was_there && let Some(count) = self.lengths.get_mut(&network.bits()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&network.bits());
            }
        }
        was_there
    }

    /// Forgets those that have ended; answers whether there were any.
    pub(crate) fn expire(&mut self, now: Now) -> bool {
        let over = self.kept().filter(|kept| !kept.holds(now));
        let over: Vec<_> = over.map(|kept| kept.ban.whom.clone()).collect();
        for whom in &over {
            self.remove(whom);
        }
        !over.is_empty()
    }

    /// Those that hold, networks first, in order.
    pub(crate) fn all(&self, now: Now) -> impl Iterator<Item = &Ban> {
        self.kept().filter(move |kept| kept.holds(now)).map(|kept| &kept.ban)
    }

    pub(crate) fn len(&self) -> usize {
        self.networks.len() + self.named.len()
    }

    /// Whether an operator has banned the same: no rule makes that shorter.
    fn has_of_operator(&self, now: Now, whom: &Whom) -> bool {
        let kept = match whom.only_network() {
            Some(network) => self.networks.get(&network),
            None => self.named.get(whom),
        };
        kept.is_some_and(|kept| kept.holds(now) && kept.ban.by != By::Rule)
    }

    fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.networks.values().chain(self.named.values())
    }

    fn first_to_go(&self) -> Option<Whom> {
        let rules = self.kept().filter(|kept| kept.ban.by == By::Rule);
        rules.min_by_key(|kept| kept.ends).map(|kept| kept.ban.whom.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { up_ms: 5_000, unix_ms: 1_000_000 };

    fn ban(network: &str, by: By, length: Option<u64>) -> Ban {
        Ban {
            whom: Whom::network(network.parse().unwrap()),
            by,
            reason: "a test".to_owned(),
            since_unix_ms: NOW.unix_ms,
            until_unix_ms: length.map(|length| NOW.unix_ms + length),
        }
    }

    fn banned(bans: &Bans, now: Now, address: &str) -> bool {
        bans.of_address(now, address.parse().unwrap()).is_some()
    }

    #[test]
    fn a_ban_ends_by_either_clock() {
        let mut bans = Bans::new(10);
        bans.add(NOW, ban("192.0.2.0/24", By::Rule, Some(1000))).unwrap();
        assert!(banned(&bans, NOW, "192.0.2.200") && !banned(&bans, NOW, "192.0.3.1"));
        assert!(banned(&bans, NOW.after_ms(999), "192.0.2.200"));
        assert!(!banned(&bans, NOW.after_ms(1000), "192.0.2.200"));
        // The wall clock is set back: it ends all the same. It is set ahead: then it ends too.
        let set_back = Now { unix_ms: 0, ..NOW.after_ms(1000) };
        assert!(!banned(&bans, set_back, "192.0.2.200"));
        let set_ahead = Now { unix_ms: NOW.unix_ms + 5000, ..NOW };
        assert!(!banned(&bans, set_ahead, "192.0.2.200"));
        assert!(bans.expire(NOW.after_ms(1000)) && bans.len() == 0 && bans.lengths.is_empty());
    }

    #[test]
    fn after_a_restart_the_rest_is_left_and_never_more_than_the_whole() {
        let kept = ban("192.0.2.7", By::Rule, Some(1000));
        let rest = |unix_ms| {
            let mut bans = Bans::new(10);
            let start = Now { up_ms: 0, unix_ms };
            bans.add(start, kept.clone()).unwrap();
            bans.networks.values().next().unwrap().ends
        };
        assert_eq!(rest(NOW.unix_ms + 400), 600);
        // The machine has no battery, and thinks that it is 1970.
        assert_eq!(rest(0), 1000);
        assert_eq!(rest(NOW.unix_ms + 9000), 0);
    }

    #[test]
    fn where_there_is_no_room_a_rule_gives_way_and_an_operator_does_not() {
        let operator = By::Operator(Some(0));
        let mut bans = Bans::new(2);
        bans.add(NOW, ban("192.0.2.1", By::Rule, Some(2000))).unwrap();
        bans.add(NOW, ban("192.0.2.2", By::Rule, Some(1000))).unwrap();
        bans.add(NOW, ban("192.0.2.3", By::Rule, Some(3000))).unwrap();
        assert!(!banned(&bans, NOW, "192.0.2.2"), "the one that would end first has gone");
        bans.add(NOW, ban("192.0.2.4", operator, None)).unwrap();
        bans.add(NOW, ban("192.0.2.5", operator, None)).unwrap();
        for by in [By::Rule, operator] {
            let full = bans.add(NOW, ban("192.0.2.6", by, Some(9000)));
            assert_eq!(full, Err(BanError::Full(2)), "{by}");
        }
        // The same once more takes no further room.
        bans.add(NOW, ban("192.0.2.5", operator, Some(1))).unwrap();
        assert_eq!(bans.len(), 2);
        // A rule does not shorten what the operator has said.
        bans.add(NOW, ban("192.0.2.4", By::Rule, Some(1))).unwrap();
        assert!(banned(&bans, NOW.after_ms(5), "192.0.2.4"));
    }

    #[test]
    fn whoever_fits_all_that_is_named_is_banned() {
        let whom = Whom {
            network: Some("192.0.2.0/24".parse().unwrap()),
            identity: Some("alice".to_owned()),
            client: None,
        };
        let mut bans = Bans::new(10);
        let one = Ban { whom: whom.clone(), ..ban("192.0.2.0/24", By::Rule, None) };
        bans.add(NOW, one).unwrap();
        let guest = |address: &str, identity| Guest {
            address: address.parse().ok(),
            identity: Some(identity),
            client: Some("c"),
        };
        assert!(bans.of_guest(NOW, guest("192.0.2.7", "alice")).is_some());
        assert!(bans.of_guest(NOW, guest("192.0.2.7", "bob")).is_none());
        assert!(bans.of_guest(NOW, guest("192.0.3.7", "alice")).is_none());
        assert!(!banned(&bans, NOW, "192.0.2.7"), "the network as a whole is not");
        assert!(bans.remove(&whom) && !bans.remove(&whom));
        let nobody = Ban { whom: Whom::default(), ..ban("192.0.2.1", By::Rule, None) };
        assert_eq!(bans.add(NOW, nobody), Err(BanError::Nobody));
    }
}

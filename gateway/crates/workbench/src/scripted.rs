//! What an extension reaches in a case beyond its instances: servers that answer what a script says, a store in memory, and
//! a list of the orders that it gives.

mod orders;
mod servers;
mod space;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::Grant;
use config::fixture::{Case, Expect, Fixture, Kept};
use extension_host::Facilities;

use crate::arrival::shown;
use crate::compare::Difference;
use crate::diff;
use crate::nature::Staged;
use crate::pattern::matches;
use orders::Given;
use servers::Servers;
use space::Space;

/// All of it, for one world.
#[derive(Debug)]
pub(crate) struct Scripted {
    servers: Arc<Servers>,
    space: Arc<Space>,
    orders: Arc<Given>,
    granted: [bool; 3],
}

impl Scripted {
    /// As it is for the first case of a row. Where calls are `repeated`, each script answers any number of times and at once.
    pub(crate) fn new(
        fixture: &Fixture,
        case: &Case,
        nature: &Arc<Staged>,
        repeated: bool,
    ) -> Self {
        let stated = &fixture.extension;
        let grants = [Grant::KeyValue, Grant::Http, Grant::Broker];
        let scripted = Self {
            servers: Arc::new(Servers::new(&fixture.scripts, Arc::clone(nature), repeated)),
            space: Arc::new(Space::new(stated.key_value, fixture.kept.clone())),
            orders: Arc::new(Given::new(stated)),
            granted: grants.map(|grant| stated.grants.contains(&grant)),
        };
        scripted.space.put(&case.kept);
        scripted.begin(case);
        scripted
    }

    /// What the host hands to the extension.
    pub(crate) fn facilities(&self, stated: &config::Extension) -> Facilities {
        let [key_value, http, broker] = self.granted;
        let connections = stated.connections.iter().filter(|_| http);
        Facilities {
            key_value: key_value.then(|| Arc::clone(&self.space) as _),
            http: connections
                .map(|stated| (stated.name.clone(), servers::connection(&self.servers, stated)))
                .collect(),
            orders: broker.then(|| Arc::clone(&self.orders) as _),
        }
    }

    /// A case begins.
    pub(crate) fn begin(&self, case: &Case) {
        self.servers.begin(&case.scripts);
    }

    /// A case ends: what was not as it expects.
    pub(crate) fn end(&self, expect: &Expect) -> Vec<Difference> {
        let mut differences = self.servers.end(expect.line);
        let line = expect.line;
        let lists = [
            ("requests", &expect.requests, self.servers.take_requests()),
            ("orders", &expect.orders, self.orders.take()),
        ];
        for (what, expected, got) in lists {
            if let Some(expected) = expected {
                differences.extend(list(line, what, expected, got));
            }
        }
        for (key, expected) in &expect.kept {
            differences.extend(self.kept(line, key, expected));
        }
        differences
    }

    fn kept(&self, line: usize, key: &str, expected: &Kept) -> Option<Difference> {
        let there = self.space.value(key);
        let text = there.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (is_so, wanted) = match expected {
            Kept::Nothing => (there.is_none(), "nothing".to_owned()),
            Kept::Text(pattern) => {
                (text.is_some_and(|text| matches(pattern, &text)), shown(pattern.as_bytes()))
            }
            Kept::Bytes(bytes) => (there.as_deref() == Some(bytes), shown(bytes)),
        };
        let got = there.as_deref().map_or("nothing".to_owned(), shown);
        (!is_so).then(|| Difference::of(line, format!("kept under {key:?}"), wanted, got))
    }
}

/// Two lists that are not the same. What fits a pattern is shown as the pattern has it.
pub(crate) fn list(
    line: usize,
    what: &str,
    expected: &[String],
    got: Vec<String>,
) -> Option<Difference> {
    let mut rest = expected.iter();
    let as_expected = |text: String| {
        let mut ahead = rest.clone();
        match ahead.find(|pattern| matches(pattern, &text)) {
            Some(pattern) => {
                rest = ahead;
                pattern.clone()
            }
            None => text,
        }
    };
    let got: Vec<_> = got.into_iter().map(as_expected).collect();
    let lines = (expected != got).then(|| diff::lines(expected, &got))?;
    Some(Difference { line, what: what.to_owned(), lines })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values by key.
type Values = BTreeMap<String, Vec<u8>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn lists_are_compared_by_patterns_in_their_order() {
        let lines = |expected: &[&str], got: &[&str]| {
            let difference = list(1, "orders", &texts(expected), texts(got));
            difference.map(|difference| difference.lines.join("|"))
        };
        assert_eq!(lines(&["a *", "b"], &["a 1", "b"]), None);
        assert_eq!(lines(&[], &[]), None);
        assert_eq!(lines(&["a *"], &[]).as_deref(), Some("- a *"));
        assert_eq!(lines(&["a *"], &["a 1", "c"]).as_deref(), Some("  a *|+ c"));
        assert_eq!(lines(&["a *", "b *"], &["c", "b 1"]).as_deref(), Some("- a *|+ c|  b *"));
        assert_eq!(lines(&["a *", "b *"], &["b 1"]).as_deref(), Some("- a *|  b *"));
    }
}

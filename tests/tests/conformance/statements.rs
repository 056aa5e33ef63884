//! The numbered statements of both specifications, `tests/conformance/statements/*.tsv`: number, whom it binds, what
//! it asks in our words, and, where no script tests it, why not.

use std::collections::BTreeSet;
use std::path::Path;

use crate::script::Script;

#[derive(Debug)]
pub(crate) struct Statement {
    /// `v5` or `v3_1_1`.
    pub(crate) version: &'static str,
    /// As in `MQTT-3.1.2-24`.
    pub(crate) number: String,
    /// `server`, `client` or `both`.
    pub(crate) binds: String,
    /// In our words.
    pub(crate) asks: String,
    /// Why no script tests it; empty if one does.
    pub(crate) untested: String,
}

/// How many the appendix B of each specification lists.
const COUNTS: [(&str, usize); 2] = [("v5", 251), ("v3_1_1", 141)];

pub(crate) fn all(folder: &Path) -> Vec<Statement> {
    let mut statements = Vec::new();
    for (version, _) in COUNTS {
        let path = folder.join(format!("statements/{version}.tsv"));
        let text = std::fs::read_to_string(&path).expect("statements");
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut columns = line.split('\t').map(str::to_owned);
            let mut column = || columns.next().unwrap_or_default();
            statements.push(Statement {
                version,
                number: column(),
                binds: column(),
                asks: column(),
                untested: column(),
            });
        }
    }
    statements
}

/// Statements that nobody tests or explains, and what else does not fit together.
pub(crate) fn faults(statements: &[Statement], scripts: &[Script]) -> Vec<String> {
    let mut faults = Vec::new();
    for (version, count) in COUNTS {
        let of_version = statements.iter().filter(|statement| statement.version == version);
        let numbers: BTreeSet<_> = of_version.map(|statement| &*statement.number).collect();
        if numbers.len() != count {
            faults
                .push(format!("{version} has {} different statements, not {count}", numbers.len()));
        }
        let named: BTreeSet<_> = named(scripts, version).collect();
        faults.extend(named.difference(&numbers).map(|number| {
            format!("{version}: a script names {number}, which the specification does not have")
        }));
        for statement in statements.iter().filter(|statement| statement.version == version) {
            let Statement { number, binds, untested, .. } = statement;
            match (named.contains(&**number), untested.is_empty()) {
                (false, true) => faults.push(format!(
                    "{version} {number}: no script names it, and its line does not say why"
                )),
                (true, false) => faults.push(format!(
                    "{version} {number}: a script tests it, but its line says why none does"
                )),
                _ => {}
            }
            if !matches!(&**binds, "server" | "client" | "both") {
                faults.push(format!("{version} {number} binds {binds:?}: server, client or both"));
            }
        }
    }
    let nameless = scripts.iter().filter(|script| script.steps.is_empty());
    faults.extend(nameless.map(|script| format!("{} does nothing", script.name())));
    faults
}

fn named<'s>(scripts: &'s [Script], version: &'s str) -> impl Iterator<Item = &'s str> {
    let of_version = scripts.iter().filter(move |script| script.version == version);
    of_version.flat_map(|script| script.statements.iter().map(String::as_str))
}

//! The table of all statements, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::script::{Script, Where};
use crate::statements::Statement;

/// `STATEMENTS.md`.
pub(crate) fn table(statements: &[Statement], scripts: &[Script]) -> String {
    let over = |carrier| scripts.iter().filter(|script| script.runs(carrier)).count();
    let (socket, web) = (over(Where::Socket), over(Where::WebSocket));
    let mut text = format!(
        "# What the specifications say of a server, and what tests it\n\n\
         Written by `CONFORMANCE_WRITE=1 cargo test -p portcullis-tests --test conformance table` from \
         `statements/*.tsv` and the\nscripts beside this file; do not edit it. The middle column is a paraphrase, \
         not the specification.\n\n\
         {} scripts; {socket} of them are played over a socket to the gateway and {web} in a WebSocket, in frames \
         that end within\npackets; most of these, and all others, are played to the broker alone.\n",
        scripts.len(),
    );
    for (version, name) in [("v5", "MQTT 5.0"), ("v3_1_1", "MQTT 3.1.1")] {
        let of_version: Vec<_> = statements.iter().filter(|s| s.version == version).collect();
        let tested = of_version.iter().filter(|s| s.untested.is_empty()).count();
        let _ = writeln!(text, "\n## {name}: {} statements, {tested} tested\n", of_version.len());
        text.push_str("| statement | binds | asks | tested by |\n|---|---|---|---|\n");
        for statement in of_version {
            let Statement { number, binds, asks, untested, .. } = statement;
            let tested_by = tested_by(statement, scripts);
            let last = if tested_by.is_empty() { untested } else { &tested_by };
            let _ = writeln!(text, "| {number} | {binds} | {asks} | {last} |");
        }
    }
    text
}

/// The files whose scripts name it, with how many do.
fn tested_by(statement: &Statement, scripts: &[Script]) -> String {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    let naming = scripts.iter().filter(|script| {
        script.version == statement.version && script.statements.contains(&statement.number)
    });
    naming.for_each(|script| *files.entry(&script.file).or_default() += 1);
    let link = |(file, count): (&&str, &usize)| {
        let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
        format!("[{}]({}/{file}){times}", file.trim_end_matches(".txt"), statement.version)
    };
    files.iter().map(link).collect::<Vec<_>>().join(", ")
}

//! The process that attacks.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_attacks::{Attack, Doors, Field, Ground, MALLORY, PASSWORD, Tally};
use portcullis_tests::Meter;
use serde_json::{Map, Value, json};

use crate::bystander::{own_program, wait_within};

/// The word that makes this program one.
pub(crate) const COMMAND: &str = "attack";

/// How nice it is to all others (`nice`).
const NICENESS: &str = "10";

/// How long it may take beyond its time.
const SLACK: Duration = Duration::from_secs(15);

/// What it says at the end.
#[derive(Debug)]
pub(crate) struct Deeds {
    pub(crate) tally: Tally,
    /// Part of one core that it used.
    pub(crate) cpu: f64,
}

/// Attacks from another process, and waits for its end.
pub(crate) fn send(ground: &Ground, attack: &Attack, length: Duration) -> Result<Deeds, String> {
    let mut command = Command::new("nice");
    command.args(["-n", NICENESS]).arg(own_program()).args([COMMAND, attack.name]);
    command.arg(length.as_millis().to_string()).args(ground.doors.words()).arg(ground.site.ca());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child.map_err(|error| format!("the attacker does not start: {error}"))?;
    let said =
        wait_within(child, length + SLACK).ok_or("the attacker did not end and was killed")?;
    let said: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let outcomes = said["tally"].as_object().into_iter().flatten();
    let tally = outcomes.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0))).collect();
    Ok(Deeds { tally, cpu: said["cpu"].as_f64().unwrap_or(f64::NAN) })
}

/// What that process does: `NAME MILLISECONDS DOORS... CA`.
pub(crate) fn act(words: &[&str]) -> Result<(), String> {
    let [name, length, doors @ .., ca] = words else { return Err("too few words".to_owned()) };
    let attack = Attack::named(name).ok_or_else(|| format!("no attack is called {name:?}"))?;
    let length = length.parse().map(Duration::from_millis).map_err(|error| error.to_string())?;
    let doors = Doors::read(doors).ok_or("the doors are not four ports")?;
    let field = Field::new(doors, PathBuf::from(ca), (MALLORY, PASSWORD), length);
    let field = Arc::new(field.map_err(|error| error.to_string())?);
    let begin = Instant::now();
    let tally = attack.run(&field);
    let cpu = Meter(std::process::id()).cpu().as_secs_f64() / begin.elapsed().as_secs_f64();
    let tally: Map<String, Value> =
        tally.iter().map(|(outcome, count)| (outcome.to_owned(), count.into())).collect();
    println!("{}", json!({ "tally": tally, "cpu": cpu }));
    // What is still under way ends with the process.
    std::process::exit(0)
}

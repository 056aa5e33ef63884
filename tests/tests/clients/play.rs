//! Plays cases with the clients of a library against a gateway.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::{DEMO, Driver, PATIENCE, Site};
use serde_json::{Map, Value};

use crate::script::{Case, Step};

/// How long a client is watched to which nothing is to happen.
const QUIET: Duration = Duration::from_millis(300);

/// From here on a reason code is a failure.
const FAILURE: u64 = 0x80;

/// Clients of one version of MQTT, of one or more libraries, at one gateway.
pub(crate) struct Stage<'a> {
    /// Distinguishes topics and clients from those of others at the same gateway.
    pub(crate) name: String,
    pub(crate) site: &'a Site,
    /// 31 for MQTT 3.1, 3 for 3.1.1, and 5.
    pub(crate) version: u8,
    pub(crate) tls: bool,
    /// Port of a listener for WebSocket over TLS, if that is what is spoken.
    pub(crate) web: Option<u16>,
    /// Clients take turns with these in the order of their names.
    pub(crate) drivers: Vec<Driver>,
}

impl Stage<'_> {
    /// Plays a case. `number` distinguishes it from others on this stage.
    ///
    /// # Errors
    /// What was not as the case says, and at which line.
    pub(crate) fn play(&mut self, case: &Case, number: usize) -> Result<(), String> {
        let own = format!("demo/{}/{number}", self.name);
        let names: BTreeSet<&str> =
            case.lines.iter().filter_map(|line| client_of(&line.step)).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let mut scene = Scene { stage: self, own, names, online: BTreeSet::new() };
        let mut result = Ok(());
        for line in &case.lines {
            result = scene
                .step(&line.step)
                .map_err(|error| format!("{}\n    {}\n    {error}", case.title, line.text));
            if result.is_err() {
                break;
            }
        }
        let left = scene.end();
        result?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n    at the end\n    not expected: {left:?}", case.title))
        }
    }
}

fn client_of(step: &Step) -> Option<&str> {
    match step {
        Step::Do { client, .. } => Some(client),
        _ => None,
    }
}

/// A case that is played.
struct Scene<'a, 'b> {
    stage: &'a mut Stage<'b>,
    /// The topic that is the case's own.
    own: String,
    names: Vec<&'a str>,
    online: BTreeSet<String>,
}

impl Scene<'_, '_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Do { client, command, answer } => self.perform(client, command, answer),
            Step::Event { client, kind, words } => self.expect(client, kind, words),
            Step::Numbers { client, count, words } => (0..*count).try_for_each(|number| {
                let mut words = words.clone();
                words.insert("payload".to_owned(), number.to_string().into());
                self.expect(client, "message", &words)
            }),
            Step::Share { count, least, clients } => self.share(*count, *least, clients),
            Step::Nothing { client } => match self.driver(client).event(client, "message", QUIET) {
                None => Ok(()),
                Some(event) => Err(format!("it gets {event}")),
            },
            Step::Wait(time) => {
                thread::sleep(Duration::from_millis(*time));
                Ok(())
            }
        }
    }

    fn perform(
        &mut self,
        client: &str,
        command: &Map<String, Value>,
        expected: &Map<String, Value>,
    ) -> Result<(), String> {
        let mut command = self.ours(command);
        command.insert("client".to_owned(), self.label(client).into());
        let verb = command["do"].as_str().unwrap_or_default().to_owned();
        match verb.as_str() {
            "connect" => {
                self.address(client, &mut command);
                self.online.insert(client.to_owned());
            }
            "disconnect" | "kill" => {
                self.online.remove(client);
            }
            _ => {}
        }
        let answer = self.driver(client).ask(command)?;
        let codes = [vec![answer["code"].clone()], list(&answer["codes"])].concat();
        let failed = codes.iter().any(|code| code.as_u64().is_some_and(|code| code >= FAILURE));
        if failed && !expected.contains_key("code") && !expected.contains_key("codes") {
            return Err(format!("refused: {answer}"));
        }
        if failed && verb == "connect" {
            self.online.remove(client);
            // The end that follows a refusal is no event of its own.
            let label = self.label(client);
            self.driver(client).event(&label, "closed", QUIET);
        }
        let mut expected = self.ours(expected);
        if self.stage.version == 31 {
            // A CONNACK of MQTT 3.1 says nothing of the session.
            expected.remove("present");
        }
        agree(&expected, &answer)
    }

    fn expect(
        &mut self,
        client: &str,
        kind: &str,
        words: &Map<String, Value>,
    ) -> Result<(), String> {
        let mut words = self.ours(words);
        let label = self.label(client);
        let event = self
            .driver(client)
            .event(&label, kind, PATIENCE)
            .ok_or_else(|| format!("no {kind} comes"))?;
        if kind == "closed" {
            self.online.remove(client);
        } else {
            for (name, value) in
                [("payload", "".into()), ("qos", 0.into()), ("retain", false.into())]
            {
                words.entry(name).or_insert(value);
            }
            let unspoken = ["client", "event", "dup", "alias"];
            let extra =
                event.as_object().into_iter().flatten().find(|(name, _)| {
                    !words.contains_key(*name) && !unspoken.contains(&name.as_str())
                });
            if let Some((name, value)) = extra {
                return Err(format!("it has {name}={value} also: {event}"));
            }
        }
        agree(&words, &event)
    }

    fn share(&mut self, count: u64, least: u64, clients: &[String]) -> Result<(), String> {
        let mut got = vec![0; clients.len()];
        let until = Instant::now() + PATIENCE;
        while got.iter().sum::<u64>() < count && Instant::now() < until {
            for (client, got) in clients.iter().zip(&mut got) {
                let (label, soon) = (self.label(client), Duration::from_millis(5));
                *got += u64::from(self.driver(client).event(&label, "message", soon).is_some());
            }
        }
        if got.iter().sum::<u64>() == count && got.iter().all(|got| *got >= least) {
            Ok(())
        } else {
            Err(format!("they get {got:?}"))
        }
    }

    /// Whoever is still connected leaves; gives what has happened that the case does not know of.
    fn end(&mut self) -> Vec<Value> {
        for client in std::mem::take(&mut self.online) {
            let mut leave = Map::new();
            leave.insert("do".to_owned(), "disconnect".into());
            leave.insert("client".to_owned(), self.label(&client).into());
            // One that the case lost cannot leave.
            let _ = self.driver(&client).ask(leave);
        }
        self.stage.drivers.iter_mut().flat_map(Driver::leftovers).collect()
    }

    /// The words with topics and client identifiers of the case's own.
    fn ours(&self, words: &Map<String, Value>) -> Map<String, Value> {
        let one = |(name, value): (&String, &Value)| {
            let value = match value {
                Value::String(text) if name == "id" => self.id(text).into(),
                Value::String(text) => text.replace('~', &self.own).into(),
                Value::Object(words) => Value::Object(self.ours(words)),
                other => other.clone(),
            };
            (name.clone(), value)
        };
        let mut words: Map<String, Value> = words.iter().map(one).collect();
        if let Some(size) = words.remove("size").and_then(|size| size.as_u64()) {
            let payload = "x".repeat(usize::try_from(size).unwrap_or_default());
            words.insert("payload".to_owned(), payload.into());
        }
        words
    }

    fn id(&self, name: &str) -> String {
        if name.is_empty() { String::new() } else { format!("{}/{name}", self.own) }
    }

    /// A client's name for its driver, which plays other cases also.
    fn label(&self, client: &str) -> String {
        format!("{}/{client}", self.own)
    }

    fn address(&self, client: &str, command: &mut Map<String, Value>) {
        let Stage { site, version, tls, web, .. } = &*self.stage;
        let port = web.unwrap_or(if *tls { site.tls } else { site.plain });
        let ca = site.ca();
        for (name, value) in [
            ("version", Value::from(*version)),
            ("id", self.id(client).into()),
            ("username", DEMO.into()),
            ("password", site.password.as_str().into()),
            ("tls", (*tls).into()),
            ("web", web.is_some().into()),
            ("port", port.into()),
            ("ca", ca.to_string_lossy().into()),
        ] {
            command.entry(name).or_insert(value);
        }
    }

    fn driver(&mut self, client: &str) -> &mut Driver {
        let turn = self.names.iter().position(|name| *name == client).unwrap_or_default();
        let count = self.stage.drivers.len();
        &mut self.stage.drivers[turn % count]
    }
}

/// Whether what was said is what was expected, word for word.
fn agree(expected: &Map<String, Value>, said: &Value) -> Result<(), String> {
    for (name, value) in expected {
        if !fits(value, &said[name]) {
            return Err(format!("{name} is not {value}: {said}"));
        }
    }
    Ok(())
}

fn fits(expected: &Value, said: &Value) -> bool {
    if let Some(text) = expected.as_str() {
        if text == "absent" {
            return said.is_null();
        }
        if text == "present" {
            return !said.is_null();
        }
        if let (Some((from, to)), Some(number)) = (text.split_once(".."), said.as_u64()) {
            return from.parse().is_ok_and(|from| number >= from)
                && to.parse().is_ok_and(|to| number <= to);
        }
    }
    // A list of one is told as one by some; the order of identifiers means nothing.
    if expected == said {
        return true;
    }
    let sorted = |value| {
        let mut list = list(value);
        list.sort_by_key(Value::as_u64);
        list
    };
    (expected.is_number() || expected.is_array()) && sorted(expected) == sorted(said)
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

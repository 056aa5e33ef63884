//! Reads cases.
//!
//! ```text
//! === what it shows
//! for v5
//! without paho: why its clients cannot do it
//! only mqttjs
//! a> connect id=alice session-expiry=60 => present=false
//! a> publish ~/topic payload qos=1 user=name:value,name:value
//! a< message ~/topic payload qos=1 retain
//! a< closed code=142
//! a< nothing
//! share 12 least=3 a b
//! wait 1500
//! ```
//!
//! `for v3` is for MQTT 3.1.1 and 3.1, and `without 3.1: why` for 3.1.1 only. `size=N` is a payload of N bytes.
//! `a>` has client `a` do something and waits for the answer, which must be no failure; behind `=>` is what else
//! the answer must say. `a<` is what happens to it. `~` is a topic of the case's own.

use serde_json::{Map, Value};

/// One conversation of some clients with a gateway.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) title: String,
    /// The versions of MQTT that it is for; 3 is 3.1.1 and 3.1.
    pub(crate) versions: Vec<u8>,
    /// The libraries whose clients cannot do it.
    pub(crate) without: Vec<String>,
    /// The only library whose clients can do it.
    pub(crate) only: Option<String>,
    pub(crate) lines: Vec<Line>,
}

impl Case {
    /// Whether clients of these libraries can play it in a version.
    pub(crate) fn is_for(&self, version: u8, libraries: &[&str]) -> bool {
        let (version, name) = if version == 31 { (3, "3.1") } else { (version, "") };
        let able = |library: &&str| {
            !self.without.iter().any(|without| without == library || without == name)
                && self.only.as_ref().is_none_or(|only| only == library)
        };
        self.versions.contains(&version) && libraries.iter().all(able)
    }
}

/// One line of it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) step: Step,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// A client does something; the answer says at least this.
    Do { client: String, command: Map<String, Value>, answer: Map<String, Value> },
    /// Something happens to a client.
    Event { client: String, kind: String, words: Map<String, Value> },
    /// Nothing happens to it for a while.
    Nothing { client: String },
    /// Numbered messages arrive in order, each once.
    Numbers { client: String, count: u64, words: Map<String, Value> },
    /// So many messages arrive at these clients together, and at least so many at each.
    Share { count: u64, least: u64, clients: Vec<String> },
    /// Time goes by, in milliseconds.
    Wait(u64),
}

/// Words whose value is text, whatever it looks like.
const TEXT: [&str; 8] =
    ["payload", "topic", "filter", "id", "content-type", "response-topic", "correlation", "reason"];

/// Words that say something by being there.
const FLAGS: [&str; 6] = ["retain", "hold", "no-local", "as-published", "auto-assign", "auto-use"];

/// All cases of a file.
pub(crate) fn cases(file: &str) -> Vec<Case> {
    file.split("\n=== ").map(|text| case(text.trim_start_matches("=== "))).collect()
}

fn case(text: &str) -> Case {
    let mut lines = text.lines().map(str::trim);
    let title = lines.next().unwrap_or_default().to_owned();
    let mut case =
        Case { title, versions: vec![3, 5], without: Vec::new(), only: None, lines: Vec::new() };
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(version) = line.strip_prefix("for v") {
            case.versions = vec![version.parse().unwrap_or_else(|_| panic!("version: {line}"))];
        } else if let Some(library) = line.strip_prefix("without ") {
            let (library, _reason) = library.split_once(": ").expect("without LIBRARY: REASON");
            case.without.push(library.to_owned());
        } else if let Some(library) = line.strip_prefix("only ") {
            case.only = Some(library.to_owned());
        } else {
            case.lines.push(Line { text: line.to_owned(), step: step(line) });
        }
    }
    case
}

fn step(line: &str) -> Step {
    let (said, answer) = line.split_once(" => ").unwrap_or((line, ""));
    let mut words = said.split_whitespace();
    let first = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    if let Some(client) = first.strip_suffix('>') {
        let verb = rest.first().copied().unwrap_or_default();
        let mut command = named(positions(verb), &rest[1..]);
        command.insert("do".to_owned(), verb.into());
        let answer: Vec<&str> = answer.split_whitespace().collect();
        return Step::Do { client: client.to_owned(), command, answer: named(&[], &answer) };
    }
    if let Some(client) = first.strip_suffix('<') {
        let (client, kind) = (client.to_owned(), rest.first().copied().unwrap_or_default());
        let mut words = named(positions(kind), &rest[1..]);
        let mut count = || words.remove("count").and_then(|count| count.as_u64()).expect("a count");
        return match kind {
            "nothing" => Step::Nothing { client },
            "numbers" => Step::Numbers { client, count: count(), words },
            "message" | "closed" => Step::Event { client, kind: kind.to_owned(), words },
            _ => panic!("{line}: nothing happens that is called {kind}"),
        };
    }
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{line}: a number"));
    match (first, &rest[..]) {
        ("wait", [time]) => Step::Wait(number(time)),
        ("share", [count, least, clients @ ..]) => Step::Share {
            count: number(count),
            least: number(least.trim_start_matches("least=")),
            clients: clients.iter().map(|client| (*client).to_owned()).collect(),
        },
        _ => panic!("no line of a case: {line}"),
    }
}

/// What the words without a name are, in their order.
fn positions(verb: &str) -> &'static [&'static str] {
    match verb {
        "publish" | "message" => &["topic", "payload"],
        "subscribe" | "unsubscribe" => &["filter"],
        "flood" | "numbers" => &["topic", "count"],
        "ack" => &["count"],
        _ => &[],
    }
}

/// `name=value` as it is, a flag as true, and a value alone by its position.
fn named(positions: &[&str], words: &[&str]) -> Map<String, Value> {
    let mut positions = positions.iter().filter(|name| !given(words, name));
    let mut map = Map::new();
    for word in words {
        match word.split_once('=') {
            Some((name, text)) if name.starts_with("will-") => {
                let will = map.entry("will").or_insert_with(|| Value::Object(Map::new()));
                let name = name.trim_start_matches("will-");
                will.as_object_mut().expect("a will").insert(name.to_owned(), value(name, text));
            }
            Some((name, text)) => drop(map.insert(name.to_owned(), value(name, text))),
            None if FLAGS.contains(word) => drop(map.insert((*word).to_owned(), true.into())),
            None => match positions.next() {
                Some(name) => drop(map.insert((*name).to_owned(), value(name, word))),
                None => panic!("{word} has no place here"),
            },
        }
    }
    map
}

fn given(words: &[&str], name: &str) -> bool {
    words.iter().any(|word| word.split_once('=').is_some_and(|(given, _)| given == name))
}

fn value(name: &str, text: &str) -> Value {
    match name {
        "user" => text.split(',').map(pair).collect(),
        "codes" | "ids" if text.contains(',') => text.split(',').filter_map(number).collect(),
        _ if TEXT.contains(&name) => text.into(),
        _ => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => number(text).unwrap_or_else(|| text.into()),
        },
    }
}

fn number(text: &str) -> Option<Value> {
    text.parse::<u64>().ok().map(Value::from)
}

fn pair(text: &str) -> Value {
    let (name, value) = text.split_once(':').expect("user=NAME:VALUE,...");
    [name, value].into_iter().collect()
}

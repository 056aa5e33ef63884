//! Scripts: what clients and the world do, and everything that the broker answers. What a
//! script does not name must not happen.
//!
//! ```text
//! set receive-maximum=2 persist-delay=20      limits of the broker; first lines only
//! rule FILTER durability=strict|relaxed|off overflow=reject|drop-newest|drop-oldest|last-value
//! permissions NAME allow|deny publish|subscribe|both FILTER [qos=N] [no-retain]; ...; else allow|deny|ask
//! a> PACKET        client a sends it (`words` has the vocabulary)
//!                  CONNECT and `accept` may have messages=RATE/BURST bytes=RATE/BURST excess=disconnect
//! a< PACKET        client a gets it, in this order
//! a< closed        the broker closes the connection
//! a< refused 0x87  a CONNECT is answered with that code
//! a? publish t/x   the extension is asked          a! allow|deny [ms=700] [code=0x83]   it answers
//! interests publish=FILTER,FILTER delivery=FILTER   what interceptors want to see from now on
//! a? intercept t/x hello   interceptors are shown a publish, or the will   a! pass|discard|refuse 0x99|replace DRAFT...
//! a? deliver t/x hello, t/y   or what is about to be sent   a! pass|discard|failed|DRAFT, one for each
//!                  a DRAFT is topic:payload, with :1 or :2 for its QoS and :retain
//! a? auth 0x19     about AUTH     a! challenge|accept|refuse 0x87 [data=] [as=] [principal=] [valid-ms=]
//! disk             everything becomes durable      disk begin / disk end   one commit, in two steps
//! crash            power fails between two commits; `crash written`: after one that nobody heard of
//! forget a         what extensions allowed it for a while is asked about again
//! memory ample|tight|full      what there is of it from now on
//! system TOPIC X   the gateway publishes a value of its own
//! post PUBLISH                                 somebody who is no client publishes; `post refused PUBLISH`
//! remove CLIENT-ID CODE                        and has a client disconnected
//! replace CLIENT-ID NAME                       and gives one other permissions; both may begin with `absent`
//! advance 20ms     drop a     shutdown     stall a / resume a
//! open a/1         a opens a stream beside the first; `open a/1 one-way`   a/1> PACKET   a/1< PACKET   stall a/1 / resume a/1
//! end a/1          a sends nothing more on it   lose a/1   it is gone     a/1< closed   the broker is done with it
//! wrote KIND...    what became durable since the last such line, op by op; `wrote nothing`
//! stat NAME=N      a counter of `Stats`
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auth::PermissionSet;
use mqtt::{Decoded, Decoder, Packet, ReasonCode, Version};
use portcullis_broker::{
    Answer, Authentication, Ending, Interception, Interests, Lane, LinkId, Question, Renewal,
    Ruling, Settings, Verdict,
};
use simulation::{Door, Login, World};

use crate::words::{self, Words};
use crate::{drafts, limits, permits};

#[test]
fn every_script_is_answered_word_for_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(&folder).expect("the scripts are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() > 5, "{} holds the scripts", folder.display());
    let mut failures = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for (line, block) in blocks(&text) {
            if let Err(why) = Stage::default().play(line, block) {
                let _ = writeln!(failures, "{name}:{why}\n");
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// A file holds several plays, each begun by a line `=== title`.
fn blocks(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("===") {
            blocks.push((number + 1, Vec::new()));
        } else if let Some((_, block)) = blocks.last_mut() {
            block.push(line);
        }
    }
    blocks
}

/// A world with named clients in it.
#[derive(Default)]
struct Stage {
    settings: Settings,
    world: Option<World>,
    clients: BTreeMap<String, Client>,
    permissions: BTreeMap<String, Arc<PermissionSet>>,
    /// What happened and was not looked at yet.
    said: BTreeMap<String, VecDeque<String>>,
}

struct Client {
    link: Option<LinkId>,
    version: Version,
    /// The CONNECT line that waits for an answer about its will, and the verdict that there is already.
    connecting: Option<(String, Option<Verdict>)>,
    asked: Option<Question>,
    /// The script has been told what it is shown.
    is_shown: bool,
}

impl Stage {
    fn play(mut self, first: usize, block: Vec<&str>) -> Result<(), String> {
        let mut acted = String::new();
        for (number, line) in (first + 1..).zip(block) {
            let line = line.split("  #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |why: String| format!("{number}: {line}\n    {why}");
            if let Some((who, expected)) = expectation(line) {
                let got = self.said.get_mut(who).and_then(VecDeque::pop_front);
                if got.as_deref() != Some(expected.as_str()) {
                    let got = got.unwrap_or_else(|| "silence".to_owned());
                    return Err(at(format!("expected: {expected}\n    got:      {got}")));
                }
                continue;
            }
            self.silence().map_err(|why| format!("{number}: after {acted:?}: {why}"))?;
            self.act(line).map_err(at)?;
            self.listen();
            acted = line.to_owned();
        }
        self.silence().map_err(|why| format!("end: after {acted:?}: {why}"))
    }

    fn silence(&self) -> Result<(), String> {
        match self.said.iter().find(|(_, said)| !said.is_empty()) {
            Some((who, said)) => Err(format!("{who} got what the script does not name: {said:?}")),
            None => Ok(()),
        }
    }

    fn act(&mut self, line: &str) -> Result<(), String> {
        let words = Words::of(line);
        match words.plain(0) {
            "set" => {
                assert!(self.world.is_none(), "limits are set before anything happens");
                limits::set(&mut self.settings, &words);
            }
            "rule" => self.settings.topic_rules.push(limits::rule(&words)),
            "permissions" => {
                let set = permits::set(line);
                self.permissions.insert(words.plain(1).to_owned(), Arc::new(set));
            }
            "disk" => match words.from(1) {
                [] => self.world().flush(),
                ["begin"] => assert!(self.world().begin_commit(), "there is nothing to commit"),
                _ => self.world().finish_commit(),
            },
            "crash" => {
                self.world().crash(words.has("written"));
                self.clients.values_mut().for_each(|client| client.link = None);
            }
            "system" => {
                let value = Some(words.plain(2)).filter(|value| *value != "-");
                self.world().publish_system(words.plain(1), value.unwrap_or_default());
            }
            "forget" => self.forget(words.plain(1)),
            "memory" => {
                let memory = words::memory(words.plain(1));
                self.world().set_memory(memory);
            }
            "interests" => {
                let filters = |key| words.value(key).map(drafts::filters).unwrap_or_default();
                let (publish, delivery) = (filters("publish"), filters("delivery"));
                self.world().set_interests(Interests { publish, delivery });
            }
            "post" | "remove" | "replace" => self.interfere(&words),
            "advance" => self.world().advance(duration(words.plain(1))),
            "shutdown" => self.world().shut_down(),
            "open" | "end" | "lose" => self.stream(&words),
            "drop" => {
                let link = self.clients.get_mut(words.plain(1)).and_then(|c| c.link.take());
                self.world().cut(link.expect("a connected client"));
            }
            verb @ ("stall" | "resume") => {
                let (link, lane) = self.place(words.plain(1));
                match lane {
                    Lane::CONTROL => self.world().stall(link, verb == "stall"),
                    lane => self.world().stall_lane(link, lane, verb == "stall"),
                }
            }
            "wrote" => return self.wrote(&words),
            "stat" => return self.stat(words.plain(1)),
            who => self.client_acts(who, line),
        }
        Ok(())
    }

    /// The connection and the stream that `a/1` names; `a` alone is its first.
    fn place(&self, name: &str) -> (LinkId, Lane) {
        let (name, lane) = name.split_once('/').unwrap_or((name, "0"));
        let link = self.clients.get(name).and_then(|client| client.link);
        (link.expect("a connected client"), Lane(words::number(lane)))
    }

    /// What becomes of a stream beside the first.
    fn stream(&mut self, words: &Words<'_>) {
        let (link, lane) = self.place(words.plain(1));
        match words.plain(0) {
            "open" => self.world().open_lane(link, lane, words.has("one-way")),
            "end" => self.world().end_lane(link, lane, Ending::InOrder),
            _ => self.world().end_lane(link, lane, Ending::Lost),
        }
    }

    /// What is done from outside of any conversation. `refused` and `absent` say that nothing comes of it.
    fn interfere(&mut self, words: &Words<'_>) {
        let vain = ["refused", "absent"].contains(&words.plain(1));
        let rest = words.from(if vain { 2 } else { 1 });
        let done = match (words.plain(0), rest) {
            ("post", said) => {
                let line = said.join(" ");
                let bytes = words::encode(&Words::of(&format!("publish {line}")), Version::V5);
                let mut decoder = Decoder::new(u32::MAX);
                decoder.set_version(Version::V5);
                let decoded = decoder.decode(&bytes).expect("a packet");
                let Decoded::Packet { packet: Packet::Publish(publish), .. } = decoded else {
                    panic!("{line:?} is no publish")
                };
                self.world().publish_from_outside(&publish)
            }
            ("remove", [client_id, code]) => {
                let code = words::code(code);
                self.world().disconnect_client(client_id, code)
            }
            (_, [client_id, name]) => {
                let set = Arc::clone(self.permissions.get(*name).expect("named permissions"));
                self.world().replace_permissions(client_id, set)
            }
            (verb, _) => panic!("{verb} has other words"),
        };
        assert_eq!(done, !vain, "{rest:?}");
    }

    fn client_acts(&mut self, who: &str, line: &str) {
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        if let Some(name) = who.strip_suffix('!') {
            self.answer(name, &Words::of(rest));
            return;
        }
        let name = who.strip_suffix('>').unwrap_or_else(|| panic!("{line:?} means nothing"));
        let words = Words::of(rest);
        if name.contains('/') {
            let (link, lane) = self.place(name);
            let version = name.split_once('/').map(|(name, _)| self.clients[name].version);
            let bytes = words::encode(&words, version.expect("a version"));
            return self.world().send_on(link, lane, &bytes);
        }
        let link = self.clients.get(name).and_then(|client| client.link);
        match link {
            Some(link) => {
                let version = self.clients[name].version;
                let asked = self.world().send(link, &words::encode(&words, version));
                self.ask(name, asked);
            }
            None => self.connect(name, rest, None, None),
        }
    }

    fn connect(
        &mut self,
        name: &str,
        line: &str,
        will_verdict: Option<Verdict>,
        will_interception: Option<Interception>,
    ) {
        let words = Words::of(line);
        let connect = words::connect(&words);
        let permissions = self.permissions(&words);
        let login = Login {
            connect: &connect,
            principal: words.value("principal").unwrap_or(name),
            permissions,
            authentication_data: words.value("last-data").map(str::as_bytes),
            valid_for_ms: words.number("valid-ms").map(u64::from),
            limits: words::limits(&words),
            will_verdict: will_verdict.clone(),
            will_interception,
        };
        let door = self.world().connect(&login);
        let mut client = Client {
            link: None,
            version: connect.version,
            connecting: None,
            asked: None,
            is_shown: false,
        };
        match door {
            Door::Open(link) => client.link = Some(link),
            Door::Shut(closing) => self.hear(name, format!("refused {}", words::hex(closing.code))),
            Door::Ask(question) => {
                client.connecting = Some((line.to_owned(), will_verdict));
                client.asked = Some(question.clone());
                self.hear(name, format!("? {}", say_question(&question)));
            }
        }
        self.clients.insert(name.to_owned(), client);
    }

    /// The set that `as=` names; without it, one that allows everything.
    fn permissions(&mut self, words: &Words<'_>) -> Arc<PermissionSet> {
        let set = match words.value("as") {
            Some(named) => self.permissions.get(named).expect("named permissions"),
            None => self
                .permissions
                .entry(String::new())
                .or_insert_with(|| Arc::new(permits::set("permissions - else allow"))),
        };
        Arc::clone(set)
    }

    fn ask(&mut self, name: &str, asked: Option<Question>) {
        if let Some(question) = &asked {
            self.hear(name, format!("? {}", say_question(question)));
        }
        if let Some(client) = self.clients.get_mut(name) {
            client.asked = asked;
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(link) = self.clients.get(name).and_then(|client| client.link) {
            self.world().forget_rulings(link);
        }
    }

    fn answer(&mut self, name: &str, words: &Words<'_>) {
        let verdict = || match words.plain(0) == "allow" {
            true => Verdict::Allow,
            false => Verdict::Deny {
                code: words.value("code").map_or(ReasonCode::NotAuthorized, words::code),
                why: "the script says no".into(),
            },
        };
        let valid_ms = words.value("ms").map_or(0, |ms| ms.parse().expect("milliseconds"));
        let client = self.clients.get_mut(name).expect("a client");
        let asked = client.asked.take();
        if let Some((line, given)) = client.connecting.take() {
            match asked {
                Some(Question::Intercept(_)) => {
                    self.connect(name, &line, given, Some(drafts::interception(words)));
                }
                _ => self.connect(name, &line, Some(verdict()), None),
            }
            return;
        }
        let link = client.link;
        let Some(asked) = asked else {
            client.is_shown = false;
            let link = link.expect("a connection");
            let made = words.from(0).iter().map(|word| drafts::reviewed(word)).collect();
            self.world().reviewed(link, made);
            return;
        };
        let answer = match asked {
            Question::Intercept(_) => Answer::Intercept(drafts::interception(words)),
            Question::Publish { .. } => Answer::Publish(Ruling { verdict: verdict(), valid_ms }),
            Question::Subscribe(requested) => {
                Answer::Subscribe(requested.iter().map(|_| verdict()).collect())
            }
            Question::Authenticate { .. } => Answer::Authenticate(self.authentication(name, words)),
        };
        let asked = self.world().answer(link.expect("a connection"), answer);
        self.ask(name, asked);
    }

    /// What `challenge`, `accept` and `refuse` mean.
    fn authentication(&mut self, name: &str, words: &Words<'_>) -> Authentication {
        let data = words.value("data").map(|data| data.as_bytes().to_vec());
        match words.plain(0) {
            "challenge" => Authentication::Challenge { data },
            "accept" => Authentication::Renew(Box::new(Renewal {
                principal: words.value("principal").unwrap_or(name).into(),
                attributes: Vec::new(),
                permissions: self.permissions(words),
                valid_for_ms: words.number("valid-ms").map(u64::from),
                limits: words::limits(words),
                data,
            })),
            _ => Authentication::Refuse {
                code: words::code(words.from(1).first().unwrap_or(&"0x87")),
                why: "the script says no".into(),
            },
        }
    }

    fn hear(&mut self, name: &str, what: String) {
        self.said.entry(name.to_owned()).or_default().push_back(what);
    }

    /// Puts what is on the wires into words.
    fn listen(&mut self) {
        let mut heard = Vec::new();
        let Some(world) = self.world.as_mut() else { return };
        for (name, client) in &mut self.clients {
            let Some(link) = client.link else { continue };
            let bytes = world.wire(link).map(std::mem::take).unwrap_or_default();
            let said = words::packets(&bytes, client.version);
            heard.extend(said.into_iter().map(|said| (name.clone(), said)));
            for (Lane(lane), bytes, over) in world.lanes(link) {
                let name = format!("{name}/{lane}");
                let said = words::packets(&bytes, client.version);
                heard.extend(said.into_iter().map(|said| (name.clone(), said)));
                heard.extend(over.then(|| (name, "closed".to_owned())));
            }
            if !world.shown(link).is_empty() && !std::mem::replace(&mut client.is_shown, true) {
                let shown = world.shown(link).iter().map(|delivery| drafts::say(&delivery.message));
                let shown = shown.collect::<Vec<_>>().join(", ");
                heard.push((name.clone(), format!("? deliver {shown}")));
            }
            client.is_shown = !world.shown(link).is_empty();
            if !world.is_open(link) {
                client.link = None;
                heard.push((name.clone(), "closed".to_owned()));
            }
        }
        heard.into_iter().for_each(|(name, what)| self.hear(&name, what));
    }

    fn world(&mut self) -> &mut World {
        self.world.get_or_insert_with(|| World::new(self.settings.clone(), 1))
    }

    fn wrote(&mut self, words: &Words<'_>) -> Result<(), String> {
        let got = std::mem::take(&mut self.world().written);
        let expected = match words.from(1) {
            ["nothing"] => &[],
            kinds => kinds,
        };
        if got == expected { Ok(()) } else { Err(format!("written was: {}", got.join(" "))) }
    }

    fn stat(&mut self, word: &str) -> Result<(), String> {
        let stats = format!("{:?}", self.world().broker.stats());
        let (name, value) = word.split_once('=').expect("name=value");
        let found = stats.contains(&format!(" {name}: {value},"))
            || stats.contains(&format!(" {name}: {value} }}"));
        if found { Ok(()) } else { Err(stats) }
    }
}

/// `a< packet` and `a? question`: who, and what.
fn expectation(line: &str) -> Option<(&str, String)> {
    let (who, what) = line.split_once(' ')?;
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    match (who.strip_suffix('<'), who.strip_suffix('?')) {
        (Some(name), _) => Some((name, what)),
        (_, Some(name)) => Some((name, format!("? {what}"))),
        (None, None) => None,
    }
}

fn say_question(question: &Question) -> String {
    match question {
        Question::Publish { topic, .. } => format!("publish {topic}"),
        Question::Intercept(draft) => {
            format!("intercept {} {}", draft.topic, drafts::payload(&draft.payload))
        }
        Question::Subscribe(requested) => {
            let filters = requested.iter().map(|r| &*r.filter);
            format!("subscribe {}", filters.collect::<Vec<_>>().join(" "))
        }
        Question::Authenticate { begins, data } => {
            let data = data.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            format!("auth {} {data}", if *begins { "0x19" } else { "0x18" }).trim().to_owned()
        }
    }
}

fn duration(word: &str) -> Duration {
    match word.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(words::number(ms).into()),
        None => Duration::from_secs(words::number(word.strip_suffix('s').expect("s or ms")).into()),
    }
}

//! Plays one script on a stage.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqtt::{Decoded, Decoder, Version};

use crate::heard::{Bindings, Heard, heard};
use crate::packet;
use crate::raw;
use crate::script::{Act, Script, Step};
use crate::words::Scope;

/// PINGREQ: whoever is answered has been served.
const PING: &str = "ping";

/// Where scripts are played: connections by the names of the clients.
pub(crate) trait Stage {
    /// Sends bytes, on a new connection if the client has none.
    fn send(&mut self, who: &str, bytes: &[u8]);

    /// Sends a frame of WebSocket, where that is spoken: its first byte, and its payload.
    fn frame(&mut self, _who: &str, _first: u8, _payload: &[u8]) {}

    /// Opens a WebSocket that offers these subprotocols; gives the status of the answer if it is refused.
    fn offer(&mut self, _who: &str, _subprotocols: &str) -> Option<String> {
        None
    }

    /// What has come since; with nothing there, waits for it where that makes sense.
    fn receive(&mut self, who: &str) -> Received;

    /// Ends the connection without a word.
    fn drop(&mut self, who: &str);

    fn wait(&mut self, time: Duration);

    /// Whether everything has happened that follows from what was done.
    fn is_settled(&self) -> bool;
}

pub(crate) enum Received {
    Bytes(Vec<u8>),
    Nothing,
    /// The end; of a WebSocket with the status code, if it was said goodbye.
    Closed(Option<u16>),
}

/// Plays `script`; its names begin with `prefix`. An error says where it is not as the script says.
pub(crate) fn play(script: &Script, prefix: &str, stage: impl Stage) -> Result<(), String> {
    let prefix = if script.alone { "" } else { prefix };
    let mut play = Play {
        stage,
        scope: Scope::new(prefix),
        clients: BTreeMap::new(),
        bindings: Bindings::new(),
    };
    for (at, step) in script.steps.iter().enumerate() {
        let next = script.steps.get(at + 1);
        play.step(step, next).map_err(|why| {
            format!("{}\n    {}: {}\n    {why}", script.name(), step.line, step.text)
        })?;
    }
    play.nothing_more().map_err(|why| format!("{}\n    at its end: {why}", script.name()))
}

struct Play<S> {
    stage: S,
    scope: Scope,
    clients: BTreeMap<String, Client>,
    bindings: Bindings,
}

struct Client {
    version: Version,
    decoder: Decoder,
    /// Bytes that are no whole packet yet.
    unread: Vec<u8>,
    /// What came and was not looked at.
    heard: VecDeque<Heard>,
    /// It was let in, and has not been closed.
    is_in: bool,
}

impl<S: Stage> Play<S> {
    fn step(&mut self, step: &Step, next: Option<&Step>) -> Result<(), String> {
        match &step.act {
            Act::Send { who, what } => {
                self.unnamed()?;
                self.send(who, what)?;
                // What others do next must not overtake this.
                let goes_on = next.is_some_and(|next| is_about(&next.act, who));
                if !goes_on && !what.starts_with("raw") {
                    self.serve(who)?;
                }
                Ok(())
            }
            Act::Hear { who, what } => match who.contains('|') {
                true => self.hear_one(who, what),
                false => self.hear(who, what),
            },
            Act::Nothing => self.nothing_more(),
            Act::Drop { who } => {
                self.unnamed()?;
                self.stage.drop(who);
                self.clients.remove(who);
                Ok(())
            }
            Act::Wait(time) => {
                self.unnamed()?;
                self.stage.wait(*time);
                Ok(())
            }
        }
    }

    fn send(&mut self, who: &str, what: &str) -> Result<(), String> {
        if let Some(subprotocols) = what.strip_prefix("offers ") {
            if let Some(status) = self.stage.offer(who, subprotocols) {
                self.client(who, "").heard.push_back(Heard::refused(&status));
            }
            return Ok(());
        }
        if let Some(rest) = what.strip_prefix("frame ") {
            if rest.contains(r#""MQTT""#) {
                self.client(who, rest);
            }
            let words: Vec<&str> = rest.split(' ').collect();
            let bytes = raw::bytes(&words, &self.scope)?;
            let (first, payload) = bytes.split_first().ok_or("a frame has a first byte")?;
            self.stage.frame(who, *first, payload);
            return Ok(());
        }
        let words = what.split(' ').map(|word| self.bound(word)).collect::<Result<Vec<_>, _>>()?;
        let line = words.join(" ");
        let version = self.client(who, &line).version;
        let bytes = packet::bytes(&line, version, &self.scope)?;
        self.stage.send(who, &bytes);
        Ok(())
    }

    /// The client of this name, as one that begins with this packet.
    fn client(&mut self, who: &str, line: &str) -> &mut Client {
        self.clients.entry(who.to_owned()).or_insert_with(|| {
            let version = packet::version(line);
            let mut decoder = Decoder::new(u32::MAX);
            decoder.set_version(version);
            Client { version, decoder, unread: Vec::new(), heard: VecDeque::new(), is_in: false }
        })
    }

    /// A word in which names stand for what they were bound to.
    fn bound(&self, word: &str) -> Result<String, String> {
        let Some((front, name)) = word.split_once('%') else { return Ok(word.to_owned()) };
        let value = self.bindings.get(name).ok_or_else(|| format!("%{name} is not known yet"))?;
        Ok(format!("{front}{value}"))
    }

    fn hear(&mut self, who: &str, what: &str) -> Result<(), String> {
        let got = self.next(who)?;
        let words = got.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        match got {
            Some(got) if got.fits(what, &mut self.bindings) => {
                if got.is("closed") {
                    self.clients.remove(who);
                } else if got.lets_in()
                    && let Some(client) = self.clients.get_mut(who)
                {
                    client.is_in = true;
                }
                Ok(())
            }
            _ => Err(format!("got: {words}")),
        }
    }

    /// As [`hear`](Self::hear), for the one of several clients that has got something.
    fn hear_one(&mut self, names: &str, what: &str) -> Result<(), String> {
        let names: Vec<&str> = names.split('|').collect();
        for who in &names {
            self.serve(who)?;
        }
        let mut got = Vec::new();
        for who in names {
            if self.stage.is_settled() {
                while self.receive(who)? {}
            }
            if self.clients.get(who).is_some_and(|client| !client.heard.is_empty()) {
                got.push(who);
            }
        }
        match got[..] {
            [who] => self.hear(who, what),
            _ => Err(format!("got something: {got:?}")),
        }
    }

    /// The next packet, or the end; `None` when none comes.
    fn next(&mut self, who: &str) -> Result<Option<Heard>, String> {
        loop {
            let client =
                self.clients.get_mut(who).ok_or_else(|| format!("{who} is not connected"))?;
            if let Some(heard) = client.heard.pop_front() {
                return Ok(Some(heard));
            }
            if !self.receive(who)? {
                return Ok(None);
            }
        }
    }

    /// Takes what has come; false if nothing has.
    fn receive(&mut self, who: &str) -> Result<bool, String> {
        let received = self.stage.receive(who);
        let Some(client) = self.clients.get_mut(who) else { return Ok(false) };
        match received {
            Received::Nothing => return Ok(false),
            Received::Closed(code) => {
                client.is_in = false;
                client.heard.push_back(Heard::closed(code));
            }
            Received::Bytes(bytes) => client.unread.extend(bytes),
        }
        let mut read = 0;
        loop {
            let decoded = client.decoder.decode(&client.unread[read..]);
            match decoded.map_err(|error| format!("{who} got what is no packet: {error}"))? {
                Decoded::Packet { packet, len } => {
                    client.heard.push_back(heard(&packet, &self.scope));
                    read += len;
                }
                Decoded::Incomplete { .. } => break,
            }
        }
        client.unread.drain(..read);
        Ok(true)
    }

    /// Waits until the server has handled all that this client sent.
    fn serve(&mut self, who: &str) -> Result<(), String> {
        if self.stage.is_settled() || !self.clients.get(who).is_some_and(|client| client.is_in) {
            return Ok(());
        }
        self.send(who, PING)?;
        let mut before = VecDeque::new();
        while let Some(got) = self.next(who)? {
            if got.is("pong") {
                break;
            }
            let over = got.is("closed");
            before.push_back(got);
            if over {
                break;
            }
        }
        if let Some(client) = self.clients.get_mut(who) {
            client.heard = before;
        }
        Ok(())
    }

    /// Where all has happened already, what nobody named is a fault as soon as something else is done.
    fn unnamed(&mut self) -> Result<(), String> {
        if self.stage.is_settled() { self.nothing_more() } else { Ok(()) }
    }

    /// Nobody has got anything that was not named.
    fn nothing_more(&mut self) -> Result<(), String> {
        let names: Vec<_> = self.clients.keys().cloned().collect();
        if !self.stage.is_settled() {
            // Twice: what one is answered may come after what it brought another.
            for who in names.iter().chain(&names) {
                self.serve(who)?;
            }
        }
        for who in names {
            if self.stage.is_settled() {
                while self.receive(&who)? {}
            }
            let client = self.clients.get_mut(&who);
            if let Some(got) = client.and_then(|client| client.heard.pop_front()) {
                return Err(format!("{who} got what the script does not name: {got}"));
            }
        }
        Ok(())
    }
}

fn is_about(act: &Act, name: &str) -> bool {
    match act {
        Act::Send { who, .. } | Act::Hear { who, .. } | Act::Drop { who } => who == name,
        Act::Nothing | Act::Wait(_) => false,
    }
}

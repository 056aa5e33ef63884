use serde_json::{Value, json};

use super::{Words, usage};
use crate::failure::Failure;
use crate::operator::record::Recording;
use crate::operator::{Named, Order, Place, Request, Whom};
use crate::replay;

/// Clients that are shown unless a limit is named.
const SHOWN: u32 = 100;

/// What may follow "extension" that is asked of a gateway that runs.
const OF_EXTENSIONS: [&str; 4] = ["status", "reload", "promote", "abandon"];

/// Options that name an act to be explained, with its name in the admin socket.
const ACTS: [(&str, &str); 3] =
    [("--publish", "publish"), ("--subscribe", "subscribe"), ("--receive", "receive")];

impl Words {
    /// Whether the word behind "extension" is one of a gateway that runs.
    pub(super) fn is_about_running(&self) -> bool {
        self.plain.front().is_some_and(|verb| OF_EXTENSIONS.contains(&verb.as_str()))
    }

    pub(super) fn verb_is(&self, verb: &str) -> bool {
        self.plain.front().is_some_and(|found| found == verb)
    }

    pub(super) fn running_extension(&mut self) -> Result<Request, Failure> {
        let order = match self.next().as_deref() {
            Some("status") => Order::Status { name: self.next() },
            Some("reload") => return self.reload(),
            Some("promote") => Order::Promote { name: self.extension_name()? },
            _ => Order::Abandon { name: self.extension_name()? },
        };
        self.request(order)
    }

    /// What a reload is about, and of which gateway.
    pub(super) fn reload(&mut self) -> Result<Request, Failure> {
        let name = self.extension_name()?;
        let (mode, share) = (self.text("--mode")?, self.number("--share")?);
        self.request(Order::Reload { name, mode, share })
    }

    fn extension_name(&mut self) -> Result<String, Failure> {
        self.next().ok_or_else(|| usage("the extension's name is missing".to_owned()))
    }

    /// Whether a gateway is named that runs.
    #[cfg(feature = "compiler")]
    pub(super) fn names_gateway(&self) -> bool {
        self.options.iter().any(|(name, _)| matches!(&**name, "--config" | "--socket"))
    }

    pub(super) fn record(&mut self) -> Result<Recording, Failure> {
        self.next();
        let missing = |what: &str| usage(format!("{what} is missing"));
        let name = self.next().ok_or_else(|| missing("the extension's name"))?;
        let stated = self.text("--for")?.ok_or_else(|| missing("option --for"))?;
        let time = config::parse_duration(&stated)
            .map_err(|why| usage(format!("--for {stated:?} {why}")))?;
        let (out, secrets) = (self.path("--out")?, self.flag("--secrets"));
        Ok(Recording { gateway: self.place_of_gateway()?, name, time, out, secrets })
    }

    pub(super) fn replay(&mut self) -> Result<replay::Request, Failure> {
        self.next();
        let recording = self.next().ok_or_else(|| usage("the recording is missing".to_owned()))?;
        let (component, config) = (self.option("--component"), self.option("--config"));
        if component.is_none() && config.is_none() {
            let why = "the candidate is named by --component FILE, --config FILE or both";
            return Err(usage(why.to_owned()));
        }
        Ok(replay::Request {
            recording: recording.into(),
            component: component.map(Into::into),
            config: config.map(Into::into),
            json: self.flag("--json"),
        })
    }

    pub(super) fn explain(&mut self) -> Result<Request, Failure> {
        let (client, connect) = (self.text("--client")?, self.option("--connect"));
        let whom = match (client, connect) {
            (Some(client_id), None) => Whom::Client(client_id),
            (None, Some(file)) => Whom::Connect(file.into()),
            _ => {
                let why =
                    "whose acts are explained is named by either --client ID or --connect FILE";
                return Err(usage(why.to_owned()));
            }
        };
        let (qos, retain) = (self.number::<u8>("--qos")?.unwrap_or(0), self.flag("--retain"));
        let mut acts: Vec<Value> = Vec::new();
        for (option, action) in ACTS {
            for topic in self.texts(option)? {
                acts.push(
                    json!({ "action": action, "topic": topic, "qos": qos, "retain": retain }),
                );
            }
        }
        if acts.is_empty() && matches!(whom, Whom::Client(_)) {
            let why = "what is to be explained is missing: --publish TOPIC, --subscribe FILTER or --receive TOPIC";
            return Err(usage(why.to_owned()));
        }
        self.request(Order::Explain { whom, acts })
    }

    pub(super) fn clients(&mut self) -> Result<Request, Failure> {
        let order = match self.next() {
            Some(client_id) => Order::Client { client_id },
            None => Order::Clients {
                from: self.number("--from")?.unwrap_or(0),
                limit: self.number("--limit")?.unwrap_or(SHOWN),
            },
        };
        self.request(order)
    }

    pub(super) fn disconnect(&mut self) -> Result<Request, Failure> {
        let client_id =
            self.next().ok_or_else(|| usage("the client identifier is missing".to_owned()))?;
        let (code, reason) = (self.number("--code")?, self.text("--reason")?);
        self.request(Order::Disconnect { client_id, code, reason })
    }

    pub(super) fn ban(&mut self) -> Result<Request, Failure> {
        let verb = self.next();
        let mut whom = || -> Result<Named, Failure> {
            let (network, identity) = (self.text("--network")?, self.text("--identity")?);
            let named = Named { network, identity, client: self.text("--client")? };
            if named == Named::default() {
                let why =
                    "whom it names is missing: --network, --identity, --client or several of them";
                return Err(usage(why.to_owned()));
            }
            Ok(named)
        };
        let order = match verb.as_deref() {
            Some("list") => Order::Bans,
            Some("add") => {
                let whom = whom()?;
                let (length, reason) = (self.length("--for")?, self.text("--reason")?);
                Order::Ban { whom, length, reason }
            }
            Some("lift") => Order::Unban { whom: whom()? },
            _ => {
                let why = "\"ban\" is followed by \"list\", \"add\" or \"lift\"";
                return Err(usage(why.to_owned()));
            }
        };
        self.request(order)
    }

    /// A time, in milliseconds.
    fn length(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(stated) = self.text(name)? else { return Ok(None) };
        let time = config::parse_duration(&stated)
            .map_err(|why| usage(format!("{name} {stated:?} {why}")))?;
        Ok(Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    pub(super) fn bridges(&mut self) -> Result<Request, Failure> {
        let pauses = match self.next().as_deref() {
            None => return self.request(Order::Bridges),
            Some("pause") => true,
            Some("resume") => false,
            Some(_) => {
                let why = "\"bridges\" is followed by nothing, \"pause\" or \"resume\"";
                return Err(usage(why.to_owned()));
            }
        };
        let bridge = self.next().ok_or_else(|| usage("the bridge's name is missing".to_owned()))?;
        self.request(Order::Pause { bridge, pauses })
    }

    pub(super) fn metrics(&mut self) -> Result<Request, Failure> {
        let prometheus = self.flag("--prometheus");
        self.request(Order::Metrics { prometheus })
    }

    fn request(&mut self, order: Order) -> Result<Request, Failure> {
        Ok(Request { gateway: self.place_of_gateway()?, json: self.flag("--json"), order })
    }

    fn place_of_gateway(&mut self) -> Result<Place, Failure> {
        match (self.option("--config"), self.option("--socket")) {
            (Some(config), None) => Ok(Place::Config(config.into())),
            (None, Some(socket)) => Ok(Place::Socket(socket.into())),
            _ => {
                let why = "the gateway is named by either --config FILE or --socket PATH";
                Err(usage(why.to_owned()))
            }
        }
    }

    /// A number, in decimal or with 0x before it.
    fn number<T: TryFrom<u32>>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        let bits = 8 * size_of::<T>();
        let wrong =
            || usage(format!("{name} {text:?} is not a whole number of at most {bits} bits"));
        number.map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Command;
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace().map(OsString::from);
        Command::parse(words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn orders_are_told_apart() {
        let act = |action: &str, topic: &str, qos: u8, retain: bool| json!({"action": action, "topic": topic, "qos": qos, "retain": retain});
        let (name, client_id) = ("acl".to_owned(), "c1".to_owned());
        for (line, order) in [
            ("extension status", Order::Status { name: None }),
            ("extension status acl", Order::Status { name: Some(name.clone()) }),
            (
                "extension reload acl --mode canary --share 5",
                Order::Reload {
                    name: name.clone(),
                    mode: Some("canary".to_owned()),
                    share: Some(5),
                },
            ),
            ("extension promote acl", Order::Promote { name: name.clone() }),
            ("extension abandon acl", Order::Abandon { name }),
            ("clients", Order::Clients { from: 0, limit: 100 }),
            ("clients --from 7 --limit 2", Order::Clients { from: 7, limit: 2 }),
            ("clients c1", Order::Client { client_id: client_id.clone() }),
            (
                "disconnect c1 --code 0x97",
                Order::Disconnect { client_id: client_id.clone(), code: Some(0x97), reason: None },
            ),
            ("ban list", Order::Bans),
            (
                "ban add --network 192.0.2.0/24 --identity alice --for 2h --reason guesses",
                Order::Ban {
                    whom: Named {
                        network: Some("192.0.2.0/24".to_owned()),
                        identity: Some("alice".to_owned()),
                        client: None,
                    },
                    length: Some(7_200_000),
                    reason: Some("guesses".to_owned()),
                },
            ),
            (
                "ban lift --client c1",
                Order::Unban {
                    whom: Named { client: Some(client_id.clone()), ..Named::default() },
                },
            ),
            ("bridges", Order::Bridges),
            ("bridges pause c1", Order::Pause { bridge: "c1".to_owned(), pauses: true }),
            ("bridges resume c1", Order::Pause { bridge: "c1".to_owned(), pauses: false }),
            ("metrics --prometheus", Order::Metrics { prometheus: true }),
            (
                "explain --client c1 --publish a --publish b --subscribe c/# --qos 1 --retain",
                Order::Explain {
                    whom: Whom::Client(client_id),
                    acts: vec![
                        act("publish", "a", 1, true),
                        act("publish", "b", 1, true),
                        act("subscribe", "c/#", 1, true),
                    ],
                },
            ),
            (
                "explain --connect c.json",
                Order::Explain { whom: Whom::Connect("c.json".into()), acts: Vec::new() },
            ),
        ] {
            let gateway = Place::Socket("s".into());
            let request = Request { gateway, json: false, order };
            assert_eq!(
                parse(&format!("{line} --socket s")),
                Ok(Command::Operator(request)),
                "{line}"
            );
        }
    }

    #[test]
    fn recordings_are_made_and_replayed() {
        let record = Recording {
            gateway: Place::Config("c".into()),
            name: "acl".to_owned(),
            time: std::time::Duration::from_secs(60),
            out: "f".into(),
            secrets: true,
        };
        let line = "extension record acl --for 60s --out f --config c --secrets";
        assert_eq!(parse(line), Ok(Command::Record(record)));
        let replay = replay::Request {
            recording: "f".into(),
            component: Some("a.wasm".into()),
            config: None,
            json: true,
        };
        let line = "extension replay f --component a.wasm --json";
        assert_eq!(parse(line), Ok(Command::Replay(replay)));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("extension record acl --out f --socket s", "option --for is missing"),
            ("extension record acl --for long --out f --socket s", "--for \"long\""),
            ("extension record acl --for 1s --socket s", "option --out is missing"),
            ("extension replay --component c", "the recording is missing"),
            ("extension replay f", "--component FILE, --config FILE or both"),
            ("clients", "either --config FILE or --socket PATH"),
            ("clients --config c --socket s", "either --config FILE or --socket PATH"),
            ("extension reload --socket s", "the extension's name is missing"),
            ("extension reload a --share many --socket s", "--share \"many\" is not"),
            ("disconnect --socket s", "the client identifier is missing"),
            ("disconnect a --code 300 --socket s", "--code \"300\" is not"),
            ("explain --socket s", "either --client ID or --connect FILE"),
            ("explain --client a --socket s", "what is to be explained is missing"),
            ("ban --socket s", "followed by \"list\", \"add\" or \"lift\""),
            ("ban add --reason x --socket s", "--network, --identity, --client"),
            ("ban add --client c --for long --socket s", "--for \"long\""),
            ("bridges walk --socket s", "followed by nothing, \"pause\" or \"resume\""),
            ("bridges pause --socket s", "the bridge's name is missing"),
            ("metrics a --socket s", "\"a\" has no meaning here"),
            ("extension", "\"extension\" is followed by"),
            ("extension walk --socket s", "\"extension\" is followed by"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}

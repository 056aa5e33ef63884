#[cfg(feature = "compiler")]
mod authoring;
mod cert;
#[cfg(feature = "compiler")]
mod compile;
mod extension;
mod operator;
mod store;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

#[cfg(feature = "compiler")]
use crate::compiler;
use crate::extension_cli;
use crate::failure::Failure;
use crate::first_start::Plan;
use crate::store_cli::Request;
use crate::user::Password;

#[cfg(feature = "compiler")]
pub(crate) use authoring::is_component;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Run {
        config: PathBuf,
    },
    Check {
        config: PathBuf,
    },
    Init(Plan),
    AddUser {
        name: String,
        file: PathBuf,
        password: Password,
    },
    RemoveUser {
        name: String,
        file: PathBuf,
    },
    Cert(crate::cert_cli::Request),
    Store(Request),
    Extension(extension_cli::Request),
    #[cfg(feature = "compiler")]
    Compile {
        max_memory: u64,
    },
    Operator(crate::operator::Request),
    Record(crate::operator::record::Recording),
    Replay(crate::replay::Request),
    Version,
    Help,
}

/// `portcullis help`
pub(crate) fn help() -> String {
    format!("{RUNNING}\n{}\n{OPERATING}", extension::TOOLS)
}

const RUNNING: &str = "\
Portcullis, an MQTT edge gateway whose decisions are made by WebAssembly extensions.

  portcullis run --config FILE      run the gateway
  portcullis check --config FILE    report everything that is wrong with a configuration: 0 nothing, 1 something
  portcullis init --dir DIR [--extensions DIR] [--name NAME]...
                                    first start: private CA, server certificate for NAME (a DNS name or an IP
                                    address) besides localhost and the host name, a credential that is shown
                                    once, and a configuration; keeps what exists
  portcullis user add NAME --file FILE [--password-stdin]
                                    add a user to a users file, or change the password: the first line of
                                    standard input, or one that is made and shown once
  portcullis user remove NAME --file FILE
  portcullis cert ca|server|client|sign|renew|revoke|crl|list|show
                                    certificates of a private authority for servers and clients; more by
                                    `portcullis cert help`
  portcullis store inspect|verify|compact|export --config FILE | --dir DIR
                                    look into a store, check it, give space back, write it out; more by
                                    `portcullis store help`";

const OPERATING: &str = "\
  portcullis extension status [NAME] GATEWAY
                                    which version of each extension decides, what is tried, and what came of it
  portcullis extension reload NAME [--mode trial|shadow|canary] [--share PERCENT] GATEWAY
                                    load what has changed of an extension, and try it: for all clients (trial),
                                    only to compare (shadow), for some (canary)
  portcullis extension promote|abandon NAME GATEWAY
                                    what is tried takes over, or goes
  portcullis extension record NAME --for TIME --out FILE [--secrets] GATEWAY
                                    record what an extension is asked and says; passwords and tokens only with
                                    --secrets
  portcullis extension replay FILE [--component CANDIDATE] [--config FILE] [--json]
                                    ask a candidate the same: 0 it says the same, 1 it does not, and what differs
  portcullis explain --client ID ACT... GATEWAY
  portcullis explain --connect FILE [ACT...] GATEWAY
                                    why a client may do something or not; or one that would come as FILE
                                    describes (JSON). ACT is --publish TOPIC, --subscribe FILTER or --receive
                                    TOPIC, all with the same [--qos N] [--retain]
  portcullis clients [ID] [--from N] [--limit N] GATEWAY
                                    who has a session; or all about one
  portcullis disconnect ID [--code N] [--reason TEXT] GATEWAY
                                    send a client away, with 0x98 (Administrative action) or another code
  portcullis ban list GATEWAY
  portcullis ban add WHOM [--for TIME] [--reason TEXT] GATEWAY
  portcullis ban lift WHOM GATEWAY
                                    who is banned; ban somebody, for good unless TIME is named (gateway/ABUSE.md);
                                    take that back. WHOM is --network ADDRESS[/BITS], --identity NAME,
                                    --client ID, or several of them for who fits them all
  portcullis bridges GATEWAY        how each bridge is, and what waits for it
  portcullis bridges pause NAME GATEWAY
  portcullis bridges resume NAME GATEWAY
                                    have a bridge wait, or go on; what is for upstream waits on disk
  portcullis metrics [--prometheus] GATEWAY
                                    all counters
  portcullis version
  portcullis help

GATEWAY is --config FILE, the configuration of a gateway that runs, or --socket PATH, its admin socket; with
--json the answer is shown as it came (gateway/ADMIN.md).

Signals while it runs: SIGHUP loads what has changed of certificates and extensions, SIGUSR1 logs all counters,
SIGTERM and SIGINT stop it in order.";

impl Command {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut words = Words::sort(arguments)?;
        let command = match words.next().as_deref() {
            Some("run") => Self::Run { config: words.path("--config")? },
            Some("check") => Self::Check { config: words.path("--config")? },
            Some("init") => Self::Init(Plan {
                dir: words.path("--dir")?,
                extensions: words.option("--extensions").map(PathBuf::from),
                names: words.texts("--name")?,
            }),
            Some("user") => words.user()?,
            Some("cert") => Self::Cert(words.cert()?),
            Some("store") => Self::Store(words.store()?),
            #[cfg(feature = "compiler")]
            Some(compiler::VERB) => Self::Compile { max_memory: words.bytes()? },
            Some("extension") if words.is_about_running() => {
                Self::Operator(words.running_extension()?)
            }
            Some("extension") if words.verb_is("record") => Self::Record(words.record()?),
            Some("extension") if words.verb_is("replay") => Self::Replay(words.replay()?),
            Some("extension") => Self::Extension(words.extension()?),
            Some("explain") => Self::Operator(words.explain()?),
            Some("clients") => Self::Operator(words.clients()?),
            Some("disconnect") => Self::Operator(words.disconnect()?),
            Some("ban") => Self::Operator(words.ban()?),
            Some("bridges") => Self::Operator(words.bridges()?),
            Some("metrics") => Self::Operator(words.metrics()?),
            Some("version" | "--version" | "-V") => Self::Version,
            Some("help" | "--help" | "-h") => Self::Help,
            Some(other) => {
                return Err(usage(format!("\"{other}\" is not a command")));
            }
            None => return Err(usage("a command is missing".to_owned())),
        };
        words.finish()?;
        Ok(command)
    }
}

/// Writes text and a line end to standard output.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Failure::System { what: "write to standard output", error })
}

/// The arguments, told apart, as far as nobody has asked for them yet.
struct Words {
    plain: std::collections::VecDeque<String>,
    options: Vec<(String, OsString)>,
    flags: Vec<String>,
}

/// Options that have no value.
const FLAGS: [&str; 7] =
    ["--password-stdin", "--json", "--retain", "--prometheus", "--secrets", "--force", "--server"];

impl Words {
    fn sort(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut words = Self { plain: Default::default(), options: Vec::new(), flags: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument
                .into_string()
                .map_err(|bad| usage(format!("argument {bad:?} is not text")))?;
            if FLAGS.contains(&&*text) {
                words.flags.push(text);
            } else if let Some((name, value)) =
                text.split_once('=').filter(|(name, _)| name.starts_with("--"))
            {
                words.options.push((name.to_owned(), value.into()));
            } else if text.starts_with("--") && !matches!(&*text, "--help" | "--version") {
                let Some(value) = arguments.next() else {
                    return Err(usage(format!("option {text} needs a value")));
                };
                words.options.push((text, value));
            } else {
                words.plain.push_back(text);
            }
        }
        Ok(words)
    }

    fn next(&mut self) -> Option<String> {
        self.plain.pop_front()
    }

    fn option(&mut self, name: &str) -> Option<OsString> {
        let at = self.options.iter().position(|(known, _)| known == name)?;
        Some(self.options.remove(at).1)
    }

    fn path(&mut self, name: &str) -> Result<PathBuf, Failure> {
        let value = self.option(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from).ok_or_else(|| usage(format!("option {name} is missing")))
    }

    fn flag(&mut self, name: &str) -> bool {
        let before = self.flags.len();
        self.flags.retain(|known| known != name);
        self.flags.len() < before
    }

    #[cfg(feature = "compiler")]
    fn bytes(&mut self) -> Result<u64, Failure> {
        let bytes = self.next().and_then(|text| text.parse().ok());
        bytes.ok_or_else(|| usage("a number of bytes is missing".to_owned()))
    }

    /// Whether help is asked for; then nothing else counts.
    fn help(&mut self) -> bool {
        let asked = self.plain.iter().any(|word| word == "--help");
        if asked {
            (self.plain, self.options, self.flags) = Default::default();
        }
        asked
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let value = self.option(name).map(OsString::into_string).transpose();
        value.map_err(|bad| usage(format!("{name} {bad:?} is not text")))
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let mut texts = Vec::new();
        while let Some(value) = self.option(name) {
            let text = value.into_string();
            texts.push(text.map_err(|bad| usage(format!("{name} {bad:?} is not text")))?);
        }
        Ok(texts)
    }

    fn user(&mut self) -> Result<Command, Failure> {
        let verb = self.next();
        let name = self.next().ok_or_else(|| usage("the user's name is missing".to_owned()))?;
        let file = self.path("--file")?;
        match verb.as_deref() {
            Some("add") => {
                let password = if self.flag("--password-stdin") {
                    Password::FromStdin
                } else {
                    Password::Made
                };
                Ok(Command::AddUser { name, file, password })
            }
            Some("remove") => Ok(Command::RemoveUser { name, file }),
            _ => Err(usage("\"user\" is followed by \"add\" or \"remove\"".to_owned())),
        }
    }

    /// Whatever nobody asked for is a mistake.
    fn finish(self) -> Result<(), Failure> {
        let option = self.options.into_iter().next().map(|(name, _)| name);
        let flag = self.flags.into_iter().next();
        match self.plain.into_iter().next().or(option).or(flag) {
            Some(extra) => Err(usage(format!("\"{extra}\" has no meaning here"))),
            None => Ok(()),
        }
    }
}

fn usage(why: String) -> Failure {
    Failure::Usage(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(OsString::from)).map_err(|f| f.to_string())
    }

    #[test]
    fn commands_are_told_apart() {
        let config = PathBuf::from("g.toml");
        assert_eq!(parse("run --config g.toml"), Ok(Command::Run { config: config.clone() }));
        assert_eq!(parse("check --config=g.toml"), Ok(Command::Check { config }));
        assert_eq!(parse("--help"), Ok(Command::Help));
        assert_eq!(parse("-V"), Ok(Command::Version));
        let plan = Plan {
            dir: "d".into(),
            extensions: Some("e".into()),
            names: vec!["a".to_owned(), "b".to_owned()],
        };
        let init = "init --name a --dir d --extensions e --name b";
        assert_eq!(parse(init), Ok(Command::Init(plan)));
        let (name, file) = ("ann".to_owned(), PathBuf::from("u"));
        let add = Command::AddUser {
            name: name.clone(),
            file: file.clone(),
            password: Password::FromStdin,
        };
        assert_eq!(parse("user add ann --file u --password-stdin"), Ok(add));
        assert_eq!(parse("user remove ann --file u"), Ok(Command::RemoveUser { name, file }));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("", "a command is missing"),
            ("walk", "\"walk\" is not a command"),
            ("run", "option --config is missing"),
            ("run --config", "option --config needs a value"),
            ("run --config a --config b", "\"--config\" has no meaning here"),
            ("run --config a b", "\"b\" has no meaning here"),
            ("user", "the user's name is missing"),
            ("user drop ann --file u", "followed by \"add\" or \"remove\""),
            ("user remove ann --file u --password-stdin", "\"--password-stdin\" has no meaning"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}

//! Scripts: what clients send, and everything that they get.
//!
//! ```text
//! === [MQTT-3.12.4-1] PINGREQ is answered           a title names the statements that the script is about
//! only broker | only socket | only websocket | alone  where it runs; everywhere, beside others, unless told
//! with max-qos=1 may=nothing                        the broker alone, with other settings (`pure`)
//! a> PACKET           client a sends it; without a connection it opens one (`words`, `raw`)
//! a> offers chat,mqtt client a opens a WebSocket that offers these subprotocols
//! a> frame 81 'text'  client a sends a frame of WebSocket: its first byte, and its payload as bytes (`raw`)
//! a< PACKET           client a gets it next
//! a|b< PACKET         one of them gets it next, and the other nothing
//! a< closed           the server closes the connection
//! a< nothing          client a has got nothing more, and does not although everybody is served
//! drop a              its connection ends without a word
//! wait 2s             time passes
//! ```
//!
//! `%name` in what a client gets stands for any word and keeps it; everywhere after that it is this word.
//! What a script does not name must not happen. Text behind two spaces and `#` is a comment.

use std::path::Path;
use std::time::Duration;

/// What takes longer than this is played to the broker alone, which has a clock that can be turned.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Broker,
    Socket,
    WebSocket,
}

#[derive(Debug)]
pub(crate) struct Script {
    /// `v5` or `v3_1_1`.
    pub(crate) version: String,
    /// Its file in the folder of the version.
    pub(crate) file: String,
    line: usize,
    title: String,
    pub(crate) statements: Vec<String>,
    only: Option<Where>,
    /// It uses topics that others could not keep away from.
    pub(crate) alone: bool,
    /// Settings of the broker, `KEY=VALUE`.
    pub(crate) with: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) act: Act,
}

#[derive(Debug)]
pub(crate) enum Act {
    Send { who: String, what: String },
    Hear { who: String, what: String },
    Nothing,
    Drop { who: String },
    Wait(Duration),
}

impl Script {
    /// Where it is and what it is about.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}:{} {}", self.version, self.file, self.line, self.title)
    }

    pub(crate) fn runs(&self, stage: Where) -> bool {
        let waits = self.steps.iter().map(|step| match step.act {
            Act::Wait(time) => time,
            _ => Duration::ZERO,
        });
        let only = self.only.is_none_or(|only| {
            // What is for sockets is for those with WebSocket in them too.
            only == stage || (only == Where::Socket && stage == Where::WebSocket)
        });
        only && (stage == Where::Broker || waits.sum::<Duration>() <= PATIENCE)
    }

    fn add(&mut self, number: usize, line: &str) -> Result<(), String> {
        let text = line.split("  #").next().unwrap_or_default().trim();
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let what = rest.trim().to_owned();
        let act = match (first, rest) {
            ("" | "#", _) => return Ok(()),
            ("alone", _) => {
                self.alone = true;
                return Ok(());
            }
            ("only", "broker") => {
                self.only = Some(Where::Broker);
                return Ok(());
            }
            ("only", "socket") => {
                self.only = Some(Where::Socket);
                return Ok(());
            }
            ("only", "websocket") => {
                self.only = Some(Where::WebSocket);
                return Ok(());
            }
            ("with", _) => {
                self.only = Some(Where::Broker);
                self.with = what.split(' ').map(str::to_owned).collect();
                return Ok(());
            }
            ("drop", _) => Act::Drop { who: what },
            ("wait", _) => Act::Wait(duration(&what)?),
            (who, "nothing") if who.ends_with('<') => Act::Nothing,
            (who, _) => match (who.strip_suffix('>'), who.strip_suffix('<')) {
                (Some(who), _) => Act::Send { who: who.to_owned(), what },
                (_, Some(who)) => Act::Hear { who: who.to_owned(), what },
                _ => return Err(format!("{text:?} means nothing")),
            },
        };
        self.steps.push(Step { line: number, text: text.to_owned(), act });
        Ok(())
    }
}

/// All scripts, by version, file and line.
pub(crate) fn all(folder: &Path) -> Vec<Script> {
    let mut scripts = Vec::new();
    for version in ["v3_1_1", "v5"] {
        let entries = std::fs::read_dir(folder.join(version)).expect("scripts");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
        paths.sort();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a text");
            let read = read(version, &file, &text);
            scripts.extend(read.unwrap_or_else(|why| panic!("{version}/{file}:{why}")));
        }
    }
    scripts
}

fn read(version: &str, file: &str, text: &str) -> Result<Vec<Script>, String> {
    let mut scripts: Vec<Script> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(title) = line.strip_prefix("=== ") {
            let brackets = title.split('[').skip(1).filter_map(|part| part.split(']').next());
            scripts.push(Script {
                version: version.to_owned(),
                file: file.to_owned(),
                line: number,
                title: title.to_owned(),
                statements: brackets.map(str::to_owned).collect(),
                only: None,
                alone: false,
                with: Vec::new(),
                steps: Vec::new(),
            });
        } else if let Some(script) = scripts.last_mut() {
            script.add(number, line).map_err(|why| format!("{number}: {why}"))?;
        }
    }
    Ok(scripts)
}

fn duration(word: &str) -> Result<Duration, String> {
    let (number, unit) = match word.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (word.trim_end_matches('s'), 1000),
    };
    let number: u64 = number.parse().map_err(|_| format!("{word:?} is not a time"))?;
    Ok(Duration::from_millis(number * unit))
}

#[test]
fn a_file_holds_scripts_and_a_script_steps() {
    let text = "# about\n\n=== [MQTT-1.1.1-1] [MQTT-2.2.2-2] both\nonly broker\na> ping  # aside\na< pong\nwait 2s\n\
                === 3.1 none\na< nothing\ndrop a\nwait 9s";
    let scripts = read("v5", "x.txt", text).expect("scripts");
    assert_eq!(scripts[0].statements, ["MQTT-1.1.1-1", "MQTT-2.2.2-2"]);
    assert_eq!(scripts[0].name(), "v5/x.txt:3 [MQTT-1.1.1-1] [MQTT-2.2.2-2] both");
    assert_eq!(scripts[0].steps.len(), 3);
    assert!(
        matches!(&scripts[0].steps[0].act, Act::Send { who, what } if who == "a" && what == "ping")
    );
    assert!(scripts[0].runs(Where::Broker) && !scripts[0].runs(Where::Socket));
    assert!(scripts[1].runs(Where::Broker) && !scripts[1].runs(Where::Socket), "it takes too long");
    assert!(read("v5", "x.txt", "=== t\nwhat is this").is_err());
}

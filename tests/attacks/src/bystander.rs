//! The process that is the well-behaved client.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portcullis_attacks::{Doors, Ground, PASSWORD, Seen, WITNESS, Witness};
use serde_json::{Value, json};

/// The word that makes this program one.
pub(crate) const COMMAND: &str = "witness";

/// It is to be scheduled when it has something to measure. Without the right to that it runs like all others.
const NICENESS: &str = "-10";

/// How long its last messages may take.
const SLACK: Duration = Duration::from_secs(30);

/// It runs until it is asked what it has seen.
#[derive(Debug)]
pub(crate) struct Bystander {
    child: Child,
    first: mpsc::Receiver<()>,
    seen: JoinHandle<Vec<Seen>>,
}

impl Bystander {
    /// Starts it, and waits until its first message is back.
    pub(crate) fn call(ground: &Ground) -> Self {
        let mut command = Command::new("nice");
        command.args(["-n", NICENESS]).arg(own_program()).arg(COMMAND).args(ground.doors.words());
        command.arg(ground.site.ca()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the well-behaved client starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (tell, first) = mpsc::channel();
        let seen = thread::spawn(move || {
            let mut seen = Vec::new();
            for line in lines.map_while(Result::ok) {
                let Some(one) = read(&line) else { continue };
                if matches!(one, Seen::Message { .. }) {
                    // Only the first one is waited for.
                    let _ = tell.send(());
                }
                seen.push(one);
            }
            seen
        });
        let bystander = Self { child, first, seen };
        bystander.first.recv_timeout(SLACK).expect("the well-behaved client is served");
        bystander
    }

    /// All that it has seen.
    pub(crate) fn ask(mut self) -> Vec<Seen> {
        // The end of its input is the question.
        drop(self.child.stdin.take());
        wait_within(self.child, SLACK).expect("the well-behaved client ends");
        self.seen.join().expect("its words were read")
    }
}

/// What that process does: `DOORS... CA`.
pub(crate) fn act(words: &[&str]) -> Result<(), String> {
    let [doors @ .., ca] = words else { return Err("too few words".to_owned()) };
    let doors = Doors::read(doors).ok_or("the doors are not four ports")?;
    let (user, password) = (WITNESS.to_owned(), PASSWORD.to_owned());
    let witness = Witness { doors, ca: PathBuf::from(ca), user, password };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stop.store(true, Ordering::Relaxed);
        });
        let (tell, told) = mpsc::channel();
        scope.spawn(|| {
            let tell = tell;
            witness.watch(&stop, &tell);
        });
        told.into_iter().for_each(|seen| println!("{}", write(&seen)));
    });
    Ok(())
}

/// Moments of two processes are told apart by how long ago they are.
fn write(seen: &Seen) -> Value {
    let ago = |at: &Instant| u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
    let us = |took: &Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match seen {
        Seen::Message { at, took } => json!(["message", ago(at), us(took)]),
        Seen::Lost { at } => json!(["lost", ago(at)]),
        Seen::Failed { at, what } => json!(["failed", ago(at), what]),
        Seen::Newcomer { at, took } => json!(["newcomer", ago(at), us(took)]),
        Seen::TurnedAway { at, what } => json!(["turned away", ago(at), what]),
    }
}

fn read(line: &str) -> Option<Seen> {
    let words: Value = serde_json::from_str(line).ok()?;
    let at = Instant::now().checked_sub(Duration::from_micros(words[1].as_u64()?))?;
    let took = || words[2].as_u64().map(Duration::from_micros);
    let what = || words[2].as_str().map(str::to_owned);
    Some(match words[0].as_str()? {
        "message" => Seen::Message { at, took: took()? },
        "lost" => Seen::Lost { at },
        "failed" => Seen::Failed { at, what: what()? },
        "newcomer" => Seen::Newcomer { at, took: took()? },
        _ => Seen::TurnedAway { at, what: what()? },
    })
}

/// This program as it was started, even if another has been built since.
pub(crate) fn own_program() -> String {
    format!("/proc/{}/exe", std::process::id())
}

/// What a process prints until its end; `None`, and it is killed, if that does not come in time.
pub(crate) fn wait_within(mut child: Child, patience: Duration) -> Option<String> {
    let mut stdout = child.stdout.take();
    let said = thread::spawn(move || {
        let mut text = String::new();
        // What is no text is missed by whoever reads it.
        let _ = stdout.as_mut().map(|pipe| pipe.read_to_string(&mut text));
        text
    });
    let until = Instant::now() + patience;
    let ended = loop {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            break true;
        }
        if Instant::now() > until {
            // It may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            break false;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let said = said.join().unwrap_or_default();
    ended.then_some(said)
}

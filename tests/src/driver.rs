//! Other people's client libraries, each behind a small program that takes commands.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::PATIENCE;

/// A program that drives clients of one library. It takes a command per line and says an answer or an
/// event per line; all of them are JSON objects. It is killed when this value goes.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    commands: ChildStdin,
    said: Receiver<Value>,
    /// Said, and not yet asked for.
    kept: VecDeque<Value>,
    asked: u64,
}

impl Driver {
    /// Starts the program.
    pub fn start(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
                panic!(
                    "{name} does not start ({error}); `cargo xtask test` installs what is needed"
                )
            });
        let commands = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    // Nobody listens once the test has ended.
                    Ok(value) => drop(tell.send(value)),
                    Err(_) => eprintln!("{name}: {line}"),
                }
            }
        });
        Self { child, commands, said, kept: VecDeque::new(), asked: 0 }
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// If the program says that it cannot do it, or nothing in time.
    pub fn ask(&mut self, mut command: Map<String, Value>) -> Result<Value, String> {
        self.asked += 1;
        let number = self.asked;
        command.insert("n".to_owned(), number.into());
        let line = Value::Object(command);
        writeln!(self.commands, "{line}").map_err(|error| format!("the driver ended: {error}"))?;
        let answer = self
            .wait(PATIENCE, |said| said["n"] == number)
            .ok_or_else(|| format!("no answer to {line}"))?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer),
        }
    }

    /// The next event of this kind of a client, if it comes in time.
    pub fn event(&mut self, client: &str, kind: &str, patience: Duration) -> Option<Value> {
        self.wait(patience, |said| said["client"] == client && said["event"] == kind)
    }

    /// The events that have come and that nobody asked for; they are gone then.
    pub fn leftovers(&mut self) -> Vec<Value> {
        self.kept.extend(self.said.try_iter());
        self.kept.drain(..).collect()
    }

    fn wait(&mut self, patience: Duration, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        if let Some(at) = self.kept.iter().position(&fits) {
            return self.kept.remove(at);
        }
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let said = self.said.recv_timeout(left).ok()?;
            if fits(&said) {
                return Some(said);
            }
            self.kept.push_back(said);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

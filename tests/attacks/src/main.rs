//! `attacks run [--seconds N] [--only NAME,NAME...]` attacks a gateway in each way and prints what a well-behaved client noticed.
//!
//! The client and the attackers are processes of their own, this program again: the attackers are nice to all others, so that
//! what is measured is the gateway and not the generator of the load.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command talks to the terminal, and ends where it cannot go on"
)]

mod assailant;
mod bystander;
mod phase;
mod report;
mod trial;

use std::process::ExitCode;
use std::time::Duration;

use portcullis_attacks::{Attack, Ground};

use report::Report;
use trial::Trial;

const USAGE: &str = "usage: attacks list | attacks run [--seconds N] [--only NAME,NAME...]";

/// Seconds of an attack.
const SECONDS: u64 = 8;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["list"] => {
            Attack::ALL.iter().for_each(|attack| println!("{:15} {}", attack.name, attack.does));
            Ok(())
        }
        ["run", ref options @ ..] => run(options),
        [assailant::COMMAND, ref rest @ ..] => assailant::act(rest),
        [bystander::COMMAND, ref rest @ ..] => bystander::act(rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &[&str]) -> Result<(), String> {
    let (mut seconds, mut attacks) = (SECONDS, Attack::ALL.iter().collect::<Vec<_>>());
    for pair in options.chunks(2) {
        match pair {
            ["--seconds", number] => {
                let read = number.parse().ok().filter(|seconds| (1..=60).contains(seconds));
                seconds = read.ok_or_else(|| format!("--seconds {number:?} is not 1 to 60"))?;
            }
            ["--only", names] => {
                let find = |name| {
                    Attack::named(name)
                        .ok_or_else(|| format!("no attack is called {name:?}; `attacks list`"))
                };
                attacks = names.split(',').map(find).collect::<Result<_, _>>()?;
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    let ground = Ground::new();
    let mut report = Report::default();
    for attack in attacks {
        // A gateway that dies is a result too.
        let trial =
            std::panic::catch_unwind(|| Trial::hold(&ground, attack, Duration::from_secs(seconds)));
        match trial {
            Ok(trial) => report.add(attack, &trial),
            Err(_) => report.fail(attack),
        }
    }
    println!("\n{report}");
    Ok(())
}

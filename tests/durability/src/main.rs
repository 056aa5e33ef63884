//! `durability kill [--cycles N] [--seed S]`, `durability power-cut [--points N] [--seed S] [--seconds N] [--gateway-every N]
//! [--deaf PART]`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the terminal")]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use portcullis_durability::{How, Kills, Recording};

const USAGE: &str = "\
usage: durability kill [--cycles N] [--seed N]
       durability power-cut [--points N] [--seed N] [--seconds N] [--gateway-every N] [--deaf PART-OF-PATH]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let arguments = words.split_first().ok_or_else(|| "no command".to_owned());
    let done = arguments.and_then(|(command, rest)| run(command, &Options::parse(rest)?));
    match done {
        Ok(code) => code,
        Err(why) => {
            eprintln!("error: {why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &str, options: &Options) -> Result<ExitCode, String> {
    let seed = options.seed;
    println!("seed {seed}");
    let faultless = match command {
        "kill" => {
            let report = Kills { cycles: options.cycles, seed }.run();
            println!("{report}");
            report.faults.is_empty()
        }
        "power-cut" => {
            let recording = Recording::make(seed, Duration::from_secs(options.seconds));
            let report = recording.cut(options.points, &options.how);
            println!("{report}");
            report.faults.is_empty()
        }
        other => return Err(format!("`{other}` is no command")),
    };
    Ok(if faultless { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Options {
    cycles: u64,
    points: usize,
    seconds: u64,
    seed: u64,
    how: How,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
        let how = How { gateway_every: 100, ..How::default() };
        let mut options = Self { cycles: 500, points: 2000, seconds: 4, seed: now, how };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{pair:?} has no value")) };
            let number =
                || value.parse().map_err(|_| format!("{name} {value:?} is no whole number"));
            match name.as_str() {
                "--cycles" => options.cycles = number()?,
                "--points" => options.points = usize::try_from(number()?).unwrap_or(usize::MAX),
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--gateway-every" => {
                    options.how.gateway_every = usize::try_from(number()?).unwrap_or(usize::MAX);
                }
                "--deaf" => options.how.deaf.push(value.clone()),
                other => return Err(format!("there is no option {other:?}")),
            }
        }
        Ok(options)
    }
}

//! Runs seeds: `simulate [--seeds N] [--seed N] [--steps N]`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the terminal")]

use std::panic;
use std::process::ExitCode;
use std::time::Instant;

const SEEDS: u64 = 2000;
const STEPS: u32 = 400;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (seeds, steps) = match arguments(&words) {
        Ok(found) => found,
        Err(why) => {
            eprintln!("error: {why}\nusage: simulate [--seeds N] [--seed N] [--steps N]");
            return ExitCode::from(2);
        }
    };
    let begin = Instant::now();
    let (mut runs, mut delivered, mut published) = (0_u64, 0, 0);
    for seed in seeds {
        let Ok(outcome) = panic::catch_unwind(|| portcullis_simulation::run(seed, steps)) else {
            return ExitCode::FAILURE;
        };
        runs += 1;
        delivered += outcome.delivered;
        published += outcome.published;
    }
    println!(
        "{runs} seeds of {steps} steps: {published} messages published, {delivered} delivered, {} s",
        begin.elapsed().as_secs()
    );
    ExitCode::SUCCESS
}

type Seeds = std::ops::RangeInclusive<u64>;

fn arguments(words: &[String]) -> Result<(Seeds, u32), String> {
    let (mut seeds, mut steps) = (1..=SEEDS, STEPS);
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(format!("{pair:?} has no value")) };
        let number: u64 =
            value.parse().map_err(|_| format!("{name} {value:?} is no whole number"))?;
        match name.as_str() {
            "--seeds" => seeds = 1..=number,
            "--seed" => seeds = number..=number,
            "--steps" => {
                steps =
                    u32::try_from(number).map_err(|_| format!("{number} steps are too many"))?;
            }
            other => return Err(format!("there is no option {other:?}")),
        }
    }
    Ok((seeds, steps))
}

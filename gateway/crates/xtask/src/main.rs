//! The project's own commands: `cargo xtask` lists them.
//!
//! Each command brings what it needs on a fresh machine and says what it installs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the terminal")]

mod attacks;
mod bench;
mod ci;
mod command;
mod component;
mod deb;
mod dist;
mod durability;
mod emulated;
mod emulator;
mod examples;
mod extensions;
mod failure;
mod footprint;
mod fuzz;
mod inputs;
mod libraries;
mod npm;
mod options;
mod outage;
mod packages;
mod pages;
mod root;
mod run;
mod sim;
mod swap;
mod test;
mod toolchain;
mod torture;
mod venv;
mod wasm_toolchain;

use std::env;
use std::process::ExitCode;

use failure::Failure;
use root::Root;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [--release] [ARGS...]       start the gateway; the first start sets everything up in .portcullis/
  extensions                      build the shipped extensions to target/extensions/*.wasm
  examples [LANGUAGE]... [--measure]
                                  build the example extension in these languages, or all, to target/languages/*.wasm, each
                                  with its toolchain; with --measure tell what each component costs the gateway
  test [-- ARGS...]               everything that is tested; ARGS go to `cargo test`
  test --target TARGET            the core of the black-box tests, on the gateway as it is shipped for a target, under an
                                  emulator of its processor
  ci [--without-advisories]       what a change must pass: format, lints, tests, documentation, dependencies;
                                  the advisories are fetched from the RustSec database on GitHub
  dist [--target TARGET] [--runtime-only] [--key FILE]
                                  what is shipped for a target, to target/dist: the gateway, with --runtime-only without a
                                  compiler in it, extensions, list of parts (CycloneDX), checksums, signed if there is a key;
                                  fails if the program is over its budget
  deb [--target TARGET | --binary PATH] [--host-binary PATH] [--code-key FILE] [--version V] [--stage DIR] [--out DIR]
                                  a Debian package in target/deb of the gateway as it is shipped for this machine or for a
                                  target, or of another one, with --code-key of one that has no compiler (portcullis-runtime),
                                  with the code of the shipped extensions, signed; a gateway that runs here tells the help and
                                  compiles, --host-binary or one that is built; with --stage only its tree of files
  deb-check [--binary PATH]       install, upgrade with full queues, remove, install again and purge the package, in a
                                  file system of its own over this one; needs root
  footprint [--full PATH] [--runtime PATH] [--connections N]
                                  size, memory, time to start and wake-ups of the gateway as it is shipped for this machine, and
                                  of the one without a compiler, each with where it goes; fails if one is over its budget
  sim [--seeds N] [--seed N] [--steps N]
                                  the broker in a simulated world, under the seeds 1 to N (2000) or one of them
  kill [--cycles N] [--seed N]    kill -9 under load N times (500) on one store: what was promised must be there
  power-cut [--points N] [--seed N] [--seconds N] [--gateway-every N] [--deaf PART]
                                  record N s (4) of load, cut the power at N points (2000), at syncs and between, and
                                  open what is left, at every N-th (100) with a gateway and its clients; with --deaf as
                                  if files with PART in their path were never synced
  swap [--clients N] [--rate N] [--swaps N]
                                  1000 clients send 5000 messages a second while an extension is replaced 50 times, by
                                  good components and bad ones: nothing is lost, nobody is dropped
  torture [--cuts N] [--devices N] [--seed N] [--qos 1|2] [--bridge portcullis|mosquitto|both]
                                  100 devices publish while both ends of a bridge are killed, and the link between them is reset,
                                  throttled, swallowed, 200 times: what was acknowledged must arrive, in order; the same with
                                  Mosquitto as the bridge, for comparison
  attacks [--gateway PATH] [--seconds N] [--only NAME,NAME...]
                                  attacks a gateway, the one as it is released or another, in each known way for N s (8), and
                                  tabulates latency and losses of a well-behaved client, memory and what the gateway answered
  outage [--gateway PATH] [--messages N] [--drain-rate N] [--urgent N]
                                  a bridge whose upstream is away while 1,000,000 messages are published; then they are drained at
                                  5000 a second beside 50 urgent ones: rate, latency, losses, order, memory and disk
  fuzz [TARGET] [--seconds N]     fuzz codec, session and broker, each target for N seconds (60)
  bench                           criterion benchmarks of the crates
  bench --versus-mosquitto --mqload PATH [--repeats N] [--seconds N]
                                  the same load on Mosquitto and on the gateway, in turns
  bench --connections --mqload PATH [--gateway PATH] [--count N] [--seconds N]
                                  ways in per second and memory of 5000 idle connections over TCP, TLS and QUIC, and messages
                                  over QUIC, on the gateway, the one as it is released or another, and on Mosquitto
  bench --asked --mqload PATH [--gateway PATH] [--repeats N] [--seconds N] [--only CASE]
                                  the same load with rules, with a guest that is asked about each publish, and with one whose
                                  verdicts are remembered, in turns
  bench --offline --mqload PATH [--count N] [--repeats N] [--rate N] [--group-commit-delay TIME]
                                  queues for absent clients filled and drained, in turns on the gateway, which syncs before it
                                  acknowledges, and on a Mosquitto that saves each second: rates, latency, memory, bytes written
  bench --rounds N --mqload PATH [--count N]
                                  a queue of 100,000 filled and drained N times on one store: space and memory are given back";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(words: &[&str]) -> Result<(), Failure> {
    let root = Root::find();
    match words {
        ["run", rest @ ..] => run::run(&root, rest),
        ["extensions"] => extensions::build(&root).map(drop),
        ["examples", rest @ ..] => examples::run(&root, rest),
        ["test"] => test::run(&root, &[]),
        ["test", "--target", target] => emulated::run(&root, target),
        ["test", "--", rest @ ..] => test::run(&root, rest),
        ["ci"] => ci::run(&root, true),
        ["ci", "--without-advisories"] => ci::run(&root, false),
        ["dist", rest @ ..] => dist::run(&root, rest),
        ["deb", rest @ ..] => deb::run(&root, rest),
        ["deb-check", rest @ ..] => deb::check(&root, rest),
        ["footprint", rest @ ..] => footprint::run(&root, rest),
        ["sim", rest @ ..] => sim::run(&root, rest),
        [command @ ("kill" | "power-cut"), rest @ ..] => durability::run(&root, command, rest),
        ["swap", rest @ ..] => swap::run(&root, rest),
        ["torture", rest @ ..] => torture::run(&root, rest),
        ["attacks", rest @ ..] => attacks::run(&root, rest),
        ["outage", rest @ ..] => outage::run(&root, rest),
        ["fuzz", rest @ ..] => fuzz::run(&root, rest),
        ["bench", rest @ ..] => bench::run(&root, rest),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(Failure::Usage(format!("`{}` is no command\n\n{USAGE}", other.join(" ")))),
    }
}

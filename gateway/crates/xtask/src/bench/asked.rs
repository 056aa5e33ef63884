//! What it costs to ask an extension about each publish: the same load on gateways whose rules allow it, whose
//! guest is asked each time, about several publishes in one call or singly, and whose guest lets its verdicts be remembered. The runs
//! alternate, each round begins with another gateway, and each begins with new processes: how one process happens to lie in memory
//! and on the processors stays with it.

use std::path::PathBuf;
use std::process::Command;

use super::brokers::{Broker, Built, PASSWORD, Policy, Transport, USER};
use super::report::{Report, Sample};
use crate::command::output;
use crate::failure::Failure;
use crate::options::Options;
use crate::run::build_gateway;
use crate::{extensions, root::Root};

pub(super) const USAGE: &str = "usage: cargo xtask bench --asked --mqload PATH [--gateway PATH] [--repeats N] [--seconds N] \
     [--only CASE]";

const NATIVE: &str = "native";

/// The gateways that are compared.
const POLICIES: [(&str, Policy); 4] = [
    (NATIVE, Policy::Rules { before: 0 }),
    ("asked", Policy::Asked { remember_ms: 0, singly: false }),
    ("asked-singly", Policy::Asked { remember_ms: 0, singly: true }),
    ("remembered", Policy::Asked { remember_ms: 1000, singly: false }),
];

/// Pairs of publisher and subscriber, what carries them, and QoS.
type Case = (&'static str, Transport, &'static str);

/// What is measured where nothing is chosen.
const CASES: [Case; 6] = [
    ("1", Transport::Tcp, "0"),
    ("1", Transport::Tcp, "1"),
    ("1", Transport::Tcp, "2"),
    ("1", Transport::Tls, "1"),
    ("10", Transport::Tcp, "0"),
    ("10", Transport::Tcp, "1"),
];

/// Runs each case on each gateway in turns, and prints medians and their ratios to the native ones.
pub(super) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let known = ["--mqload", "--gateway", "--repeats", "--seconds", "--only"];
    let options = Options::parse(words, &known, USAGE)?;
    let mqload = options.mqload()?;
    let repeats = options.number("--repeats")?.unwrap_or(5);
    let seconds = options.number("--seconds")?.unwrap_or(3);
    let cases = chosen(options.text("--only"))?;
    let components = extensions::build(root)?;
    let program = match options.text("--gateway") {
        Some(path) => PathBuf::from(path),
        None => build_gateway(root, true)?,
    };
    let built = Built { root, program: &program, components: &components };
    let mut report = Report::default();
    for case in cases {
        for round in 0..repeats {
            let mut policies = POLICIES;
            policies.rotate_left(round as usize % POLICIES.len());
            for (name, policy) in policies {
                let gateway = Broker::gateway_with(name, built, policy, None)?;
                let sample = measure(&mqload, &gateway, case, seconds)?;
                println!("{} {name}: {sample}", title(case));
                report.add(title(case), name, sample);
            }
        }
    }
    for (name, _) in POLICIES.iter().filter(|(name, _)| *name != NATIVE) {
        print!("{}", report.table(name, NATIVE));
    }
    Ok(())
}

/// What is called so, or all of them.
fn chosen(only: Option<&str>) -> Result<Vec<Case>, Failure> {
    let Some(only) = only else { return Ok(CASES.to_vec()) };
    let cases: Vec<Case> = CASES.into_iter().filter(|case| title(*case) == only).collect();
    match cases.is_empty() {
        false => Ok(cases),
        true => Err(Failure::Usage(format!(
            "--only is \"{only}\"; the cases are \"{}\"",
            CASES.map(title).join("\", \"")
        ))),
    }
}

fn title((pairs, transport, qos): Case) -> String {
    format!("{pairs}->{pairs} {transport} QoS {qos}")
}

fn measure(
    mqload: &PathBuf,
    gateway: &Broker,
    (pairs, transport, qos): Case,
    seconds: u32,
) -> Result<Sample, Failure> {
    let mut command = Command::new(mqload);
    command.args(["p2p", "--pubs", pairs, "--size", "64", "--qos", qos, "--warmup", "1"]);
    command.args(["--secs", &seconds.to_string()]);
    command.args(["--pid", &gateway.pid().to_string(), "--url", &gateway.url(transport)]);
    command.args(["--username", USER, "--password", PASSWORD]);
    if transport == Transport::Tls {
        command.arg("--ca").arg(gateway.authority());
    }
    Sample::from_output(&output(&mut command)?)
}

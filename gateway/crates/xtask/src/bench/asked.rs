//! What it costs to ask an extension about each publish: the same load on gateways whose rules allow it, whose
//! guest is asked each time, about several publishes in one call or singly, and whose guest lets its verdicts be remembered. The runs
//! alternate.

use std::path::PathBuf;
use std::process::Command;

use super::brokers::{Broker, Built, PASSWORD, Policy, Transport, USER};
use super::report::{Report, Sample};
use crate::command::output;
use crate::failure::Failure;
use crate::options::Options;
use crate::run::build_gateway;
use crate::{extensions, root::Root};

pub(super) const USAGE: &str =
    "usage: cargo xtask bench --asked --mqload PATH [--gateway PATH] [--repeats N] [--seconds N]";

const NATIVE: &str = "native";

/// The gateways that are compared.
const POLICIES: [(&str, Policy); 4] = [
    (NATIVE, Policy::Rules { before: 0 }),
    ("asked", Policy::Asked { remember_ms: 0, singly: false }),
    ("asked-singly", Policy::Asked { remember_ms: 0, singly: true }),
    ("remembered", Policy::Asked { remember_ms: 1000, singly: false }),
];

/// Pairs of publisher and subscriber, what carries them, and QoS.
const CASES: [(&str, Transport, &str); 6] = [
    ("1", Transport::Tcp, "0"),
    ("1", Transport::Tcp, "1"),
    ("1", Transport::Tcp, "2"),
    ("1", Transport::Tls, "1"),
    ("10", Transport::Tcp, "0"),
    ("10", Transport::Tcp, "1"),
];

/// Runs each case on each gateway in turns, and prints medians and their ratios to the native ones.
pub(super) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options =
        Options::parse(words, &["--mqload", "--gateway", "--repeats", "--seconds"], USAGE)?;
    let mqload = options.mqload()?;
    let repeats = options.number("--repeats")?.unwrap_or(5);
    let seconds = options.number("--seconds")?.unwrap_or(3);
    let components = extensions::build(root)?;
    let program = match options.text("--gateway") {
        Some(path) => PathBuf::from(path),
        None => build_gateway(root, true)?,
    };
    let built = Built { root, program: &program, components: &components };
    let start = |(name, policy)| Broker::gateway_with(name, built, policy, None);
    let gateways: Vec<Broker> = POLICIES.into_iter().map(start).collect::<Result<_, _>>()?;
    let mut report = Report::default();
    for (pairs, transport, qos) in CASES {
        let case = format!("{pairs}->{pairs} {transport} QoS {qos}");
        for _ in 0..repeats {
            for gateway in &gateways {
                let sample = measure(&mqload, gateway, (pairs, transport, qos), seconds)?;
                println!("{case} {}: {sample}", gateway.name());
                report.add(case.clone(), gateway.name(), sample);
            }
        }
    }
    for (name, _) in POLICIES.iter().filter(|(name, _)| *name != NATIVE) {
        print!("{}", report.table(name, NATIVE));
    }
    Ok(())
}

fn measure(
    mqload: &PathBuf,
    gateway: &Broker,
    (pairs, transport, qos): (&str, Transport, &str),
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

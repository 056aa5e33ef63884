//! The same loads on Mosquitto and on the gateway: small messages from one to one, from many to one and from
//! one to many.
//!
//! The runs alternate between the brokers, so that what else the machine does falls on both. The gateway
//! authenticates by password and checks rules for each message; Mosquitto checks nothing.

use std::path::PathBuf;
use std::process::Command;

use super::brokers::{Broker, Keeps, PASSWORD, Transport, USER};
use super::report::{Report, Sample};
use crate::command::output;
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::run::build_gateway;
use crate::{extensions, root::Root};

pub(super) const USAGE: &str = "usage: cargo xtask bench --versus-mosquitto --mqload PATH [--repeats N] [--seconds N] [--only CASE]";

/// Who sends to whom.
#[derive(Debug, Clone, Copy)]
enum Shape {
    OneToOne,
    /// 100 publishers, each with its topic, and one subscriber for all.
    ManyToOne,
    /// One publisher and 100 subscribers.
    OneToMany,
}

impl Shape {
    const ALL: [Self; 3] = [Self::OneToOne, Self::ManyToOne, Self::OneToMany];

    const fn name(self) -> &'static str {
        match self {
            Self::OneToOne => "1->1",
            Self::ManyToOne => "100->1",
            Self::OneToMany => "1->100",
        }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::OneToOne => &["p2p", "--pubs", "1"],
            Self::ManyToOne => &["fanin", "--pubs", "100"],
            Self::OneToMany => &["fanout", "--subs", "100"],
        }
    }
}

/// What to run, and how often.
#[derive(Debug)]
struct Plan<'a> {
    /// The load generator.
    mqload: PathBuf,
    /// Runs of each case on each broker.
    repeats: u32,
    /// Measured seconds of a run.
    seconds: u32,
    /// What the names of the cases to run begin with, as in `1->100 tls`.
    only: &'a str,
}

impl<'a> Plan<'a> {
    /// Reads the words after `--versus-mosquitto`.
    fn parse(words: &[&'a str]) -> Result<Self, Failure> {
        let names = ["--mqload", "--repeats", "--seconds", "--only"];
        let options = Options::parse(words, &names, USAGE)?;
        Ok(Self {
            mqload: options.mqload()?,
            repeats: options.number("--repeats")?.unwrap_or(3),
            seconds: options.number("--seconds")?.unwrap_or(5),
            only: options.text("--only").unwrap_or_default(),
        })
    }
}

/// Starts both brokers, runs every case on both in turns, and prints the ratios of the medians.
pub(super) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let plan = Plan::parse(words)?;
    packages::ensure(&[Package { name: "mosquitto", brings: "mosquitto" }], "the comparison")?;
    let components = extensions::build(root)?;
    let program = build_gateway(root, true)?;
    let gateway = Broker::gateway(root, &program, &components, None)?;
    let mosquitto = Broker::mosquitto(root, gateway.authority(), Keeps::Nothing)?;
    let mut report = Report::default();
    for shape in Shape::ALL {
        for transport in [Transport::Tcp, Transport::Tls] {
            for qos in ["0", "1", "2"] {
                let case = format!("{} {transport} QoS {qos}", shape.name());
                if !case.starts_with(plan.only) {
                    continue;
                }
                for _ in 0..plan.repeats {
                    for broker in [&mosquitto, &gateway] {
                        let sample = measure(&plan, broker, shape, transport, qos)?;
                        println!("{case} {}: {sample}", broker.name());
                        report.add(case.clone(), broker.name(), sample);
                    }
                }
            }
        }
    }
    print!("{}", report.table(gateway.name(), mosquitto.name()));
    Ok(())
}

fn measure(
    plan: &Plan<'_>,
    broker: &Broker,
    shape: Shape,
    transport: Transport,
    qos: &str,
) -> Result<Sample, Failure> {
    let mut mqload = Command::new(&plan.mqload);
    mqload.args(shape.arguments()).args(["--size", "64", "--qos", qos, "--warmup", "1"]);
    mqload.args(["--secs", &plan.seconds.to_string()]);
    mqload.args(["--pid", &broker.pid().to_string(), "--url", &broker.url(transport)]);
    mqload.args(["--username", USER, "--password", PASSWORD]);
    if transport == Transport::Tls {
        mqload.arg("--ca").arg(broker.authority());
    }
    Sample::from_output(&output(&mut mqload)?)
}

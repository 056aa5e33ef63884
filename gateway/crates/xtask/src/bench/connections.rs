//! What connections cost: ways in per second, memory of those that are idle, and messages over QUIC. Mosquitto is
//! measured beside the gateway where it has the transport.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::brokers::{Broker, Keeps, PASSWORD, Transport, USER};
use super::report::Sample;
use crate::command::output;
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::{extensions, root::Root, run::build_gateway};

pub(super) const USAGE: &str = "usage: cargo xtask bench --connections --mqload PATH [--gateway PATH] [--count N] [--seconds N]";

/// Connections that are idle at a time.
const COUNT: u32 = 5000;

/// Measured seconds of each rate.
const SECONDS: u32 = 8;

/// What is measured with.
struct Tools<'a> {
    root: &'a Root,
    mqload: PathBuf,
    gateway: PathBuf,
    components: PathBuf,
    count: u32,
    seconds: u32,
}

/// Measures each transport on both brokers, each time on one that was just started, and prints a table.
pub(super) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let names = ["--mqload", "--gateway", "--count", "--seconds"];
    let options = Options::parse(words, &names, USAGE)?;
    packages::ensure(&[Package { name: "mosquitto", brings: "mosquitto" }], "the comparison")?;
    let components = extensions::build(root)?;
    let gateway = match options.text("--gateway") {
        Some(path) => PathBuf::from(path),
        None => build_gateway(root, true)?,
    };
    let tools = Tools {
        root,
        mqload: options.mqload()?,
        gateway,
        components,
        count: options.number("--count")?.unwrap_or(COUNT),
        seconds: options.number("--seconds")?.unwrap_or(SECONDS),
    };
    let mut table = "| | gateway | Mosquitto |\n|---|---|---|\n".to_owned();
    let mut row = |what: String, measure: &dyn Fn(&Broker) -> Result<String, Failure>, on| {
        let [ours, theirs] = tools.on_both(on, measure)?;
        println!("{what}: {ours}; Mosquitto: {theirs}");
        let _ = writeln!(table, "| {what} | {ours} | {theirs} |");
        Ok::<(), Failure>(())
    };
    for transport in Transport::ALL {
        let what = format!("{transport}: connect, CONNACK, DISCONNECT; CPU of each");
        row(what, &|broker| tools.ways_in(broker, transport), transport)?;
    }
    for transport in Transport::ALL {
        let what = format!("{transport}: memory of a connection, {} idle", tools.count);
        row(what, &|broker| tools.idle(broker, transport), transport)?;
    }
    for qos in ["0", "1"] {
        let what = format!("quic: 1->1, 64 bytes, QoS {qos}");
        row(what, &|broker| tools.messages(broker, qos), Transport::Quic)?;
    }
    print!("\n{table}");
    Ok(())
}

impl Tools<'_> {
    /// On the gateway and on Mosquitto, one after the other.
    fn on_both(
        &self,
        transport: Transport,
        measure: &dyn Fn(&Broker) -> Result<String, Failure>,
    ) -> Result<[String; 2], Failure> {
        let gateway = Broker::gateway(self.root, &self.gateway, &self.components, None)?;
        let ours = measure(&gateway)?;
        let authority = gateway.authority().to_path_buf();
        drop(gateway);
        let mosquitto = Broker::mosquitto(self.root, &authority, Keeps::Nothing)?;
        let theirs = match mosquitto.speaks(transport) {
            true => measure(&mosquitto)?,
            false => "-".to_owned(),
        };
        Ok([ours, theirs])
    }

    fn ways_in(&self, broker: &Broker, transport: Transport) -> Result<String, Failure> {
        let mut command = self.mqload("connect-storm", broker, transport);
        command.args(["--secs", &self.seconds.to_string()]);
        let json = last_line(&mut command)?;
        let [rate, cpu, p99] = ["/connects_per_s", "/broker/cpu_us_per_msg", "/lat_us/p99"]
            .map(|pointer| number(&json, pointer));
        Ok(format!("{:.0}/s, {:.0} us CPU, p99 {:.1} ms", rate?, cpu?, p99? / 1e3))
    }

    fn idle(&self, broker: &Broker, transport: Transport) -> Result<String, Failure> {
        let mut command = self.mqload("conns", broker, transport);
        // Memory is measured, not how many come at a time.
        command.args(["--count", &self.count.to_string(), "--concurrency", "16"]);
        let json = last_line(&mut command)?;
        Ok(format!("{:.1} kB", number(&json, "/bytes_per_conn")? / 1e3))
    }

    fn messages(&self, broker: &Broker, qos: &str) -> Result<String, Failure> {
        let mut command = self.mqload("p2p", broker, Transport::Quic);
        command.args(["--pubs", "1", "--size", "64", "--qos", qos, "--warmup", "1"]);
        command.args(["--secs", &self.seconds.to_string()]);
        Ok(Sample::from_output(&output(&mut command)?)?.to_string())
    }

    fn mqload(&self, what: &str, broker: &Broker, transport: Transport) -> Command {
        let mut command = Command::new(&self.mqload);
        command.args([what, "--pid", &broker.pid().to_string(), "--url", &broker.url(transport)]);
        command.args(["--username", USER, "--password", PASSWORD]);
        if transport != Transport::Tcp {
            command.arg("--ca").arg::<&Path>(broker.authority());
        }
        command
    }
}

fn last_line(command: &mut Command) -> Result<Value, Failure> {
    let text = output(command)?;
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| {
        Failure::Other(format!("the last line of mqload is no JSON ({error}): {line}"))
    })
}

fn number(json: &Value, pointer: &str) -> Result<f64, Failure> {
    let found = json.pointer(pointer).and_then(Value::as_f64);
    found.ok_or_else(|| Failure::Other(format!("mqload's report has no number {pointer}: {json}")))
}

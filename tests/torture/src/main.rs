//! `torture [--cuts N] [--devices N] [--seed N] [--qos 1|2] [--bridge portcullis|mosquitto|both]` tortures bridges and prints what arrived.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the terminal")]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use mqtt::QoS;
use portcullis_torture::{Bridge, Report, Torture};

const USAGE: &str = "usage: torture [--cuts N] [--devices N] [--seed N] [--qos 1|2] [--bridge portcullis|mosquitto|both]";

/// How often a device publishes.
const INTERVAL: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Options::parse(&words) {
        Ok(options) => options.run(),
        Err(why) => {
            eprintln!("error: {why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    cuts: u64,
    devices: usize,
    seed: u64,
    qos: QoS,
    bridges: Vec<Bridge>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
        let both = vec![Bridge::Portcullis, Bridge::Mosquitto];
        let mut options =
            Self { cuts: 200, devices: 100, seed: now, qos: QoS::AtLeastOnce, bridges: both };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{pair:?} has no value")) };
            let number =
                || value.parse().map_err(|_| format!("{name} {value:?} is no whole number"));
            match (name.as_str(), value.as_str()) {
                ("--cuts", _) => options.cuts = number()?,
                ("--devices", _) => {
                    options.devices = usize::try_from(number()?).unwrap_or(usize::MAX);
                }
                ("--seed", _) => options.seed = number()?,
                ("--qos", "1") => options.qos = QoS::AtLeastOnce,
                ("--qos", "2") => options.qos = QoS::ExactlyOnce,
                ("--bridge", "both") => {}
                ("--bridge", "portcullis") => options.bridges = vec![Bridge::Portcullis],
                ("--bridge", "mosquitto") => options.bridges = vec![Bridge::Mosquitto],
                _ => return Err(format!("{name} {value:?} is no option")),
            }
        }
        Ok(options)
    }

    /// Fails where the gateway has lost something. What Mosquitto loses is told.
    fn run(&self) -> ExitCode {
        let (mut rows, mut code) = (Vec::new(), ExitCode::SUCCESS);
        for bridge in &self.bridges {
            let (cuts, devices, seed, qos) = (self.cuts, self.devices, self.seed, self.qos);
            let torture = Torture { cuts, devices, qos, interval: INTERVAL, seed, bridge: *bridge };
            let report = torture.run();
            println!("{report}\n");
            if *bridge == Bridge::Portcullis && !report.is_faultless() {
                code = ExitCode::FAILURE;
                println!(
                    "again: cargo xtask torture --cuts {cuts} --devices {devices} --seed {seed} --qos {}",
                    qos.as_u8()
                );
            }
            rows.push(report.row());
        }
        println!("{}\n{}", Report::HEAD, rows.join("\n"));
        code
    }
}

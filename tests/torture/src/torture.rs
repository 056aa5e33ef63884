use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Dice, Options, Proxy, Site};

use crate::broker::{Broker, Portcullis, bridge_to, furnish};
use crate::device::{Device, Orders};
use crate::judge::{Lost, disorder, lost};
use crate::mosquitto::Mosquitto;
use crate::plan::Cut;
use crate::reader::{Arrivals, read, subscribe};
use crate::report::Report;

/// How long the brokers have to themselves before the first cut.
const PEACE: Duration = Duration::from_secs(1);

/// Pauses between cuts, in milliseconds.
const PAUSES: (u64, u64) = (400, 1400);

/// How long devices may take to have everything acknowledged when all is whole again.
const FINISH: Duration = Duration::from_secs(60);

/// How long nothing new may come before what is missing counts as lost, and how long all of it may take.
const QUIET: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(300);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Torture {
    /// Kills and faults of the link together.
    pub cuts: u64,
    /// Devices that publish.
    pub devices: usize,
    /// At which QoS: 1 or 2.
    pub qos: QoS,
    /// How often each of them does.
    pub interval: Duration,
    /// Decides what is done, and how devices behave. When exactly a thread runs it does not decide.
    pub seed: u64,
    /// Who bridges.
    pub bridge: Bridge,
}

/// Who bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// The gateway.
    Portcullis,
    /// Debian's Mosquitto.
    Mosquitto,
}

impl fmt::Display for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portcullis => "portcullis",
            Self::Mosquitto => "mosquitto",
        })
    }
}

/// When each cut began and ended.
type History = Vec<(Instant, Instant, Cut)>;

impl Torture {
    /// Does it. A broker that does not start or answer is a panic, with its last words where it is a gateway.
    #[must_use]
    pub fn run(&self) -> Report {
        let there = Site::as_made();
        let upstream_port = furnish(&there, "");
        let proxy = Proxy::to(upstream_port);
        let mut upstream = Portcullis::on(&there);
        upstream.start();
        let reader = Options::new("reader", &there).plain_at(upstream_port).persistent();
        subscribe(&reader, self.qos);
        match self.bridge {
            Bridge::Portcullis => {
                let here = Site::as_made();
                let port = furnish(&here, &bridge_to(proxy.port));
                let mut edge = Portcullis::on(&here);
                self.run_with(&mut edge, port, &mut upstream, &proxy, &reader, &there)
            }
            Bridge::Mosquitto => {
                let mut edge = Mosquitto::with_bridge_to(proxy.port, self.qos);
                let port = edge.port;
                self.run_with(&mut edge, port, &mut upstream, &proxy, &reader, &there)
            }
        }
    }

    fn run_with(
        &self,
        edge: &mut dyn Broker,
        port: u16,
        upstream: &mut dyn Broker,
        proxy: &Proxy,
        reader: &Options,
        site: &Site,
    ) -> Report {
        let begin = Instant::now();
        let (orders, arrivals) = (Orders::default(), Arrivals::of(self.devices));
        edge.start();
        let device = |index: usize| {
            let options =
                Options::new(&format!("device-{index}"), site).plain_at(port).persistent();
            Device::new(index, options, self.qos, self.interval, self.seed + index as u64)
        };
        let (devices, history, healed) = thread::scope(|scope| {
            // Whatever fails here, nobody is left waiting.
            let _curtain = Curtain(&orders);
            let (orders, arrivals) = (&orders, &arrivals);
            scope.spawn(move || read(reader, arrivals, orders));
            let running: Vec<_> = (0..self.devices)
                .map(device)
                .map(|it| scope.spawn(move || it.run(orders)))
                .collect();
            thread::sleep(PEACE);
            let history = self.cut(edge, upstream, proxy);
            let healed = Instant::now();
            orders.finish();
            let finished = wait(FINISH, || running.iter().all(|it| it.is_finished()));
            assert!(finished, "a device is not acknowledged although all is whole again");
            let end = |it: thread::ScopedJoinHandle<'_, Device>| it.join().expect("a device ends");
            let devices: Vec<Device> = running.into_iter().map(end).collect();
            wait(DRAIN, || {
                let arrived = arrivals.lock();
                lost(&devices, &arrived).is_empty() || arrived.latest.max(healed).elapsed() > QUIET
            });
            (devices, history, healed)
        });
        edge.kill();
        upstream.kill();
        self.judge(begin, &devices, &arrivals, &history, healed)
    }

    /// One cut after the other; at the end everything is whole again.
    fn cut(&self, edge: &mut dyn Broker, upstream: &mut dyn Broker, proxy: &Proxy) -> History {
        let mut dice = Dice::new(self.seed);
        let mut history = History::new();
        for number in 1..=self.cuts {
            let cut = Cut::draw(&mut dice);
            let begin = Instant::now();
            match cut {
                Cut::Edge(away) => restart(&mut [edge], away),
                Cut::Upstream(away) => restart(&mut [upstream], away),
                Cut::Both(away) => restart(&mut [edge, upstream], away),
                Cut::Link(fault) => proxy.inflict(fault),
                Cut::Spell(fault, time) => {
                    proxy.inflict(fault);
                    thread::sleep(time);
                    proxy.heal();
                }
            }
            history.push((begin, Instant::now(), cut));
            thread::sleep(Duration::from_millis(dice.between(PAUSES.0, PAUSES.1)));
            if number % 20 == 0 {
                eprintln!("{}: {number} cuts", self.bridge);
            }
        }
        proxy.heal();
        history
    }

    fn judge(
        &self,
        begin: Instant,
        devices: &[Device],
        arrivals: &Arrivals,
        history: &History,
        healed: Instant,
    ) -> Report {
        let arrived = arrivals.lock();
        let mut cuts = BTreeMap::new();
        for (_, _, cut) in history {
            *cuts.entry(cut.kind()).or_default() += 1;
        }
        let lost = lost(devices, &arrived);
        let mut lost_before = BTreeMap::new();
        for one in &lost {
            *lost_before
                .entry(next(one, history).map_or("the end", |cut| cut.2.kind()))
                .or_default() += 1;
        }
        let evidence = |lost: &Lost| describe(lost, begin, history);
        Report {
            bridge: self.bridge,
            seed: self.seed,
            qos: self.qos,
            devices: self.devices,
            cuts,
            time: begin.elapsed(),
            published: devices.iter().map(|it| u64::from(it.next)).sum(),
            repeated: devices.iter().map(|it| it.repeated).sum(),
            refused: devices.iter().map(|it| it.refused).sum(),
            acknowledged: devices.iter().map(|it| it.acknowledged.len() as u64).sum(),
            arrived: arrived.first.iter().map(|it| it.len() as u64).sum(),
            duplicates: arrived.duplicates,
            redelivered: arrived.redelivered,
            drained: arrived.latest.saturating_duration_since(healed),
            lost_before,
            lost: lost.iter().map(evidence).collect(),
            disorder: disorder(&arrived.first)
                .into_iter()
                .map(|(device, number)| format!("device {device}, number {number}"))
                .collect(),
            foreign: arrived.foreign.clone(),
        }
    }
}

/// The cut that came next after a message was acknowledged, or was under way.
fn next<'h>(lost: &Lost, history: &'h History) -> Option<&'h (Instant, Instant, Cut)> {
    history.iter().find(|(_, end, _)| *end > lost.acknowledged)
}

/// A message, and the cut that came next.
fn describe(lost: &Lost, begin: Instant, history: &History) -> String {
    let at = lost.acknowledged.duration_since(begin).as_secs_f64();
    let next = next(lost, history).map_or("nothing more was done".to_owned(), |(start, _, cut)| {
        format!("at {:.3} s came: {cut}", start.duration_since(begin).as_secs_f64())
    });
    format!("device {}, number {}, acknowledged at {at:.3} s; {next}", lost.device, lost.number)
}

fn restart(brokers: &mut [&mut dyn Broker], away: Duration) {
    brokers.iter_mut().for_each(|broker| broker.kill());
    thread::sleep(away);
    brokers.iter_mut().for_each(|broker| broker.start());
}

/// Waits until it is so; answers whether it came to be in time.
fn wait(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + patience;
    while !is_so() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(100));
    }
    true
}

/// Ends all devices when it falls.
struct Curtain<'a>(&'a Orders);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

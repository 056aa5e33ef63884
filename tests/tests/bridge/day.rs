//! An outage of a day: what was published meanwhile is drained at the rate that is stated, while what is urgent goes on.
//!
//! `cargo xtask outage` runs it at full size; `PORTCULLIS_OUTAGE="MESSAGES RATE LIVE"` sets the size.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{
    Client, DEMO, Gateway, Latencies, Options, Publisher, Received, Site, number,
};

use crate::downstream::{rules, to_gateway, wait_until_connected, wait_until_empty};

const SIZE_OF_RUN: &str = "PORTCULLIS_OUTAGE";

/// Messages that wait; of them in a second afterwards; urgent ones in a second meanwhile: what a run of all tests has time for.
const SIZE: [u64; 3] = [6000, 1500, 50];

/// What a million messages of 64 bytes may take of the disk.
const DISK_MAX: u64 = 600 << 20;

const VALUES: &str = "demo/up/values";
const ALARMS: &str = "demo/up/alarms/fire";

fn size() -> [u64; 3] {
    let Ok(text) = std::env::var(SIZE_OF_RUN) else { return SIZE };
    let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{SIZE_OF_RUN} is not three numbers: {text}"))
}

fn client(site: &Site, name: &str) -> Options {
    Options::new(name, site).user(DEMO, &site.password).plain().persistent()
}

/// What arrived, and when.
#[derive(Default)]
struct Arrived {
    values: Vec<(u64, Instant)>,
    alarms: Vec<(u64, Instant)>,
}

impl Arrived {
    /// Reads until `values` different ones and all alarms are there, or nothing has come for a while.
    fn read(client: &mut Client, values: u64, drained: &AtomicBool, alarms: &AtomicU64) -> Self {
        const QUIET: Duration = Duration::from_secs(20);
        let mut arrived = Self::default();
        let mut seen = 0;
        loop {
            let all = drained.load(Ordering::SeqCst);
            if all && arrived.alarms.len() as u64 >= alarms.load(Ordering::SeqCst) {
                return arrived;
            }
            let patience = if all { Duration::from_millis(100) } else { QUIET };
            match client.receive_within(patience) {
                Some(Received::Publish(message)) => {
                    client.acknowledge(&message).expect("the connection stays");
                    let one = (number(&message.payload), Instant::now());
                    if message.topic == VALUES {
                        seen = seen.max(one.0 + 1);
                        arrived.values.push(one);
                    } else {
                        arrived.alarms.push(one);
                    }
                    if seen == values {
                        drained.store(true, Ordering::SeqCst);
                    }
                }
                None if all => {}
                other => panic!("{other:?} behind {} values", arrived.values.len()),
            }
        }
    }
}

#[test]
fn what_a_day_left_is_drained_at_its_rate_and_what_is_urgent_goes_on() {
    let [messages, rate, live] = size();
    let (site, upstream) = sites(messages, rate);
    let gateway = Gateway::start(&site);
    let meter = gateway.meter();
    let data = site.path("data");
    let watch = Watch::default();
    thread::scope(|scope| {
        scope.spawn(|| watch.run(&data));
        let _ends = EndOf(&watch);

        let began = Instant::now();
        let mut publisher = Publisher::new(VALUES, QoS::AtLeastOnce, 500);
        publisher
            .publish(&mut client(&site, "device").connect(), messages)
            .expect("the connection stays");
        let filled = began.elapsed();
        assert_eq!((publisher.acknowledged.len() as u64, publisher.refused.len()), (messages, 0));
        let (disk_full, memory_full) = (bytes_in(&data), meter.resident_kib());

        let there = Gateway::start(&upstream);
        let mut reader = client(&upstream, "reader").connect();
        wait_until_connected(&gateway, 1);
        let (drained, sent, when) =
            (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
        let arrived = thread::scope(|scope| {
            scope.spawn(|| raise_alarms(&site, live, &drained, &sent, &when));
            Arrived::read(&mut reader, messages, &drained, &sent)
        });
        let when = when.into_inner().expect("nobody panics with it");
        wait_until_empty(&gateway);
        // What is removed is given back a little later.
        thread::sleep(Duration::from_secs(2));
        let disk = [disk_full, watch.most.load(Ordering::SeqCst), bytes_in(&data)];
        let memory = [memory_full, meter.peak_resident_kib()];
        Day { size: [messages, rate, live], filled, disk, memory, arrived, when }.judge();
        drop(there);
    });
}

/// The gateway whose upstream is away, and upstream with somebody who waits for everything.
fn sites(messages: u64, rate: u64) -> (Site, Site) {
    let (site, upstream) = (Site::new(), Site::new());
    let keys = format!(
        "receive-maximum = 500\nlimits.drain-rate = {rate}\nmax-messages = {messages}\nmax-bytes = \"{} MiB\"\n",
        DISK_MAX >> 20
    );
    let alarms = "filter = \"demo/up/alarms/#\"\npriority = \"high\"";
    let rules = rules("up", &[alarms, "filter = \"demo/up/#\""], &[]);
    site.configure(&format!("{}{rules}", to_gateway(&site, "up", &upstream, &keys)));
    let there = Gateway::start(&upstream);
    assert!(
        !client(&upstream, "reader").connect().subscribe("demo/up/#", QoS::AtLeastOnce).is_error()
    );
    drop(there);
    (site, upstream)
}

/// What an outage came to.
struct Day {
    size: [u64; 3],
    /// How long it took to publish what waits.
    filled: Duration,
    /// Bytes when everything waited, at most, and in the end.
    disk: [u64; 3],
    /// KiB when everything waited, and at most.
    memory: [u64; 2],
    arrived: Arrived,
    /// When each alarm was raised.
    when: Vec<Instant>,
}

impl Day {
    /// Tells what it came to, and fails where that is not what is promised.
    fn judge(self) {
        let Self { size: [messages, rate, live], filled, disk, memory, arrived, when } = self;
        let latencies =
            arrived.alarms.iter().zip(&when).map(|((_, at), sent)| at.duration_since(*sent));
        let latencies = Latencies::new(latencies.collect());
        let (first, last) = (arrived.values[0].1, arrived.values[arrived.values.len() - 1].1);
        let took = last.duration_since(first).as_secs_f64();
        // A tenth of a second's worth may go at once, and is not what is measured.
        let measured = (messages - rate / 10) as f64 / took;
        let off = 100.0 * (measured / rate as f64 - 1.0);
        let (lost, twice, disordered) = judge(&arrived.values, messages);
        let filled = filled.as_secs_f64();
        let [disk_full, disk_most, disk_left] = disk.map(|bytes| bytes >> 20);
        let [memory_full, memory_most] = memory.map(|kib| kib >> 10);
        println!(
            "outage of {messages} messages of QoS 1, drained at {rate}/s beside {live} urgent ones a second\n  \
             published while upstream was away  {filled:.1} s, {:.0}/s\n  \
             disk, full / most / drained        {disk_full} / {disk_most} / {disk_left} MiB\n  \
             resident, full / most              {memory_full} / {memory_most} MiB\n  \
             drained                            {took:.1} s, {measured:.0}/s, {off:+.1} %\n  \
             urgent meanwhile                   {latencies}\n  \
             lost / duplicates / out of order   {lost} / {twice} / {disordered}",
            messages as f64 / filled
        );
        assert_eq!((lost, disordered), (0, 0));
        let alarms: Vec<u64> = arrived.alarms.iter().map(|(number, _)| *number).collect();
        assert_eq!(alarms, (0..when.len() as u64).collect::<Vec<_>>());
        assert!(off <= 5.0, "it is drained too fast");
        assert!(disk[1] <= DISK_MAX, "{} bytes on disk", disk[1]);
        assert!(latencies.percentile(99) < Duration::from_secs(2), "{latencies}");
        // A machine that runs all tests at once may be too slow for any rate.
        assert!(off >= -5.0 || std::env::var(SIZE_OF_RUN).is_err(), "it is drained too slowly");
    }
}

/// Publishes alarms until all is drained.
fn raise_alarms(
    site: &Site,
    live: u64,
    drained: &AtomicBool,
    sent: &AtomicU64,
    when: &Mutex<Vec<Instant>>,
) {
    let mut device = client(site, "alarms").connect();
    let pause = Duration::from_secs(1) / u32::try_from(live).expect("a rate");
    let mut next = Instant::now();
    while !drained.load(Ordering::SeqCst) {
        let number = sent.fetch_add(1, Ordering::SeqCst);
        when.lock().expect("nobody panics with it").push(Instant::now());
        let code = device.publish_and_wait(ALARMS, number.to_string().as_bytes(), false);
        assert_eq!(code, ReasonCode::Success);
        next += pause;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// How many of so many did not arrive, came again, and came for the first time behind a later one.
fn judge(values: &[(u64, Instant)], messages: u64) -> (u64, usize, usize) {
    let (mut seen, mut highest, mut disordered) = (BTreeSet::new(), 0, 0);
    for (number, _) in values {
        if seen.insert(*number) {
            disordered += usize::from(*number < highest);
            highest = highest.max(*number);
        }
    }
    (messages - seen.len() as u64, values.len() - seen.len(), disordered)
}

/// Looks how large a folder is at its largest.
#[derive(Default)]
struct Watch {
    most: AtomicU64,
    ends: AtomicBool,
}

impl Watch {
    fn run(&self, folder: &Path) {
        while !self.ends.load(Ordering::SeqCst) {
            self.most.fetch_max(bytes_in(folder), Ordering::SeqCst);
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Ends a watch, also of a test that has failed.
struct EndOf<'w>(&'w Watch);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::SeqCst);
    }
}

/// Bytes of all files; one that goes meanwhile counts as nothing.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes_in(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

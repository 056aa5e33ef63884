use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{PacketKind, QoS};
use portcullis_tests::{Client, Message, Options, Received};

use crate::device::{Orders, topic};

/// What has arrived upstream.
#[derive(Debug)]
pub(crate) struct Arrivals(Mutex<Arrived>);

#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// Of each device the numbers in the order in which they came for the first time.
    pub(crate) first: Vec<Vec<u32>>,
    seen: Vec<BTreeSet<u32>>,
    /// Identifiers of QoS 2 that upstream has not released.
    unreleased: BTreeSet<u16>,
    /// Messages that had come before, not counting those that upstream marked as sent again.
    pub(crate) duplicates: u64,
    /// Messages that upstream sent again because it had no acknowledgement of the reader.
    pub(crate) redelivered: u64,
    /// What nobody sent, or under another topic.
    pub(crate) foreign: Vec<String>,
    /// When something came last for the first time.
    pub(crate) latest: Instant,
}

impl Arrivals {
    pub(crate) fn of(devices: usize) -> Self {
        Self(Mutex::new(Arrived {
            first: vec![Vec::new(); devices],
            seen: vec![BTreeSet::new(); devices],
            unreleased: BTreeSet::new(),
            duplicates: 0,
            redelivered: 0,
            foreign: Vec::new(),
            latest: Instant::now(),
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrived {
    /// Whether a number of a device has come.
    pub(crate) fn has(&self, device: usize, number: u32) -> bool {
        self.seen[device].contains(&number)
    }

    fn take(&mut self, message: &Message) {
        if message.qos == QoS::ExactlyOnce && !self.unreleased.insert(message.id) {
            self.redelivered += 1;
            return;
        }
        let Some((device, number)) = self.numbers(message) else {
            let payload = String::from_utf8_lossy(&message.payload).into_owned();
            self.foreign.push(format!("{}: {payload}", message.topic));
            return;
        };
        if self.seen[device].insert(number) {
            self.first[device].push(number);
            self.latest = Instant::now();
        } else if message.dup {
            self.redelivered += 1;
        } else {
            self.duplicates += 1;
        }
    }

    fn numbers(&self, message: &Message) -> Option<(usize, u32)> {
        let text = std::str::from_utf8(&message.payload).ok()?;
        let (device, number) = text.split_once(' ')?;
        let (device, number) = (device.parse().ok()?, number.parse().ok()?);
        (device < self.first.len() && message.topic == topic(device)).then_some((device, number))
    }
}

/// Makes the session in which everything for the reader waits.
pub(crate) fn subscribe(options: &Options, qos: QoS) {
    let granted = options.connect().subscribe("torture/#", qos);
    assert!(!granted.is_error(), "upstream grants the subscription: {granted:?}");
}

/// Reads, over one connection after another, until the end.
pub(crate) fn read(options: &Options, arrivals: &Arrivals, orders: &Orders) {
    while !orders.is_over() {
        if let Ok(mut client) = options.knock() {
            // A broken connection is what this is about.
            let _ = read_on(&mut client, arrivals, orders);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn read_on(client: &mut Client, arrivals: &Arrivals, orders: &Orders) -> io::Result<()> {
    while !orders.is_over() {
        let mut heard = client.receive_within(Duration::from_millis(200));
        while let Some(received) = heard {
            match received {
                Received::Publish(message) => {
                    arrivals.lock().take(&message);
                    client.acknowledge(&message)?;
                }
                Received::Ack(PacketKind::PubRel, id, _) => {
                    arrivals.lock().unreleased.remove(&id);
                    client.ack(PacketKind::PubComp, id)?;
                }
                Received::ConnAck(code, present) => {
                    assert!(!code.is_error() && present, "upstream keeps the reader: {code:?}");
                }
                Received::Closed | Received::Disconnect(_) => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                other => panic!("{other:?} for a reader"),
            }
            heard = client.buffered();
        }
    }
    Ok(())
}

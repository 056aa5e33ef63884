//! Extensions are replaced under load: no message is lost, no connection dropped, and what fails is taken back.
//!
//! `cargo xtask swap` runs it at full size; `PORTCULLIS_SWAP="CLIENTS RATE SWAPS"` sets the size.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod fleet;
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use fleet::Fleet;
use guest::{ACCEPT, Fallback, Guest, Rule, TRAP, allow};
use portcullis_tests::{Gateway, Latencies, PATIENCE, Site, free_port};

/// Clients, their messages a second together, and new components: what a run of all tests has time for.
const SIZE: [u32; 3] = [200, 1000, 15];

/// How long the load runs before the first swap, to compare with.
const BEFORE: Duration = Duration::from_secs(2);

/// Between two swaps, so that each new component is asked before the next comes.
const PAUSE: Duration = Duration::from_millis(250);

/// Lets everybody in, leaves subscriptions to rules, and is asked about each publish.
fn policy(publish: &str) -> Guest {
    let subscribe = Rule { actions: 2, ..allow("#") };
    Guest::authenticator(ACCEPT).granting(&[subscribe], Fallback::Ask).authorize_publish(publish)
}

/// What is put in the place of the component, and what the gateway says of it.
struct Newcomer {
    kind: &'static str,
    component: Vec<u8>,
    says: &'static str,
}

const REFUSED: &str = "extension not reloaded; it goes on as it is";

impl Newcomer {
    fn of(swap: u32) -> Self {
        let mut good = policy("");
        good.put(&swap.to_le_bytes());
        let (kind, component, says) = match swap % 5 {
            0 => ("good", good.build(), "extension swapped"),
            1 => ("trapping", policy(TRAP).build(), "extension version rolled back"),
            2 => ("of another contract", policy("").version("0.2.0").build(), REFUSED),
            3 => ("that cannot start", good.init(TRAP).build(), REFUSED),
            _ => ("that is no component", b"no component".to_vec(), REFUSED),
        };
        Self { kind, component, says }
    }
}

#[test]
fn nothing_is_lost_and_nobody_dropped_while_components_come_and_go() {
    let [clients, rate, swaps] = size();
    let (site, port) = (Site::new(), free_port());
    let component = site.path("policy.wasm");
    fs::write(&component, policy("").build()).expect("the component is written");
    site.configure(&format!(
        "[listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
         [extensions.policy]\ncomponent = \"policy.wasm\"\n"
    ));
    let mut gateway = Gateway::start_with(&site, 3);
    let fleet = Fleet::set_out(port, clients, rate);
    thread::sleep(BEFORE);
    let begin = Instant::now();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for swap in 0..swaps {
        let Newcomer { kind, component: bytes, says } = Newcomer::of(swap);
        let mark = gateway.log.mark();
        fs::write(&component, bytes).expect("the component is written");
        gateway.reload();
        let said = gateway.log.wait(mark, PATIENCE, |event| event["message"] == says);
        assert!(said.is_some(), "swap {swap}, one {kind}: {says}:\n{}", gateway.log.tail(20));
        *kinds.entry(kind).or_insert(0) += 1;
        thread::sleep(PAUSE);
    }
    let took = begin.elapsed();
    let logs = fleet.return_home();

    assert_eq!(logs.len(), clients as usize);
    let all = || logs.iter().flatten();
    let (before, during): (Vec<_>, Vec<_>) = all().partition(|(sent, _)| *sent < begin);
    let delivered = all().count();
    let times = |part: Vec<&(Instant, Duration)>| {
        Latencies::new(part.into_iter().map(|(_, took)| *took).collect())
    };
    println!(
        "swap clients={clients} rate={rate} swaps={swaps} {kinds:?} s={} delivered={delivered} lost=0 dropped=0",
        took.as_secs()
    );
    println!("swap before: {}", times(before));
    println!("swap during: {}", times(during));
    let counters = gateway.counters();
    let rolled_back = counters.of_extension("policy", "rolled_back");
    println!("swap rolled_back={rolled_back}");
    assert_eq!(rolled_back, kinds.get("trapping").copied().unwrap_or(0), "each that trapped");
    gateway.assert_sound();
}

fn size() -> [u32; 3] {
    let Ok(words) = std::env::var("PORTCULLIS_SWAP") else { return SIZE };
    let numbers: Vec<u32> = words.split(' ').filter_map(|word| word.parse().ok()).collect();
    numbers
        .try_into()
        .unwrap_or_else(|_| panic!("PORTCULLIS_SWAP=\"{words}\" is not three numbers"))
}

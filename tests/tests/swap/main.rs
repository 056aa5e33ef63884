//! Extensions are replaced under load, by good ones and by such as trap, lack a hook, cannot start or are not signed: no
//! message is lost, no connection dropped, and what fails is taken back.
//!
//! `cargo xtask swap` runs it at full size; `PORTCULLIS_SWAP="CLIENTS RATE SWAPS"` sets the size.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod fleet;
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fleet::Fleet;
use guest::{ACCEPT, Fallback, Guest, Rule, TRAP, allow};
use portcullis_tests::{Gateway, Latencies, PATIENCE, Site, free_port, program};

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
    signed: bool,
    says: &'static str,
    /// Words of the reason, where it is refused.
    why: &'static str,
}

const REFUSED: &str = "extension not reloaded; it goes on as it is";

impl Newcomer {
    fn of(swap: u32) -> Self {
        let mut good = policy("");
        good.put(&swap.to_le_bytes());
        let lacking = Guest::authenticator(ACCEPT);
        let (kind, guest, signed, says, why) = match swap % 5 {
            0 => ("good", good, true, "extension swapped", ""),
            1 => ("trapping", policy(TRAP), true, "extension version rolled back", ""),
            2 => ("without a hook", lacking, true, REFUSED, "authorizer"),
            3 => ("that cannot start", good.init(TRAP), true, REFUSED, "unreachable"),
            _ => ("unsigned", good, false, REFUSED, "require-signature"),
        };
        Self { kind, component: guest.build(), signed, says, why }
    }

    /// Puts it where the gateway looks for it.
    fn move_in(&self, site: &Site) {
        fs::write(site.path(COMPONENT), &self.component).expect("the component is written");
        match self.signed {
            true => sign(site),
            false => fs::remove_file(site.path(SIGNATURE)).expect("there was a signature"),
        }
    }
}

const COMPONENT: &str = "policy.wasm";
const SIGNATURE: &str = "policy.wasm.sig";

fn sign(site: &Site) {
    extension(site, &["sign", "--key", "vendor.pem", COMPONENT]);
}

/// `portcullis extension ...`; gives what it says.
fn extension(site: &Site, arguments: &[&str]) -> String {
    let mut command = Command::new(&program().portcullis);
    command.arg("extension").args(arguments).current_dir(site.path(""));
    let out = command.output().expect("the program starts");
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A site with one more listener, whose chain is the extension `policy`, which must be signed.
fn site_with(port: u16) -> Site {
    let site = Site::new();
    let text = extension(&site, &["keygen", "--out", "vendor.pem"]);
    let key = text.split('"').find(|word| word.starts_with("ed25519:")).expect("a public key");
    fs::write(site.path(COMPONENT), policy("").build()).expect("the component is written");
    sign(&site);
    site.configure(&format!(
        "[trust.keys]\nvendor = \"{key}\"\n\
         [listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
         [extensions.policy]\ncomponent = \"{COMPONENT}\"\nrequire-signature = true\n"
    ));
    site
}

#[test]
fn nothing_is_lost_and_nobody_dropped_while_components_come_and_go() {
    let [clients, rate, swaps] = size();
    let port = free_port();
    let site = site_with(port);
    let mut gateway = Gateway::start_with(&site, 3);
    let fleet = Fleet::set_out(port, clients, rate);
    thread::sleep(BEFORE);
    let begin = Instant::now();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for swap in 0..swaps {
        let newcomer = Newcomer::of(swap);
        let mark = gateway.log.mark();
        newcomer.move_in(&site);
        gateway.reload();
        let Newcomer { kind, says, why, .. } = newcomer;
        let said = gateway.log.wait(mark, PATIENCE, |event| event["message"] == says);
        let reason = said.map(|event| event["error"].as_str().unwrap_or_default().to_owned());
        assert!(
            reason.is_some_and(|reason| reason.contains(why)),
            "swap {swap}, one {kind}: {says}, {why}:\n{}",
            gateway.log.tail(20)
        );
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

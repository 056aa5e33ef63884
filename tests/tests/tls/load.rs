use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mqtt::ReasonCode;
use portcullis_tests::{Client, Gateway, Received};

use crate::bench::{Bench, line};

const CONNECTIONS: usize = 200;
const THREADS: usize = 8;
const RELOADS: usize = 20;
/// The reload that revokes somebody.
const REVOKING: usize = 13;

#[test]
fn reloads_cost_nobody_a_connection_but_the_revoked() {
    let bench = Bench::new();
    for name in ["pump-0", "pump-1", "pump-2", "pump-3", "doomed"] {
        bench.cert(&["client", name]);
    }
    let mut gateway = bench.start();
    let knock = |number: usize| {
        let certificate = format!("pump-{}", number / 2 % 4);
        let certificate = (number % 2 == 1).then_some(&*certificate);
        bench.knock(&format!("c{number}"), certificate).expect("it is let in")
    };
    let mut crews: Vec<Vec<(usize, Client)>> = (0..THREADS).map(|_| Vec::new()).collect();
    for number in 0..CONNECTIONS {
        crews[number % THREADS].push((number, knock(number)));
    }
    let mut doomed = bench.knock("doomed", Some("doomed")).expect("it is let in");
    let (stop, published) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for mut crew in crews {
            let (stop, published) = (&stop, &published);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for (number, client) in &mut crew {
                        let topic = format!("demo/{number}");
                        let code = client.publish_and_wait(&topic, b"x", false);
                        assert!(!code.is_error(), "client {number}: {code}");
                        published.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // Whatever goes wrong, the others are told to stop.
        let outcome = thread::scope(|inner| {
            inner.spawn(|| reload_and_revoke(&bench, &gateway, &published)).join()
        });
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });

    assert_eq!(doomed.receive(), Received::Disconnect(ReasonCode::NotAuthorized));
    assert_eq!(doomed.receive(), Received::Closed);
    assert!(bench.knock("doomed", Some("doomed")).is_none(), "a revoked client is back");
    let gone: Vec<_> = gateway.log.events(0, "client disconnected");
    let gone: Vec<_> = gone
        .iter()
        // Those that leave at the end of the test come in no order.
        .filter(|event| event["why"].as_str().is_some_and(|why| why.contains("revoked")))
        .map(|event| event["client"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(gone, ["doomed"]);
    assert!(bench.knock("other", Some("pump-0")).is_some(), "the others are still welcome");
    gateway.assert_sound();
    let said = portcullis_tests::Operator::of(&bench.site).asks(&["metrics"]);
    assert_eq!(said["gateway"]["revoked_connections"], 1);
    assert!(said["gateway"]["certificate_reload_failures"].as_u64() >= Some(9), "{said}");
}

/// Makes all the reloads, each while everybody publishes.
fn reload_and_revoke(bench: &Bench, gateway: &Gateway<'_>, published: &AtomicU64) {
    let (cert, key) = (bench.pki("live.pem"), bench.pki("live.key"));
    let read = || (fs::read(&cert).expect("it is there"), fs::read(&key).expect("it is there"));
    let mut good = read();
    for number in 0..RELOADS {
        let before = published.load(Ordering::Relaxed);
        let mark = gateway.log.mark();
        let (expected, said) = match number % 4 {
            _ if number == REVOKING => {
                bench.cert(&["revoke", "pki/doomed.pem", "--reason", "key-compromise"]);
                ("certificates reloaded", "tls.client-crl")
            }
            0 => {
                bench.renew();
                good = read();
                ("certificates reloaded", "tls.cert")
            }
            1 => {
                fs::write(&cert, "-----BEGIN CERTIFICATE-----\nAAAA\n").expect("it is written");
                ("certificates not reloaded", "tls.cert")
            }
            2 => {
                fs::write(&cert, &good.0).expect("it is written");
                fs::copy(bench.pki("server.key"), &key).expect("it is written");
                ("certificates not reloaded", "does not belong")
            }
            _ => {
                fs::write(&cert, &good.0).expect("it is written");
                fs::write(&key, &good.1).expect("it is written");
                ("certificates reloaded", "")
            }
        };
        gateway.reload();
        let event = line(gateway, mark, expected);
        let told = if expected.contains("not") { &event["error"] } else { &event["changed"] };
        let told = told.as_str().unwrap_or_default();
        assert!(told.contains(said), "reload {number}: {event}");
        let moved = || published.load(Ordering::Relaxed) > before + CONNECTIONS as u64 / 4;
        for _ in 0..300 {
            if moved() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        assert!(moved(), "nobody publishes any more after reload {number}");
    }
}

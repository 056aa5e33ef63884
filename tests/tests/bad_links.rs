//! The proxy of the tests does what it says.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where it cannot go on"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::{Fault, Proxy, Way};

/// A client of a proxy, and what it is connected to.
fn pair(listener: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    assert_eq!(&passes(&mut client, &mut server), b"a");
    (client, server)
}

fn ground() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap().port());
    (listener, proxy)
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) -> [u8; 1] {
    from.write_all(b"a").unwrap();
    let mut byte = [0];
    to.read_exact(&mut byte).unwrap();
    byte
}

fn is_reset(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn a_reset_is_one_for_both_and_the_next_connection_is_sound() {
    let (listener, proxy) = ground();
    let (mut client, mut server) = pair(&listener, &proxy);
    proxy.inflict(Fault::Reset);
    assert!(is_reset(&mut client) && is_reset(&mut server));
    pair(&listener, &proxy);
}

#[test]
fn half_a_connection_goes_on() {
    let (listener, proxy) = ground();
    let (mut client, mut server) = pair(&listener, &proxy);
    proxy.inflict(Fault::HalfClose(Way::Up));
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    passes(&mut server, &mut client);
}

#[test]
fn it_is_cut_at_the_byte() {
    let (listener, proxy) = ground();
    let (mut client, mut server) = pair(&listener, &proxy);
    proxy.inflict(Fault::CutAfter(Way::Up, 5));
    client.write_all(b"12345678").unwrap();
    let mut bytes = Vec::new();
    assert!(server.read_to_end(&mut bytes).is_err());
    // What a reset finds unread in a buffer goes with it.
    assert!(b"12345".starts_with(&bytes), "{bytes:?}");
    assert_eq!(proxy.passed(Way::Up), 6);
}

#[test]
fn what_was_swallowed_does_not_come_and_its_connection_ends_with_the_fault() {
    let (listener, proxy) = ground();
    let (mut client, mut server) = pair(&listener, &proxy);
    proxy.inflict(Fault::Swallow(Way::Up));
    client.write_all(b"gone").unwrap();
    passes(&mut server, &mut client);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(proxy.passed(Way::Up), 1);
    proxy.heal();
    assert!(is_reset(&mut server));
    pair(&listener, &proxy);
}

#[test]
fn delays_and_throttles_take_their_time_until_they_end() {
    let (listener, proxy) = ground();
    let (mut client, mut server) = pair(&listener, &proxy);
    for (fault, least) in [
        (Fault::Delay(Way::Up, Duration::from_millis(200)), 200),
        (Fault::Throttle(Way::Up, 1000), 400),
    ] {
        let begin = Instant::now();
        proxy.inflict(fault);
        client.write_all(&[b'x'; 500]).unwrap();
        server.read_exact(&mut [0; 500]).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(least), "{fault:?} {:?}", begin.elapsed());
        proxy.heal();
    }
    client.write_all(&[b'x'; 100_000]).unwrap();
    server.read_exact(&mut vec![0; 100_000]).unwrap();
}

#[test]
fn nobody_is_let_through_until_it_is_over() {
    let (listener, proxy) = ground();
    let (mut client, _server) = pair(&listener, &proxy);
    proxy.inflict(Fault::Refuse);
    assert!(is_reset(&mut client));
    let mut refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).unwrap();
    assert!(is_reset(&mut refused));
    proxy.heal();
    pair(&listener, &proxy);
}

//! What is no MQTT, before and after CONNECT.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use portcullis_tests::Dice;

use crate::crowd::crowd;
use crate::field::Field;
use crate::pace::Pace;
use crate::packets::{Message, packet};
use crate::peer::Peer;
use crate::storm::{Size, storm};
use crate::tally::{Tally, outcome};

/// How long an attacker waits to see what comes of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What opens a WebSocket.
const UPGRADE: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// Random bytes to every port.
pub(crate) fn garbage(field: &Arc<Field>) -> Tally {
    let doors = field.doors;
    let thread = {
        let field = Arc::clone(field);
        std::thread::spawn(move || datagrams(&field))
    };
    let mut tally = storm(field, Size { rate: 300, at_once: 600 }, |number| {
        let field = Arc::clone(field);
        async move {
            let port = [doors.plain, doors.tls, doors.web][(number % 3) as usize];
            let mut dice = Dice::new(number);
            let length = dice.between(1, 600);
            let bytes: Vec<u8> = (0..length).map(|_| random(&mut dice)).collect();
            say(&field, port, &bytes).await
        }
    });
    tally.join(&thread.join().unwrap_or_default());
    tally
}

fn random(dice: &mut Dice) -> u8 {
    u8::try_from(dice.between(0, 255)).unwrap_or_default()
}

/// Random datagrams, some of which begin as a packet of QUIC does.
fn datagrams(field: &Field) -> Tally {
    let mut tally = Tally::default();
    let Ok(socket) = UdpSocket::bind((field.source(), 0)) else { return tally };
    let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, field.doors.quic));
    let mut dice = Dice::new(3);
    let mut bytes: Vec<u8> = (0..1400).map(|_| random(&mut dice)).collect();
    field.runtime().block_on(async {
        let mut pace = Pace::new(1000);
        while !field.is_over() {
            pace.next().await;
            bytes[..16].fill_with(|| random(&mut dice));
            if dice.between(0, 1) == 0 {
                bytes[0] |= 0xC0;
                bytes[1..5].copy_from_slice(&[0, 0, 0, 1]);
                bytes[5] = 8;
            }
            let length = usize::try_from(dice.between(1, 1400)).unwrap_or(1);
            if socket.send_to(&bytes[..length], gateway).is_ok() {
                tally.note("datagrams");
            }
        }
    });
    tally
}

/// Sends bytes on a new connection; what came of it.
async fn say(field: &Field, port: u16, bytes: &[u8]) -> String {
    let Ok(stream) = field.dial(port).await else { return "not accepted".to_owned() };
    let mut peer = Peer::on(stream, field);
    if peer.send(bytes).await.is_err() {
        return "closed".to_owned();
    }
    match peer.receive(PATIENCE).await {
        Some(received) => outcome(&received),
        None => "kept".to_owned(),
    }
}

/// Lengths that nothing comes behind.
pub(crate) fn lengths(field: &Arc<Field>) -> Tally {
    storm(field, Size { rate: 200, at_once: 600 }, |number| {
        let field = Arc::clone(field);
        async move {
            let (plain, web) = (field.doors.plain, field.doors.web);
            let frame: &[u8] =
                &[0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0x10, 0x7F, 5, 6];
            match number % 5 {
                // The remaining length, in 3.1.1 and 5.
                0 => say(&field, plain, &[0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4]).await,
                1 => {
                    let begin = b"\x10\xFF\xFF\xFF\x7F\0\x04MQTT\x05\x02\0\x0A\xFF\xFF\xFF\x7F";
                    say(&field, plain, begin).await
                }
                // The properties of a CONNECT that is short.
                2 => {
                    say(&field, plain, b"\x10\x10\0\x04MQTT\x05\x02\0\x0A\xFF\xFF\xFF\x7F\0").await
                }
                // The client identifier.
                3 => say(&field, plain, b"\x10\x0E\0\x04MQTT\x05\x02\0\x0A\0\xFF\xFFx").await,
                _ => say(&field, web, &[UPGRADE, frame].concat()).await,
            }
        }
    })
}

/// What no client sends that is in.
pub(crate) fn malformed(field: &Arc<Field>) -> Tally {
    crowd(field, 4, |client| {
        let field = Arc::clone(field);
        async move {
            let (mut tally, mut pace) = (Tally::default(), Pace::new(10));
            for round in client.. {
                pace.next().await;
                if field.is_over() {
                    break;
                }
                let mut peer = match Peer::enter(&field, &format!("malformed-{client}")).await {
                    Ok(peer) => peer,
                    Err(why) => {
                        tally.note(&why);
                        continue;
                    }
                };
                tally.note("let in");
                if peer.send(&broken(round)).await.is_ok() {
                    peer.hear_out(PATIENCE, &mut tally).await;
                }
            }
            tally
        }
    })
}

/// A packet that is none, of several kinds.
fn broken(round: usize) -> Vec<u8> {
    match round % 8 {
        0 => vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F],
        1 => vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        2 => packet(0x36, b"\0\x01a\0\x01\0"),
        3 => packet(0x30, b"\0\x01#\0x"),
        4 => packet(0x30, b"\xFF\xFFa"),
        5 => packet(0x82, b"\0\x01\0"),
        6 => {
            let property = b"\x26\0\x01k\0\x01v";
            let properties = property.repeat(2000);
            Message { properties: &properties, ..Message::new("mallory/x", b"") }.bytes()
        }
        _ => packet(0x10, b"\0\x04MQTT\x05\x02\0\x0A\0\0\0"),
    }
}

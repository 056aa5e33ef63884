//! First packets of QUIC connections, from many ports, each with another connection identifier.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use portcullis_tests::Dice;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Suite, Version};
use rustls::{ClientConfig, RootCertStore, Side};

use crate::field::Field;
use crate::pace::Pace;
use crate::tally::Tally;

/// Ports, each of another address as far as there are.
const PORTS: usize = 512;

/// Packets that are sent each second.
const RATE: u32 = 3000;

/// Bytes of a datagram with an Initial, at least (RFC 9000, 14.1).
const DATAGRAM: usize = 1200;

/// Bytes of the authentication tag behind a packet.
const TAG: usize = 16;

/// The sender's own connection identifier, which the handshake repeats.
const SOURCE: [u8; 8] = *b"attacker";

/// Sends them, and counts what comes back.
pub(crate) fn flood(field: &Arc<Field>) -> Tally {
    let mut tally = Tally::default();
    let hello = Hello::new();
    let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, field.doors.quic));
    let open = |_| {
        let socket = UdpSocket::bind((field.source(), 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(gateway)?;
        std::io::Result::Ok(socket)
    };
    let sockets: Vec<UdpSocket> = (0..PORTS).filter_map(|at| open(at).ok()).collect();
    let mut dice = Dice::new(11);
    field.runtime().block_on(async {
        let mut pace = Pace::new(RATE);
        for socket in sockets.iter().cycle() {
            pace.next().await;
            if field.is_over() {
                break;
            }
            let datagram = hello.initial(dice.between(0, u64::MAX - 1).to_be_bytes());
            tally.note(if socket.send(&datagram).is_ok() { "sent" } else { "not sent" });
            answers(socket, &mut tally);
        }
    });
    for socket in &sockets {
        answers(socket, &mut tally);
    }
    tally
}

fn answers(socket: &UdpSocket, tally: &mut Tally) {
    let mut bytes = [0; 1500];
    while let Ok(count) = socket.recv(&mut bytes) {
        tally.add("bytes back", count as u64);
        tally.note(kind(&bytes));
    }
}

/// What a packet is, by its first byte (RFC 9000, 17).
fn kind(bytes: &[u8]) -> &'static str {
    match bytes {
        [first, 0, 0, 0, 0, ..] if first & 0x80 != 0 => "Version Negotiation",
        [first, ..] if first & 0x80 == 0 => "short",
        [first, ..] => ["Initial", "0-RTT", "Handshake", "Retry"][usize::from(first >> 4 & 3)],
        [] => "empty",
    }
}

/// A ClientHello that is sent again and again: it costs the sender no key exchange.
struct Hello {
    suite: Suite,
    bytes: Vec<u8>,
}

impl Hello {
    fn new() -> Self {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
        let suite = suite.expect("the suite of Initials");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider knows TLS 1.3")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        // initial_source_connection_id, and what the server may send (RFC 9000, 18.2).
        let mut parameters = vec![0x0F, 8];
        parameters.extend(SOURCE);
        parameters.extend([0x04, 4, 0x80, 0x10, 0, 0, 0x05, 4, 0x80, 0x10, 0, 0]);
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(config), Version::V1, name, parameters);
        let mut bytes = Vec::new();
        client.expect("a client of QUIC").write_hs(&mut bytes);
        Self { suite, bytes }
    }

    /// A datagram with an Initial for this destination (RFC 9000, 17.2.2; RFC 9001, 5).
    fn initial(&self, destination: [u8; 8]) -> Vec<u8> {
        let number = [0_u8; 4];
        let mut header = vec![0xC3, 0, 0, 0, 1, 8];
        header.extend(destination);
        header.push(8);
        header.extend(SOURCE);
        // No token; then the length of what follows, in two bytes.
        header.push(0);
        let rest = DATAGRAM - header.len() - 2;
        header.extend((0x4000 | rest as u16).to_be_bytes());
        let number_at = header.len();
        header.extend(number);

        // A CRYPTO frame at 0, and PADDING.
        let mut payload = vec![0x06, 0];
        payload.extend((0x4000 | self.bytes.len() as u16).to_be_bytes());
        payload.extend(&self.bytes);
        payload.resize(rest - number.len() - TAG, 0);

        let keys = self.suite.keys(&destination, Side::Client, Version::V1).local;
        let tag = keys.packet.encrypt_in_place(0, &header, &mut payload).expect("a key");
        payload.extend(tag.as_ref());
        let (first, others) = header.split_at_mut(1);
        let number = &mut others[number_at - 1..];
        let sample = &payload[..keys.header.sample_len()];
        keys.header.encrypt_in_place(sample, &mut first[0], number).expect("a key");
        [header, payload].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_is_one_that_a_server_can_read() {
        let hello = Hello::new();
        let mut datagram = hello.initial([9; 8]);
        assert_eq!((datagram.len(), kind(&datagram)), (DATAGRAM, "Initial"));
        let keys = hello.suite.keys(&[9; 8], Side::Server, Version::V1).remote;
        let number_at = 6 + 8 + 1 + 8 + 1 + 2;
        let (header, payload) = datagram.split_at_mut(number_at + 4);
        let (first, others) = header.split_at_mut(1);
        let number = &mut others[number_at - 1..];
        keys.header.decrypt_in_place(&payload[..16], &mut first[0], number).expect("the key");
        assert_eq!((header[0], &header[number_at..]), (0xC3, &[0; 4][..]));
        let plain = keys.packet.decrypt_in_place(0, header, payload).expect("the key");
        assert_eq!(plain[0], 0x06);
        assert_eq!(&plain[4..4 + hello.bytes.len()], &hello.bytes[..]);
    }
}

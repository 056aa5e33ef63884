use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt::{
    Ack, ConnAck, ConnAckProperties, Decoded, Decoder, Packet, PacketId, Publish, QoS, ReasonCode,
    SubAck, Version,
};

/// An upstream that says yes to everything. Whether it also delivers what is published is for the test to say.
pub(crate) struct Scripted {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    routes: AtomicBool,
    ended: AtomicBool,
    /// Topics and payloads of what was published, in their order.
    published: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Scripted {
    pub(crate) fn start(routes: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let shared = Arc::new(Shared::default());
        shared.routes.store(routes, Ordering::Relaxed);
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if served.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&served);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, shared }
    }

    /// From now on it delivers what is published to whoever published it, or to nobody.
    pub(crate) fn routes(&self, routes: bool) {
        self.shared.routes.store(routes, Ordering::Relaxed);
    }

    pub(crate) fn published(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the one that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut decoder = Decoder::new(1 << 24);
    let (mut input, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    while !shared.ended.load(Ordering::Relaxed) {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => continue,
            Err(_) => return,
        }
        let mut at = 0;
        while let Ok(Decoded::Packet { packet, len }) = decoder.decode(&input[at..]) {
            if matches!(packet, Packet::Connect(_)) {
                decoder.set_version(Version::V5);
            }
            let mut out = Vec::new();
            for answer in answers(&packet, shared) {
                answer.encode(Version::V5, &mut out).expect("it can be written");
            }
            if stream.write_all(&out).is_err() {
                return;
            }
            at += len;
        }
        input.drain(..at);
    }
}

fn answers<'p>(packet: &Packet<'p>, shared: &Shared) -> Vec<Packet<'p>> {
    let ack = |id: Option<PacketId>| Ack::new(id.unwrap_or(PacketId::MIN), ReasonCode::Success);
    match packet {
        Packet::Connect(_) => vec![Packet::ConnAck(Box::new(ConnAck {
            session_present: false,
            code: ReasonCode::Success,
            properties: ConnAckProperties::default(),
        }))],
        Packet::Subscribe(subscribe) => {
            let codes: Vec<_> = subscribe.filters.iter().map(|_| ReasonCode::GrantedQos2).collect();
            vec![Packet::SubAck(SubAck::new(subscribe.packet_id, codes))]
        }
        Packet::PingReq => vec![Packet::PingResp],
        Packet::Publish(publish) => {
            let topic = publish.topic.map(|it| it.as_str().to_owned()).unwrap_or_default();
            let all = &mut shared.published.lock().unwrap_or_else(PoisonError::into_inner);
            all.push((topic, publish.payload.to_vec()));
            let back = Publish { dup: false, qos: QoS::AtMostOnce, packet_id: None, ..*publish };
            let back = shared.routes.load(Ordering::Relaxed).then_some(Packet::Publish(back));
            let answer = match publish.qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some(Packet::PubAck(ack(publish.packet_id))),
                QoS::ExactlyOnce => Some(Packet::PubRec(ack(publish.packet_id))),
            };
            answer.into_iter().chain(back).collect()
        }
        Packet::PubRel(release) => vec![Packet::PubComp(ack(Some(release.packet_id)))],
        _ => Vec::new(),
    }
}

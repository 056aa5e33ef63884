use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::{Admission, Admitted, Answer, Conversation, Verdict};
use extension_host::Connecting;
use mqtt::{
    ConnAck, ConnAckProperties, Connect, DecodeError, Decoded, Decoder, Packet, ReasonCode, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use transport::{Incoming, PeerIdentity, Stream};

use crate::accept::Door;
use crate::chain::{Refusal, Standing};
use crate::connecting::connecting;
use crate::hub::Registration;
use crate::judge::Judge;
use crate::link::{FAREWELL, LINGER, Link};

/// Bytes of a CONNECT at most: whoever sends it is not known yet. Its will is the only part that
/// may reasonably be long.
const CONNECT_BYTES_MAX: u32 = 128 * 1024;

/// Bytes of a client identifier at most. It becomes part of topics, rules and log lines; MQTT
/// itself asks for 23 (5.0, MQTT-3.1.3-5).
const CLIENT_ID_BYTES_MAX: usize = 256;

/// The last protocol level that understands the CONNACK of MQTT 3.1.1.
const OLD_LEVEL_MAX: u8 = 4;

/// A client that is in.
pub(crate) struct Greeting {
    pub(crate) link: Link<Stream>,
    pub(crate) judge: Judge,
}

/// The way in: TLS handshake, CONNECT, the extensions' decision, a session. `None` if it ends
/// anywhere before; the client has been told then, where MQTT has words for it.
pub(crate) async fn greet(door: &Door, incoming: Incoming) -> Option<Greeting> {
    let until = Instant::now() + door.connect_timeout;
    let address = incoming.peer;
    let turned_away = |why: &str| door.reporter.turned_away(&door.name, address.ip(), why);
    let connection = match tokio::time::timeout_at(until, incoming.establish()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            turned_away(&error.to_string());
            return None;
        }
        Err(_) => {
            turned_away("the handshake was not over within connect-timeout");
            return None;
        }
    };
    let mut stream = connection.stream;
    let mut bytes = Vec::new();
    let limit = CONNECT_BYTES_MAX.min(door.max_packet_size);
    let mut decoder = Decoder::new(limit);
    let read = read_packet(&mut stream, &mut decoder, &mut bytes);
    match tokio::time::timeout_at(until, read).await {
        Ok(Ok(())) => {}
        Ok(Err(NoConnect::Gone(why))) => {
            turned_away(&why);
            return None;
        }
        Ok(Err(NoConnect::Broken(error))) => {
            turned_away(&error.to_string());
            if let DecodeError::ProtocolLevel { level } = error {
                let version = if level <= OLD_LEVEL_MAX { Version::V3_1_1 } else { Version::V5 };
                refuse(stream, version, error.reason_code()).await;
            }
            return None;
        }
        Err(_) => {
            turned_away("CONNECT did not arrive within connect-timeout");
            return None;
        }
    }
    let mut decoder = Decoder::new(limit);
    let Ok(Decoded::Packet { packet: Packet::Connect(connect), len }) = decoder.decode(&bytes)
    else {
        turned_away("the first packet is not CONNECT (MQTT-3.1.0-1)");
        return None;
    };
    let visitor = Visitor { door, address, connect: &connect, until };
    match visitor.admit(connection.peer).await {
        Ok(Admittance { registration, conversation, judge }) => {
            let mut decoder = Decoder::new(door.max_packet_size);
            decoder.set_version(connect.version);
            let rest = bytes.get(len..).unwrap_or_default().to_vec();
            let hub = Arc::clone(&door.hub);
            let link = Link::new(stream, hub, registration, conversation, decoder, rest);
            Some(Greeting { link, judge })
        }
        Err(code) => {
            refuse(stream, connect.version, code).await;
            None
        }
    }
}

/// A client that has sent its CONNECT.
struct Visitor<'a> {
    door: &'a Door,
    address: SocketAddr,
    connect: &'a Connect<'a>,
    until: Instant,
}

struct Admittance {
    registration: Registration,
    conversation: Conversation,
    judge: Judge,
}

impl Visitor<'_> {
    /// Has the chain decide, and takes a session. Logs the outcome either way; a refusal is what
    /// CONNACK says.
    async fn admit(&self, peer: PeerIdentity) -> Result<Admittance, ReasonCode> {
        let client_id = match self.client_id() {
            Ok(client_id) => client_id,
            Err(refusal) => return Err(self.refused(self.connect.client_id, &refusal)),
        };
        let registration = self.door.hub.register();
        let connecting =
            connecting(registration.link.0, &self.door.name, peer, self.connect, &client_id);
        let decided = self.door.chain.admit(&connecting, self.connect.password, self.until).await;
        let standing = decided.map_err(|refusal| self.refused(&client_id, &refusal))?;
        let judge = Judge::new(Arc::clone(&self.door.bench), &standing, &connecting);
        match self.enter(&registration, &standing, &judge).await {
            Ok(conversation) => {
                self.accepted(&connecting, &standing);
                Ok(Admittance { registration, conversation, judge })
            }
            Err(refusal) => Err(self.refused(&client_id, &refusal)),
        }
    }

    /// The identifier of the client's session: its own, or one made for it.
    fn client_id(&self) -> Result<Arc<str>, Refusal> {
        let connect = self.connect;
        if connect.properties.authentication_method.is_some() {
            let why = "CONNECT asks for enhanced authentication, which no extension offers";
            return Err(Refusal::ours(ReasonCode::BadAuthenticationMethod, why));
        }
        let invalid = |why: String| Refusal::ours(ReasonCode::ClientIdentifierNotValid, why);
        match connect.client_id.len() {
            0 if connect.version == Version::V3_1_1 && !connect.clean_start => Err(invalid(
                "the client identifier is empty, which takes Clean Session 1 (3.1.1, MQTT-3.1.3-8)"
                    .to_owned(),
            )),
            0 => Ok(self.door.hub.new_client_id()),
            1..=CLIENT_ID_BYTES_MAX => Ok(connect.client_id.into()),
            bytes => Err(invalid(format!(
                "the client identifier has {bytes} bytes, the most is {CLIENT_ID_BYTES_MAX}"
            ))),
        }
    }

    /// Takes a session of the broker, asking the extension about the will if need be.
    async fn enter(
        &self,
        registration: &Registration,
        standing: &Standing,
        judge: &Judge,
    ) -> Result<Conversation, Refusal> {
        let mut will_verdict = None;
        loop {
            let admission = Admission {
                link: registration.link,
                connect: self.connect,
                client_id: Arc::clone(&standing.identity.client_id),
                principal: Arc::clone(&standing.identity.principal),
                attributes: standing.identity.attributes.clone(),
                permissions: Arc::clone(&standing.permissions),
                valid_for_ms: standing.valid_for_ms,
                limits: standing.limits,
                will_verdict: will_verdict.take(),
            };
            match self.door.hub.connect(admission) {
                Admitted::Accepted(conversation) => return Ok(conversation),
                Admitted::Refused(closing) => {
                    return Err(Refusal::ours(closing.code, closing.why));
                }
                Admitted::Ask(question) => {
                    will_verdict = Some(match judge.answer(question).await {
                        Answer::Publish(verdict) => verdict,
                        Answer::Subscribe(_) => {
                            Verdict::Deny { why: "the will was not answered about".to_owned() }
                        }
                    });
                }
            }
        }
    }

    fn accepted(&self, connecting: &Connecting, standing: &Standing) {
        tracing::info!(
            listener = &*self.door.name,
            peer = %self.address,
            client = connecting.client_id,
            principal = &*standing.identity.principal,
            authenticated_by = &*standing.authenticated_by,
            permissions_by = standing.permissions.source(),
            took_us = micros(standing.took),
            "client accepted"
        );
    }

    /// Names what was shown, never the password.
    fn refused(&self, client_id: &str, refusal: &Refusal) -> ReasonCode {
        let address = self.address.ip().to_string();
        if let Some(suppressed) = self.door.reporter.sample("refused", &address) {
            tracing::info!(
                listener = &*self.door.name,
                peer = %self.address,
                client = &*shortened(client_id),
                username = self.connect.username.map(shortened).as_deref(),
                code = refusal.code.as_u8(),
                decided_by = refusal.by.as_deref().unwrap_or("gateway"),
                why = refusal.why,
                took_us = micros(refusal.took),
                suppressed,
                "client refused"
            );
        }
        refusal.code
    }
}

/// Why there is no packet.
enum NoConnect {
    Gone(String),
    Broken(DecodeError),
}

/// Reads until `bytes` begins with a whole packet.
async fn read_packet(
    stream: &mut Stream,
    decoder: &mut Decoder,
    bytes: &mut Vec<u8>,
) -> Result<(), NoConnect> {
    loop {
        match decoder.decode(bytes) {
            Ok(Decoded::Packet { .. }) => return Ok(()),
            Ok(Decoded::Incomplete { missing }) => {
                let wanted = bytes.len().saturating_add(missing);
                while bytes.len() < wanted {
                    let room = CONNECT_BYTES_MAX as usize;
                    let received =
                        stream.receive(room, |piece| bytes.extend_from_slice(piece)).await;
                    match received {
                        Ok(0) => {
                            let why = "the peer closed the connection before CONNECT was complete";
                            return Err(NoConnect::Gone(why.to_owned()));
                        }
                        Ok(_) => {}
                        Err(error) => {
                            return Err(NoConnect::Gone(format!("cannot read CONNECT: {error}")));
                        }
                    }
                }
            }
            Err(error) => return Err(NoConnect::Broken(error)),
        }
    }
}

/// Sends a CONNACK that refuses, and closes once the peer has had the time to read it.
async fn refuse(mut stream: Stream, version: Version, code: ReasonCode) {
    let properties = ConnAckProperties::default();
    let connack =
        Packet::ConnAck(Box::new(ConnAck { session_present: false, code, properties }));
    let mut bytes = Vec::new();
    if connack.encode(version, &mut bytes).is_err() {
        // A code that CONNACK cannot carry: the least that it can say.
        bytes.clear();
        let code = ReasonCode::UnspecifiedError;
        let properties = ConnAckProperties::default();
        let connack = ConnAck { session_present: false, code, properties };
        if Packet::ConnAck(Box::new(connack)).encode(version, &mut bytes).is_err() {
            return;
        }
    }
    let told = async {
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(LINGER, told).await, Ok(Ok(()))) {
        return;
    }
    // Closing over unread bytes would reset the connection, and a reset overtakes the CONNACK.
    let mut rest = [0; 512];
    let drained = async { while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {} };
    let _ = tokio::time::timeout(FAREWELL, drained).await;
}

/// The beginning of what a stranger sent, for the log.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= CLIENT_ID_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(CLIENT_ID_BYTES_MAX);
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::{Admission, Admitted, Answer, Conversation, Verdict};
use extension_host::Connecting;
use mqtt::{Connect, ReasonCode};
use tokio::time::Instant;
use transport::PeerIdentity;

use crate::accept::Door;
use crate::chain::{Refusal, Standing};
use crate::connecting::connecting;
use crate::hub::Registration;
use crate::judge::Judge;

/// Bytes of a client identifier at most. It becomes part of topics, rules and log lines; MQTT
/// itself asks for 23 (5.0, MQTT-3.1.3-5).
const CLIENT_ID_BYTES_MAX: usize = 256;

/// A client that has sent its CONNECT.
pub(crate) struct Visitor<'a> {
    pub(crate) door: &'a Door,
    pub(crate) address: SocketAddr,
    pub(crate) connect: &'a Connect<'a>,
    /// How long it may take to decide.
    pub(crate) until: Instant,
}

/// What a client is let in with.
pub(crate) struct Admittance {
    pub(crate) registration: Registration,
    pub(crate) conversation: Conversation,
    pub(crate) judge: Judge,
}

impl Visitor<'_> {
    /// Has the chain decide, and takes a session. Logs the outcome either way; a refusal is what
    /// CONNACK says.
    pub(crate) async fn admit(&self, peer: PeerIdentity) -> Result<Admittance, ReasonCode> {
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
        if let Some(rule) = connect.client_id_fault() {
            let bytes = connect.client_id.len();
            return Err(invalid(format!("the client identifier has {bytes} bytes; {rule}")));
        }
        match connect.client_id.len() {
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
        if let Some(suppressed) = self.door.reporter.refusal(self.address.ip()) {
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

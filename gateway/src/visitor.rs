use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use auth::Fallback;
use broker::{Admission, Admitted, Answer, Closing, Conversation, Verdict};
use extension_host::Connecting;
use mqtt::{Auth, Connect, ReasonCode, Version};
use tokio::time::Instant;
use transport::{Address, CertificateKey, PeerIdentity};
use warden::Newcomer;

use crate::accept::Door;
use crate::badges::Badge;
use crate::bridges;
use crate::chain::{Caller, Refusal, Standing};
use crate::connecting::connecting;
use crate::decisions::Origin;
use crate::dialogue::{Dialogue, NotAdmitted};
use crate::exchange::{Exchange, Turn};
use crate::hub::Registration;
use crate::judge::Judge;
use crate::presence::Presence;
use crate::reauthentication::Reauthentication;
use crate::sentry::{self, Visit};

/// Bytes of a client identifier at most. It becomes part of topics, rules and log lines; MQTT
/// itself asks for 23 (5.0, MQTT-3.1.3-5).
const CLIENT_ID_BYTES_MAX: usize = 256;

/// A client that has sent its CONNECT.
pub(crate) struct Visitor<'a> {
    pub(crate) door: &'a Door,
    pub(crate) address: Address,
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

/// A client is not let in.
pub(crate) struct Dismissal {
    /// What CONNACK says; nothing to a client that has gone.
    pub(crate) code: Option<ReasonCode>,
    /// How long that is to be kept back.
    pub(crate) after: Duration,
}

impl Visitor<'_> {
    /// Has the chain decide, and takes a session. Logs the outcome either way.
    pub(crate) async fn admit(
        &self,
        peer: PeerIdentity,
        dialogue: &mut Dialogue,
        visit: &mut Visit,
    ) -> Result<Admittance, Dismissal> {
        let shown = self.connect.client_id;
        let client_id = self.client_id().map_err(|refusal| self.dismissed(shown, &refusal))?;
        self.greet(visit).await.map_err(|refusal| self.dismissed(shown, &refusal))?;
        let certificates = peer.certificate_keys();
        let registration = self.door.hub.register();
        let connecting =
            connecting(registration.link.0, &self.door.name, peer, self.connect, &client_id);
        let standing = match self.decide(&connecting, dialogue).await {
            Ok(standing) => standing,
            Err(NotAdmitted::Refused(refusal)) => {
                let after = self.held_against(visit, &refusal);
                return Err(Dismissal { after, ..self.dismissed(&client_id, &refusal) });
            }
            Err(NotAdmitted::Gone(why)) => {
                self.door.reporter.turned_away(&self.door.name, &self.address, &why);
                return Err(Dismissal { code: None, after: Duration::ZERO });
            }
        };
        self.introduce(visit, &standing).map_err(|refusal| self.dismissed(&client_id, &refusal))?;
        let method = self.connect.properties.authentication_method;
        let again = method
            .map(|method| Reauthentication::new(&self.door.chain, &connecting, method, &standing));
        let screened = self.door.screen.screened(&standing.identity, &connecting);
        let listener = screened.is_some().then_some(self.door.number);
        let mut judge =
            Judge::new(Arc::clone(&self.door.bench), &standing, &connecting, again, screened)
                .telling(self.door.reporter.decisions.as_ref());
        match self.enter(&registration, &standing, listener, &mut judge).await {
            Ok(conversation) => {
                self.accepted(&connecting, &standing);
                let badge = self.badge(certificates, &standing);
                registration.introduce(self.presence(&connecting, &standing, &judge, badge));
                self.look_again(&standing);
                Ok(Admittance { registration, conversation, judge })
            }
            Err(refusal) => Err(self.dismissed(&client_id, &refusal)),
        }
    }

    /// Keeps out everybody while memory is short, and who is banned, and has those wait under whose name somebody guesses passwords.
    async fn greet(&self, visit: &Visit) -> Result<(), Refusal> {
        if let Some(why) = self.door.hub.lacks_memory_for_clients() {
            return Err(Refusal::ours(ReasonCode::QuotaExceeded, why));
        }
        let greeted = visit.greet(self.connect.username, self.connect.client_id);
        let wait = greeted.map_err(|refusal| kept_out(&refusal))?;
        // Half of its time is left for the decision.
        let left = self.until.saturating_duration_since(Instant::now());
        if self.door.sentry.keep_back(wait.min(left / 2)).await {
            return Ok(());
        }
        let why = "many fail to authenticate under its user name, and too many wait for their turn";
        Err(Refusal::ours(ReasonCode::ServerBusy, why))
    }

    /// A refusal that says that the client has not shown who it is counts: answers how long it is to be kept back.
    fn held_against(&self, visit: &Visit, refusal: &Refusal) -> Duration {
        match refusal.code {
            ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::BadAuthenticationMethod => {
                visit.failed(self.connect.username, self.connect.client_id)
            }
            ReasonCode::ServerBusy if refusal.by.is_none() => {
                self.door.sentry.busy.increment();
                Duration::ZERO
            }
            _ => Duration::ZERO,
        }
    }

    /// It is known who the client is.
    fn introduce(&self, visit: &mut Visit, standing: &Standing) -> Result<(), Refusal> {
        let identity = &standing.identity;
        let newcomer = Newcomer {
            user: self.connect.username,
            client: self.connect.client_id,
            principal: &identity.principal,
            takes_over: self.door.hub.is_connected(&identity.client_id),
        };
        visit.admit(&newcomer).map_err(|refusal| kept_out(&refusal))
    }

    /// A ban that was made while the client was on its way in holds for it too: whoever made it may have looked for it too
    /// early.
    fn look_again(&self, standing: &Standing) {
        let identity = &standing.identity;
        let guest = warden::Guest {
            address: self.address.ip(),
            identity: Some(&identity.principal),
            client: Some(&identity.client_id),
        };
        if self.door.sentry.has_banned(guest) {
            let closing =
                Closing::new(ReasonCode::AdministrativeAction, "banned while it connected");
            self.door.hub.dismiss(&identity.client_id, closing);
        }
    }

    fn dismissed(&self, client_id: &str, refusal: &Refusal) -> Dismissal {
        Dismissal { code: Some(self.refused(client_id, refusal)), after: Duration::ZERO }
    }

    /// Who the client is and what it may do: by its password, or by the exchange that its CONNECT asks for.
    async fn decide(
        &self,
        connecting: &Arc<Connecting>,
        dialogue: &mut Dialogue,
    ) -> Result<Standing, NotAdmitted> {
        let (chain, properties) = (&self.door.chain, &self.connect.properties);
        let Some(method) = properties.authentication_method else {
            return Ok(chain.admit(connecting, self.connect.password, self.until).await?);
        };
        let mut exchange = Exchange::begin(chain, connecting, method)?;
        let mut said = properties.authentication_data.map(<[u8]>::to_vec);
        loop {
            match exchange.step(said, Caller::Stranger { until: self.until }).await? {
                Turn::Accepted(standing) => {
                    dialogue.check_silence()?;
                    return Ok(*standing);
                }
                Turn::Challenge { exchange: next, data } => {
                    let code = ReasonCode::ContinueAuthentication;
                    let auth = Auth { data: data.as_deref(), ..Auth::new(code, Some(method)) };
                    self.check_size(&auth)?;
                    said = dialogue.challenge(&auth, self.until).await?;
                    exchange = next;
                }
            }
        }
    }

    /// Whether the client accepts a packet of this size.
    fn check_size(&self, auth: &Auth<'_>) -> Result<(), Refusal> {
        let Some(most) = self.connect.properties.maximum_packet_size else { return Ok(()) };
        let mut bytes = Vec::new();
        let fits = auth.encode(Version::V5, &mut bytes).is_ok() && bytes.len() <= most as usize;
        let why = "a challenge is larger than the client accepts (MQTT-3.1.2-24)";
        if fits { Ok(()) } else { Err(Refusal::ours(ReasonCode::PacketTooLarge, why)) }
    }

    /// The identifier of the client's session: its own, or one made for it.
    fn client_id(&self) -> Result<Arc<str>, Refusal> {
        let connect = self.connect;
        let invalid = |why: String| Refusal::ours(ReasonCode::ClientIdentifierNotValid, why);
        if let Some(rule) = connect.client_id_fault() {
            let bytes = connect.client_id.len();
            return Err(invalid(format!("the client identifier has {bytes} bytes; {rule}")));
        }
        if connect.client_id.starts_with(bridges::CLIENT_ID_PREFIX) {
            let prefix = bridges::CLIENT_ID_PREFIX;
            return Err(invalid(format!(
                "client identifiers that begin with {prefix} are of bridges"
            )));
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
        listener: Option<u16>,
        judge: &mut Judge,
    ) -> Result<Conversation, Refusal> {
        let (mut will_verdict, mut will_interception) = (None, None);
        loop {
            let admission = Admission {
                link: registration.link,
                connect: self.connect,
                client_id: Arc::clone(&standing.identity.client_id),
                principal: Arc::clone(&standing.identity.principal),
                attributes: standing.identity.attributes.clone(),
                permissions: Arc::clone(&standing.permissions),
                authentication_data: standing.authentication_data.as_deref(),
                valid_for_ms: standing.valid_for_ms,
                durability: self.door.durability,
                limits: standing.limits,
                will_verdict: will_verdict.clone(),
                will_interception: will_interception.take(),
                listener,
                arrangement: None,
            };
            match self.door.hub.connect(admission) {
                Admitted::Accepted(conversation) => return Ok(conversation),
                Admitted::Refused(closing) => {
                    return Err(Refusal::ours(closing.code, closing.why));
                }
                Admitted::Ask(question) => match judge.answer(question).await {
                    Answer::Publish(ruling) => will_verdict = Some(ruling.verdict),
                    Answer::Intercept(made) => will_interception = Some(made),
                    Answer::Subscribe(_) | Answer::Authenticate(_) => {
                        let code = ReasonCode::ImplementationSpecificError;
                        let why = "the will was not answered about".into();
                        will_verdict = Some(Verdict::Deny { code, why });
                    }
                },
            }
        }
    }

    fn origin<'b>(&'b self, client_id: &'b str) -> Origin<'b> {
        Origin { listener: &self.door.name, address: self.address, client_id }
    }

    /// What of the client's certificates is to be kept, if it has any.
    fn badge(&self, keys: Vec<CertificateKey>, standing: &Standing) -> Option<Box<Badge>> {
        let client_id = &standing.identity.client_id;
        let (listener, client_id) = (Arc::clone(&self.door.name), Arc::clone(client_id));
        (!keys.is_empty()).then(|| Box::new(Badge { listener, client_id, keys }))
    }

    fn presence(
        &self,
        connecting: &Arc<Connecting>,
        standing: &Standing,
        judge: &Judge,
        badge: Option<Box<Badge>>,
    ) -> Presence {
        let asks = standing.permissions.permissions().fallback == Fallback::Ask;
        let again = self.connect.properties.authentication_method.is_some();
        Presence {
            listener: Arc::clone(&self.door.name),
            address: self.address,
            since: self.door.hub.now(),
            authenticated_by: Arc::clone(&standing.authenticated_by),
            connecting: (asks || again).then(|| Arc::clone(connecting)),
            memory: judge.memory().clone(),
            badge,
        }
    }

    fn accepted(&self, connecting: &Connecting, standing: &Standing) {
        if let Some(decisions) = &self.door.reporter.decisions {
            decisions.accepted(&self.origin(&connecting.client_id), standing);
        }
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
        if let Some(decisions) = &self.door.reporter.decisions {
            decisions.refused(&self.origin(&shortened(client_id)), refusal);
        }
        if let Some(suppressed) = self.door.reporter.refusal(&self.address) {
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

/// The warden's word, as everybody else says it.
fn kept_out(refusal: &warden::Refusal) -> Refusal {
    Refusal::ours(sentry::code(refusal), refusal.to_string())
}

/// The beginning of what a stranger sent, for the log.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= CLIENT_ID_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(CLIENT_ID_BYTES_MAX);
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

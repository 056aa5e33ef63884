//! Clients that prove again who they are while they are connected (MQTT 5, 4.12.1).

use std::sync::Arc;

use mqtt::{Auth, Packet, ReasonCode, Version};
use session::Timestamp;

use crate::client::Online;
use crate::pace::Pace;
use crate::{Answer, Authentication, Broker, Closing, Event, Flow, Question, Renewal};

/// The method that CONNECT named.
#[derive(Debug)]
pub(crate) struct Method {
    name: Arc<str>,
    /// The client has been sent a challenge and has not answered it.
    challenged: bool,
}

impl Method {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), challenged: false }
    }

    /// Whether this AUTH may come now; if so, whether it begins an exchange.
    fn check(&self, auth: &Auth<'_>) -> Result<bool, &'static str> {
        if auth.method != Some(&self.name) {
            return Err("AUTH names another authentication method than CONNECT (MQTT-4.12.0-5)");
        }
        match (auth.code, self.challenged) {
            (ReasonCode::ReAuthenticate, false) => Ok(true),
            (ReasonCode::ContinueAuthentication, true) => Ok(false),
            (ReasonCode::ReAuthenticate, true) => {
                Err("AUTH begins a re-authentication while one is under way (MQTT 5, 4.12.1)")
            }
            (ReasonCode::ContinueAuthentication, false) => {
                Err("AUTH continues although there was no challenge (MQTT-4.12.0-3)")
            }
            _ => Err("AUTH says success, which only a server can say (MQTT 5, table 3-11)"),
        }
    }
}

impl Broker {
    /// AUTH of a connected client: an extension is asked, and what it says is carried out.
    /// The earlier authentication counts until then.
    pub(crate) fn auth(
        &mut self,
        now: Timestamp,
        session: u32,
        auth: &Auth<'_>,
        answer: Option<Answer>,
    ) -> Result<Flow, Closing> {
        let broken = |why: &str| Closing::new(ReasonCode::ProtocolError, why);
        let Some(online) = self.online(session) else { return Ok(Flow::Closed) };
        let Some(method) = &online.method else {
            return Err(broken(
                "AUTH was sent although CONNECT named no authentication method (MQTT-4.12.0-7)",
            ));
        };
        let begins = method.check(auth).map_err(broken)?;
        let Some(Answer::Authenticate(answer)) = answer else {
            return Ok(Flow::Ask(Question::Authenticate {
                begins,
                data: auth.data.map(Into::into),
            }));
        };
        match answer {
            Authentication::Challenge { data } => {
                let code = ReasonCode::ContinueAuthentication;
                self.reply(session, code, data.as_deref())?;
            }
            Authentication::Renew(renewal) => self.renew(now, session, &renewal)?,
            Authentication::Refuse { code, why } => return Err(Closing::new(code, why)),
        }
        Ok(Flow::Continue)
    }

    /// Puts the new grant in the place of the one that the client came with.
    fn renew(&mut self, now: Timestamp, session: u32, renewal: &Renewal) -> Result<(), Closing> {
        let Some(client) = self.clients.get_mut(session as usize) else { return Ok(()) };
        if client.identity.principal != renewal.principal {
            let why = format!(
                "the client authenticated again as {:?}, the connection belongs to {:?}",
                renewal.principal, client.identity.principal
            );
            return Err(Closing::new(ReasonCode::NotAuthorized, why));
        }
        let max_subscriptions = self.max_subscriptions(&renewal.limits);
        let Some(client) = self.clients.get_mut(session as usize) else { return Ok(()) };
        client.identity.attributes.clone_from(&renewal.attributes);
        client.permissions = Some(Arc::clone(&renewal.permissions));
        if let Some(online) = client.online.as_mut() {
            let valid_for = renewal.valid_for_ms.map(std::time::Duration::from_millis);
            online.authorized_until = valid_for.map(|valid_for| now.after(valid_for));
            // It was allowed under the permissions from before.
            online.last_publish = None;
            online.max_subscriptions = max_subscriptions;
            if online.limits != renewal.limits {
                online.limits = renewal.limits;
                online.pace = Pace::new(&renewal.limits, now);
            }
        }
        let (client_id, principal) = client.whose();
        if !client.subscriptions.is_empty() {
            self.subscriptions.invalidate();
        }
        self.set_alarm(session);
        self.event(Event::Reauthenticated { client_id, principal });
        self.reply(session, ReasonCode::Success, renewal.data.as_deref())
    }

    /// AUTH to the client.
    fn reply(
        &mut self,
        session: u32,
        code: ReasonCode,
        data: Option<&[u8]>,
    ) -> Result<(), Closing> {
        let Some(online) = self.online(session) else { return Ok(()) };
        let Some(method) = online.method.as_mut() else { return Ok(()) };
        method.challenged = code == ReasonCode::ContinueAuthentication;
        let auth = Packet::Auth(Auth { data, ..Auth::new(code, Some(&method.name)) });
        let mut bytes = Vec::new();
        auth.encode(Version::V5, &mut bytes).map_err(|error| {
            Closing::new(ReasonCode::ImplementationSpecificError, error.to_string())
        })?;
        if bytes.len() > online.max_packet_size {
            let (size, most) = (bytes.len(), online.max_packet_size);
            let why = format!("AUTH takes {size} bytes, the client accepts {most} (MQTT-3.1.2-24)");
            return Err(Closing::new(ReasonCode::PacketTooLarge, why));
        }
        online.outbox.packet_mut().extend_from_slice(&bytes);
        self.wake(session);
        Ok(())
    }

    fn online(&mut self, session: u32) -> Option<&mut Online> {
        self.clients.get_mut(session as usize)?.online.as_mut()
    }
}

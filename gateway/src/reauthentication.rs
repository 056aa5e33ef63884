use std::sync::Arc;

use auth::Identity;
use broker::{Authentication, Renewal};
use extension_host::{Connecting, Extension};
use mqtt::{PacketKind, ReasonCode};
use tokio::sync::Semaphore;

use crate::chain::{Caller, Chain, Refusal, Standing};
use crate::exchange::{Exchange, Turn};

/// How a client that is in by a method of enhanced authentication proves again who it is (MQTT 5, 4.12.1).
pub(crate) struct Reauthentication {
    chain: Chain,
    connecting: Arc<Connecting>,
    method: Arc<str>,
    identity: Arc<Identity>,
    /// The extension that let it in.
    authenticator: Extension,
    /// The exchange that is under way.
    exchange: Option<Exchange>,
}

impl Reauthentication {
    pub(crate) fn new(
        chain: &Chain,
        connecting: &Arc<Connecting>,
        method: &str,
        standing: &Standing,
    ) -> Box<Self> {
        Box::new(Self {
            chain: chain.clone(),
            connecting: Arc::clone(connecting),
            method: method.into(),
            identity: Arc::clone(&standing.identity),
            authenticator: standing.authenticator.clone(),
            exchange: None,
        })
    }

    pub(crate) fn connecting(&self) -> &Arc<Connecting> {
        &self.connecting
    }

    /// What comes of an AUTH of the client; at the end of an exchange also what it is let in with now.
    pub(crate) async fn step(
        &mut self,
        begins: bool,
        data: Option<Box<[u8]>>,
        bench: &Arc<Semaphore>,
    ) -> (Authentication, Option<Box<Standing>>) {
        let begun = self.exchange.take().filter(|_| !begins);
        let exchange = begun.unwrap_or_else(|| {
            let Self { chain, connecting, method, identity, authenticator, .. } = self;
            Exchange::again(chain, connecting, method, identity, authenticator)
        });
        let caller = Caller::Client { bench: Arc::clone(bench) };
        match exchange.step(data.map(Vec::from), caller).await {
            Ok(Turn::Challenge { exchange, data }) => {
                self.exchange = Some(exchange);
                (Authentication::Challenge { data }, None)
            }
            Ok(Turn::Accepted(standing)) => {
                self.identity = Arc::clone(&standing.identity);
                let renewal = Renewal {
                    principal: Arc::clone(&standing.identity.principal),
                    attributes: standing.identity.attributes.clone(),
                    permissions: Arc::clone(&standing.permissions),
                    valid_for_ms: standing.valid_for_ms,
                    limits: standing.limits,
                    data: standing.authentication_data.clone(),
                };
                (Authentication::Renew(Box::new(renewal)), Some(standing))
            }
            Err(refusal) => (refused(refusal), None),
        }
    }
}

/// CONNACK has words that DISCONNECT lacks.
fn refused(refusal: Refusal) -> Authentication {
    let code = match refusal.code {
        code if PacketKind::Disconnect.allows(code) => code,
        ReasonCode::ServerUnavailable => ReasonCode::ServerBusy,
        _ => ReasonCode::NotAuthorized,
    };
    let by = refusal.by.as_deref().unwrap_or("gateway");
    let why = format!("re-authentication failed, decided by {by}: {}", refusal.why);
    Authentication::Refuse { code, why }
}

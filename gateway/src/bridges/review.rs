use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth::Identity;
use bridge::{Passing, Ruling};
use broker::{Draft, Interception};
use config::MessageGrant;
use extension_host::{Connecting, Extension, PeerAddress, Transport};
use mqtt::TopicFilterBuf;

use super::CLIENT_ID_PREFIX;
use crate::screen::{Forwarded, Screen, Screened};

/// How often a message is shown again to an extension that fails at it, before it becomes a dead letter.
const TRIES: u32 = 3;

/// The pause between two of these; as long for an extension that cannot be asked at all.
const PAUSE: Duration = Duration::from_secs(1);

/// The extensions that see what a bridge sends.
pub(crate) struct Review {
    screen: Arc<Screen>,
    who: Arc<Identity>,
    connecting: Arc<Connecting>,
    /// The topics of which they want to see messages.
    filters: Mutex<Arc<[TopicFilterBuf]>>,
}

/// A decision that takes its time.
pub(super) type Thinking = Pin<Box<dyn Future<Output = Ruling> + Send>>;

impl Review {
    /// By the extensions of this chain, which know the bridge as a client of its own name.
    pub(super) fn new(name: &str, chain: &[Extension]) -> Arc<Self> {
        let client_id = format!("{CLIENT_ID_PREFIX}{name}");
        let who = Arc::new(Identity {
            client_id: client_id.as_str().into(),
            principal: client_id.as_str().into(),
            attributes: Vec::new(),
        });
        let connecting = Arc::new(Connecting {
            connection_id: 0,
            client_id: client_id.clone(),
            username: None,
            version: mqtt::Version::V5,
            transport: Transport::Bridge,
            listener: client_id,
            peer_address: PeerAddress::Ip(std::net::Ipv4Addr::LOCALHOST.into()),
            server_name: None,
            alpn: None,
            keep_alive: 0,
            clean_start: false,
            session_expiry: u32::MAX,
            user_properties: Vec::new(),
            will_topic: None,
            certificates: Vec::new(),
            certificate: None,
        });
        let filters = Mutex::default();
        Arc::new(Self { screen: Screen::new(chain), who, connecting, filters })
    }

    /// Learns anew what the extensions want to see.
    pub(crate) fn look(&self, grants: &BTreeMap<String, Arc<MessageGrant>>) {
        let filters = self.screen.look(grants).publish.into();
        *self.filters.lock().unwrap_or_else(PoisonError::into_inner) = filters;
    }

    /// The topics of which they want to see messages.
    pub(super) fn filters(&self) -> Arc<[TopicFilterBuf]> {
        Arc::clone(&self.filters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is to become of a message: at once, if the extensions answer at once.
    pub(super) fn decide(&self, passing: Passing) -> Result<Ruling, Thinking> {
        let draft = draft(passing);
        let Some(screened) = self.screen.screened(&self.who, &self.connecting) else {
            return Ok(Ruling::Pass);
        };
        match screened.forward_now(&draft) {
            Some(Forwarded::Made(made)) => Ok(ruling(made)),
            _ => Err(Box::pin(think(screened, draft))),
        }
    }
}

/// Asks until there is an answer. An extension that fails is no answer, and one that cannot be asked is waited for.
async fn think(screened: Screened, draft: Draft) -> Ruling {
    let (screened, draft) = (Arc::new(screened), Arc::new(draft));
    let mut tries = 0;
    loop {
        let (asked, message) = (Arc::clone(&screened), Arc::clone(&draft));
        let job = tokio::task::spawn_blocking(move || asked.forward(&message));
        match job.await {
            Ok(Forwarded::Made(made)) => return ruling(made),
            Ok(Forwarded::Failed { by, why, is_its_own }) => {
                tries += u32::from(is_its_own);
                tracing::debug!(
                    extension = &*by,
                    why,
                    tries,
                    "extension failed at a message for upstream"
                );
                if tries == TRIES {
                    return Ruling::Refuse(format!("{by}: {why}, {TRIES} times"));
                }
            }
            Err(panic) => tracing::error!(%panic, "the call of an extension did not end in order"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn draft(passing: Passing) -> Draft {
    Draft {
        topic: passing.topic,
        payload: passing.payload,
        qos: passing.qos,
        retain: passing.retain,
        properties: passing.properties,
        expiry_seconds: passing.expiry_seconds,
    }
}

fn ruling(made: Interception) -> Ruling {
    let passing = |draft: Draft| Passing {
        topic: draft.topic,
        payload: draft.payload,
        qos: draft.qos,
        retain: draft.retain,
        properties: draft.properties,
        expiry_seconds: draft.expiry_seconds,
    };
    match made {
        Interception::Pass => Ruling::Pass,
        Interception::Discard => Ruling::Discard,
        Interception::Refuse { code, why } => {
            Ruling::Refuse(format!("{why} (0x{:02X}, {code})", code.as_u8()))
        }
        Interception::Replace(drafts) => Ruling::Replace(drafts.into_iter().map(passing).collect()),
    }
}

use mqtt::{Auth, Packet, ReasonCode};
use session::Timestamp;

use super::{Phase, Relay};
use crate::End;

impl Relay {
    /// Shows upstream new authentication data (re-authentication, MQTT 5, 4.12.1) on a connection that has begun with a method. Messages
    /// go on meanwhile.
    ///
    /// # Errors
    /// The end of both conversations.
    pub fn authenticate_again(&mut self, now: Timestamp, data: &[u8]) -> Result<(), End> {
        let settings = std::sync::Arc::clone(&self.settings);
        let Some(authentication) =
            settings.authentication.as_ref().filter(|_| self.phase == Phase::Running)
        else {
            return Ok(());
        };
        let auth = Auth::new(ReasonCode::ReAuthenticate, Some(&authentication.method));
        self.authenticating = Some(now);
        self.tell(now, &Packet::Auth(Auth { data: Some(data), ..auth }))
    }

    /// AUTH of upstream.
    pub(super) fn authenticated(&mut self, auth: &Auth<'_>) -> Result<(), End> {
        match (self.authenticating.take(), auth.code) {
            (Some(_), ReasonCode::Success) => Ok(()),
            (Some(_), _) => Err(End::Unexpected(
                "a question about who we are that a token does not answer".to_owned(),
            )),
            (None, _) => Err(End::Unexpected("an AUTH out of turn".to_owned())),
        }
    }

    /// When AUTH has to be answered.
    pub(super) fn authentication_deadline(&self) -> Option<Timestamp> {
        self.authenticating.map(|since| since.after(self.settings.answer_timeout))
    }
}

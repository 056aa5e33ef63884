//! Shorter ways to say what a step of enhanced authentication comes to.
#![cfg(feature = "enhanced-authenticator")]

use crate::{Acceptance, Challenge, Denial, Progress};

impl Acceptance {
    /// The client is `principal`; what it may do is left to the authorizers, it has no end, and there is
    /// nothing more to say.
    #[must_use]
    pub fn new(principal: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            attributes: Vec::new(),
            permissions: None,
            valid_for_ms: None,
            data: None,
        }
    }

    /// Says `data` to the client as the last word of the exchange.
    #[must_use]
    pub fn saying(self, data: impl Into<Vec<u8>>) -> Self {
        Self { data: Some(data.into()), ..self }
    }
}

impl Progress {
    /// Has the client answer `data`; `state` comes back with the answer.
    #[must_use]
    pub fn challenge(data: impl Into<Vec<u8>>, state: impl Into<Vec<u8>>) -> Self {
        Self::More(Challenge { data: Some(data.into()), state: state.into() })
    }

    /// Refuses the client with `code` (see [`reason`](crate::reason)); `why` is for the log.
    #[must_use]
    pub fn refuse(code: u8, why: impl Into<String>) -> Self {
        Self::Reject(Denial::new(code, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Client, Config, Connection, EnhancedAuthenticator, Exchange, Extension, HookError, reason,
    };

    /// Asks for the word that its state holds, as an author would write it.
    struct Echo;

    impl Extension for Echo {
        fn start(_: &Config) -> Result<Self, String> {
            Ok(Self)
        }
    }

    impl EnhancedAuthenticator for Echo {
        fn methods(&self) -> Vec<String> {
            vec!["ECHO".to_owned()]
        }

        fn step(&self, _: &Client, _: &Connection, said: Exchange) -> Result<Progress, HookError> {
            Ok(self.judge(said))
        }
    }

    impl Echo {
        fn judge(&self, said: Exchange) -> Progress {
            match said.state {
                None => Progress::challenge("say it", "it"),
                Some(state) if said.data.as_ref() == Some(&state) => {
                    Progress::Accept(Acceptance::new("echo").saying("thanks"))
                }
                Some(_) => Progress::refuse(reason::NOT_AUTHORIZED, "it was something else"),
            }
        }
    }

    crate::register!(Echo);

    fn said(data: &str, state: Option<&[u8]>) -> Exchange {
        Exchange {
            method: "ECHO".to_owned(),
            data: Some(data.into()),
            state: state.map(<[u8]>::to_vec),
            re_authentication: false,
        }
    }

    #[test]
    fn the_state_of_a_challenge_is_what_judges_the_answer() {
        let Progress::More(challenge) = Echo.judge(said("hello", None)) else {
            unreachable!("the first step asks")
        };
        assert_eq!(challenge.data.as_deref(), Some(&b"say it"[..]));
        let Progress::Accept(accepted) = Echo.judge(said("it", Some(&challenge.state))) else {
            unreachable!("the right word")
        };
        assert_eq!((&*accepted.principal, accepted.data), ("echo", Some(b"thanks".to_vec())));
        let Progress::Reject(denial) = Echo.judge(said("that", Some(&challenge.state))) else {
            unreachable!("the wrong word")
        };
        assert_eq!(denial.code, reason::NOT_AUTHORIZED);
        assert_eq!(Echo.methods(), ["ECHO"]);
    }
}

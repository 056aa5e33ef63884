//! One client before one extension, as the gateway has it meet them.

use std::sync::Arc;

use auth::{Identity, Limits, PermissionSet, Permissions};
use config::MessageGrant;
use config::fixture::{Case, Step as Answer};
use extension_host::{
    AuthenticationOutcome, Challenge, Connecting, Continuation, Extension, Failure, Progress, Step,
};

use crate::arrival::{Arrival, shown};
use crate::compare::Difference;
use crate::failure;
use crate::given;

/// Reason code where no extension offers the client's method.
const BAD_AUTHENTICATION_METHOD: u8 = 0x8c;

/// A client and what is known of it.
pub(crate) struct Visit<'a> {
    pub(crate) extension: &'a Extension,
    /// Which messages the extension may look at.
    pub(crate) grant: &'a MessageGrant,
    pub(crate) connecting: Arc<Connecting>,
    pub(crate) standing: Option<Standing>,
    method: Option<&'a str>,
    /// Challenges that were others than expected.
    pub(crate) differences: Vec<Difference>,
}

/// A client that is in.
pub(crate) struct Standing {
    pub(crate) identity: Arc<Identity>,
    pub(crate) permissions: Arc<PermissionSet>,
}

/// What an exchange came to.
pub(crate) enum Exchanged {
    Accepted { grant: auth::Grant, data: Option<Vec<u8>> },
    Otherwise(Arrival),
}

impl<'a> Visit<'a> {
    /// The `number`th client of a file, before it has been asked about.
    pub(crate) fn new(
        number: u64,
        extension: &'a Extension,
        grant: &'a MessageGrant,
        case: &'a Case,
    ) -> Result<Self, failure::Failure> {
        Ok(Self {
            extension,
            grant,
            connecting: Arc::new(given::connecting(number, &case.connect)?),
            standing: None,
            method: case.connect.method.as_deref(),
            differences: Vec::new(),
        })
    }

    /// Has the client connect.
    pub(crate) fn connect(&mut self, case: &Case) -> Arrival {
        if let Some(known) = &case.connect.known {
            let attributes = known.attributes.iter().map(|(n, v)| (n.clone(), v.clone()));
            let grant = auth::Grant {
                principal: known.principal.as_str().into(),
                attributes: attributes.collect(),
                permissions: None,
                valid_for_ms: None,
            };
            let arrival = self.conclude(grant, None);
            let abstains =
                matches!(&arrival, Arrival::Accepted { permissions: None, limits: None, .. });
            return if abstains { Arrival::Abstained } else { arrival };
        }
        if self.method.is_some() {
            return match self.exchange(case.connect.data.as_deref(), &case.steps, None) {
                Exchanged::Accepted { grant, data } => self.conclude(grant, data),
                Exchanged::Otherwise(arrival) => arrival,
            };
        }
        if !self.extension.hooks().authenticator {
            return Arrival::Abstained;
        }
        let secret = case.connect.password.as_deref();
        match self.extension.authenticate(&self.connecting, secret).result {
            Ok(AuthenticationOutcome::Accept(grant)) => self.conclude(grant, None),
            Ok(AuthenticationOutcome::Reject { code, reason }) => {
                Arrival::Rejected { code: code.as_u8(), reason }
            }
            Ok(AuthenticationOutcome::Abstain) => Arrival::Abstained,
            Err(failure) => Arrival::Failed(failure.to_string()),
        }
    }

    /// Has the exchange of the client's method taken to its end, by the answers that the client has. `who` is a client
    /// that is in.
    pub(crate) fn exchange(
        &mut self,
        data: Option<&[u8]>,
        answers: &[Answer],
        who: Option<&Arc<Identity>>,
    ) -> Exchanged {
        let method = self.method.unwrap_or_default();
        if !self.extension.offers(method) {
            let reason = Some(format!("the extension does not offer the method \"{method}\""));
            let code = BAD_AUTHENTICATION_METHOD;
            return Exchanged::Otherwise(Arrival::Rejected { code, reason });
        }
        let (mut data, mut state): (_, Option<Continuation>) = (data, None);
        let mut answers = answers.iter();
        let otherwise = loop {
            let step = Step { method, data, state: state.as_ref() };
            match self.extension.step(who, &self.connecting, step).result {
                Ok(Progress::Accept { grant, data }) => {
                    self.unused(answers.next());
                    return Exchanged::Accepted { grant, data };
                }
                Ok(Progress::More(challenge)) => {
                    let Some(answer) = answers.next() else {
                        break Arrival::Challenged { data: challenge.data };
                    };
                    self.challenged(answer, &challenge);
                    data = answer.answer.as_deref();
                    state = Some(challenge.state);
                }
                Ok(Progress::Reject { code, reason }) => {
                    break Arrival::Rejected { code: code.as_u8(), reason };
                }
                Ok(Progress::Abstain) => break Arrival::Abstained,
                Err(failure) => break Arrival::Failed(failure.to_string()),
            }
        };
        self.unused(answers.next());
        Exchanged::Otherwise(otherwise)
    }

    /// Finds out what a client may do whom the extension, or another, accepted.
    pub(crate) fn conclude(&mut self, grant: auth::Grant, data: Option<Vec<u8>>) -> Arrival {
        let identity = Arc::new(Identity {
            client_id: self.connecting.client_id.as_str().into(),
            principal: Arc::clone(&grant.principal),
            attributes: grant.attributes.clone(),
        });
        let permissions = match self.permissions(&identity, grant.permissions) {
            Ok(permissions) => permissions,
            Err(failure) => return Arrival::Failed(failure.to_string()),
        };
        let set = match permissions.as_ref().map(PermissionSet::compile) {
            Some(Ok(set)) => set,
            Some(Err(error)) => return Arrival::Failed(error.to_string()),
            None => PermissionSet::deny_all("no extension"),
        };
        let limits = match self.limits(&identity) {
            Ok(limits) => limits,
            Err(failure) => return Arrival::Failed(failure.to_string()),
        };
        self.standing = Some(Standing { identity, permissions: Arc::new(set) });
        Arrival::Accepted {
            principal: grant.principal.to_string(),
            attributes: grant.attributes,
            valid_for_ms: grant.valid_for_ms,
            data,
            permissions,
            limits,
        }
    }

    fn permissions(
        &self,
        identity: &Arc<Identity>,
        granted: Option<Permissions>,
    ) -> Result<Option<Permissions>, Failure> {
        if granted.is_some() || !self.extension.hooks().authorizer {
            return Ok(granted);
        }
        self.extension.permissions(identity, &self.connecting).result
    }

    fn limits(&self, identity: &Arc<Identity>) -> Result<Option<Limits>, Failure> {
        if !self.extension.hooks().client_limits {
            return Ok(None);
        }
        self.extension.limits(identity, &self.connecting).result.map(Some)
    }

    fn challenged(&mut self, answer: &Answer, challenge: &Challenge) {
        let got = challenge.data.as_deref().unwrap_or_default();
        if let Some(expected) = answer.challenge.as_deref().filter(|expected| *expected != got) {
            let difference = Difference::of(answer.line, "challenge", shown(expected), shown(got));
            self.differences.push(difference);
        }
    }

    fn unused(&mut self, answer: Option<&Answer>) {
        if let Some(answer) = answer {
            let (expected, got) = ("a challenge for this step", "the exchange was over before");
            self.differences.push(Difference::of(answer.line, "steps", expected, got));
        }
    }
}

//! `portcullis:host/credentials`

use std::time::Instant;

use serde_json::json;

use super::Guest;
use crate::bindings::portcullis::host::credentials;
use crate::tape::{EQUAL, HMAC, VERIFY_PASSWORD, bytes};

/// Checks of passwords and tokens that a guest gets in one call of a hook. They do not count towards its deadline,
/// so without a bound a guest could stay in its call for ever.
const CHECKS_PER_CALL: u32 = 4;

impl credentials::Host for Guest {
    fn verify_password(
        &mut self,
        password: Vec<u8>,
        stored_hash: String,
    ) -> credentials::PasswordCheck {
        if !self.has_check() {
            return credentials::PasswordCheck::Busy;
        }
        let arguments = || json!([bytes(&password), stored_hash]);
        self.taped(VERIFY_PASSWORD, arguments, |guest| {
            let began = Instant::now();
            let check = match guest.services.gate.enter(guest.services.gate_wait) {
                None => credentials::PasswordCheck::Busy,
                Some(_place) => check(auth::password::verify(&password, &stored_hash)),
            };
            guest.clock.spent_outside(began.elapsed());
            check
        })
    }

    /// Without the gate of passwords: the dearest token takes 5 ms (8 keys of P-384) and no memory to speak of, and
    /// calls of hooks are bounded themselves.
    fn verify_token(
        &mut self,
        key_set: String,
        token: String,
    ) -> Result<credentials::VerifiedToken, credentials::TokenError> {
        if !self.has_check() {
            let why = format!("this call has made its {CHECKS_PER_CALL} checks");
            return Err(credentials::TokenError::Unavailable(why));
        }
        self.taped(
            "credentials.verify-token",
            || json!([key_set, token]),
            |guest| {
                let began = Instant::now();
                let verified = match guest.services.keyring.key_sets.get(&key_set) {
                    Some(keys) => keys.verify(&token, guest.services.nature.now()),
                    None => Err(credentials::TokenError::UnknownKeySet),
                };
                guest.clock.spent_outside(began.elapsed());
                verified
            },
        )
    }

    fn hmac_sha256(&mut self, key: String, data: Vec<u8>) -> Option<Vec<u8>> {
        self.taped(
            HMAC,
            || json!([key, bytes(&data)]),
            |guest| {
                let secret = guest.services.keyring.secrets.get(&key)?;
                Some(auth::hmac::sha256(secret.bytes(), &data).to_vec())
            },
        )
    }

    fn equal(&mut self, a: Vec<u8>, b: Vec<u8>) -> bool {
        self.taped(EQUAL, || json!([bytes(&a), bytes(&b)]), |_| auth::hmac::equal(&a, &b))
    }
}

fn check(check: auth::password::Check) -> credentials::PasswordCheck {
    match check {
        auth::password::Check::Match => credentials::PasswordCheck::Match,
        auth::password::Check::Mismatch => credentials::PasswordCheck::Mismatch,
        auth::password::Check::UnsupportedHash => credentials::PasswordCheck::UnsupportedHash,
    }
}

impl Guest {
    /// Takes one of the call's checks, if there is one left.
    fn has_check(&mut self) -> bool {
        let left = self.checks < CHECKS_PER_CALL;
        self.checks = self.checks.saturating_add(1);
        left
    }
}

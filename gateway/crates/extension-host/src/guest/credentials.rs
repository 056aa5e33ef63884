//! `portcullis:host/credentials`

use std::time::Instant;

use super::Guest;
use crate::bindings::portcullis::host::credentials;

/// Password checks that a guest gets in one call of a hook. They do not count towards its deadline, so
/// without a bound a guest could stay in its call for ever.
const CHECKS_PER_CALL: u32 = 4;

impl credentials::Host for Guest {
    fn verify_password(
        &mut self,
        password: Vec<u8>,
        stored_hash: String,
    ) -> credentials::PasswordCheck {
        if self.checks >= CHECKS_PER_CALL {
            return credentials::PasswordCheck::Busy;
        }
        self.checks += 1;
        let began = Instant::now();
        let check = match self.services.gate.enter(self.services.gate_wait) {
            None => credentials::PasswordCheck::Busy,
            Some(_place) => match auth::password::verify(&password, &stored_hash) {
                auth::password::Check::Match => credentials::PasswordCheck::Match,
                auth::password::Check::Mismatch => credentials::PasswordCheck::Mismatch,
                auth::password::Check::UnsupportedHash => {
                    credentials::PasswordCheck::UnsupportedHash
                }
            },
        };
        self.clock.spent_outside(began.elapsed());
        check
    }
}

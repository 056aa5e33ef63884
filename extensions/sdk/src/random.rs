//! Random numbers, good enough for keys and nonces. Drawing them needs the grant `random`.

use crate::bindings::portcullis::host::random as host;

/// So many random bytes, at most 4096; more is a trap.
#[must_use]
pub fn bytes(count: u32) -> Vec<u8> {
    host::bytes(count)
}

//! `portcullis:host/random`

use super::{Ended, Guest};
use crate::bindings::portcullis::host::random;

/// Bytes of one request at most: more than any key has.
const BYTES_MAX: u32 = 4096;

impl random::Host for Guest {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        if count > BYTES_MAX {
            let why =
                format!("random.bytes was asked for {count} bytes; at most {BYTES_MAX} are given");
            return Err(Ended::error(why));
        }
        self.services.nature.random(count as usize)
    }
}

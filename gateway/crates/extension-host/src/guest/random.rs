//! `portcullis:host/random`

use serde_json::json;

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
        self.random_bytes("random.bytes", count as usize)
    }
}

impl Guest {
    /// Random bytes, of which a tape knows by the name of `function`.
    pub(super) fn random_bytes(
        &mut self,
        function: &'static str,
        count: usize,
    ) -> wasmtime::Result<Vec<u8>> {
        let drawn = self.taped(
            function,
            || json!([count]),
            |guest| guest.services.nature.random(count).map_err(|error| error.to_string()),
        );
        drawn.map_err(Ended::error)
    }
}

//! JSON Web Tokens (RFC 7519) in compact serialization (RFC 7515, section 3.1), verified against
//! key sets as RFC 8725 asks it.
//!
//! - [`Policy`]: what the operator accepts;
//! - [`KeySet`]: keys from a JWKS (RFC 7517), one PEM or one secret, and
//!   [`verify`](KeySet::verify);
//! - [`Claims`]: what a token that was verified says; [`JwtError`]: why one was not;
//! - [`Draft`]: a token of one's own, before it is signed.
//!
//! A key is bound to its own family of algorithms when it is read, so that a public key can never
//! serve as an HMAC secret; secrets and public keys never share a set; `none` does not exist here
//! (RFC 8725, sections 2.1, 3.1 and 3.2). What a header says about where keys are to be found
//! (`jku`, `jwk`, `x5u`, `x5c`) is not read (section 3.10); what it says must be understood
//! (`crit`) refuses the token. A member name that occurs twice in an object, in header, payload or
//! key set, refuses the text: two readers might see two tokens (RFC 7519, section 4; RFC 8725,
//! section 2.4).
//!
//! Time is an argument; nothing is fetched; nothing is signed.

mod algorithm;
mod claims;
mod der;
mod draft;
mod error;
mod flattened;
mod header;
mod json;
mod jwk;
mod key;
mod key_set;
mod key_set_error;
mod pem;
mod policy;
mod shown;
mod skipped;
mod validity;
mod verifier;
mod verify;

pub use algorithm::Algorithm;
pub use claims::{Claim, Claims};
pub use draft::{Draft, Statement};
pub use error::{JwtError, Malformed, Part};
pub use flattened::{MAX_FLATTENED, MAX_FLATTENED_BYTES, MAX_FLATTENED_DEPTH};
pub use key_set::{KeySet, MAX_KEYS_TRIED, MAX_SET_BYTES};
pub use key_set_error::KeySetError;
pub use pem::PemError;
pub use policy::{Expected, Expiry, Policy};
pub use skipped::{SkipReason, SkippedKey};

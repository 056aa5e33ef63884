//! Keys that verify tokens, and a token.

use std::hint::black_box;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::jwt::{Algorithm, Expected, KeySet, Policy};
use base64ct::{Base64UrlUnpadded, Encoding};
use extension_host::{KeySource, Look, Miss};

use crate::times;

const KEY: &[u8] = b"a secret of two and thirty bytes";

/// Keys that can be had by so many callers together only.
#[derive(Debug)]
pub(crate) struct Keys {
    set: Arc<KeySet>,
    meeting: Mutex<Option<Arc<Barrier>>>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { set: key_set(), meeting: Mutex::default() }
    }

    /// From now on so many callers get the keys together; any number of them at once where there is none.
    pub(crate) fn meet(&self, callers: Option<usize>) {
        *self.meeting.lock().unwrap_or_else(PoisonError::into_inner) =
            callers.map(|callers| Arc::new(Barrier::new(callers)));
    }
}

impl KeySource for Keys {
    fn current(&self) -> Result<Arc<KeySet>, String> {
        let meeting = self.meeting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(meeting) = meeting {
            meeting.wait();
        }
        Ok(Arc::clone(&self.set))
    }

    fn missed(&self, _: Miss) -> Look {
        Look::Same
    }
}

pub(crate) fn policy() -> Policy {
    let one = |text: &str| Expected::OneOf(vec![text.to_owned()]);
    Policy::new(vec![Algorithm::Hs256], one("plant"), one("mqtt"))
}

fn key_set() -> Arc<KeySet> {
    Arc::new(KeySet::symmetric(KEY, &policy()).expect("a key"))
}

/// The cheapest kind, so that what the language costs is not lost in what the signature does.
pub(crate) fn token() -> String {
    let claims = format!(
        r#"{{"aud":"mqtt","exp":{},"iss":"plant","roles":["reader","writer"],"sub":"meter-7","tenant":"north"}}"#,
        now() + 3600
    );
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.as_bytes()));
    format!("{signed}.{}", encode(&auth::hmac::sha256(KEY, signed.as_bytes())))
}

/// How long the gateway takes to verify the token.
pub(crate) fn token_alone() -> Duration {
    let (keys, policy, token) = (key_set(), policy(), token());
    times::of(|| assert!(black_box(keys.verify(&token, &policy, now())).is_ok())).median
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

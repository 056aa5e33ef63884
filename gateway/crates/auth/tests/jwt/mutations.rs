//! A token that is not the one that was signed never verifies.

use portcullis_auth::jwt::{Algorithm, Expected, Expiry, KeySet, Policy};
use proptest::prelude::*;

use crate::openssl::TOKENS;
use crate::signing::{NOW, jwk, jwks, set};

/// Accepts whatever is signed.
fn lax() -> Policy {
    let policy = Policy::new(Algorithm::ALL.to_vec(), Expected::Any, Expected::Any);
    Policy { expiry: Expiry::Optional, leeway_s: u64::MAX, ..policy }
}

fn sets() -> [KeySet; 2] {
    let public = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let public = jwks(&public.map(|key| jwk(key, "")));
    [KeySet::parse(&public, &lax()).unwrap(), set(Algorithm::Hs256, &lax())]
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    Cut(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    /// A part of another token in the place of its own.
    Graft(usize, prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    let byte = || {
        prop_oneof![
            8 => prop::sample::select(&b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[..]),
            1 => prop::sample::select(&b".=+/ \n\0"[..]),
        ]
    };
    prop_oneof![
        (index(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (index(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        index().prop_map(Mutation::Delete),
        index().prop_map(Mutation::Cut),
        (index(), index()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        (0..3usize, index()).prop_map(|(part, other)| Mutation::Graft(part, other)),
    ]
}

fn mutated(token: &str, mutation: &Mutation) -> String {
    let mut bytes = token.as_bytes().to_vec();
    if bytes.is_empty() {
        return String::new();
    }
    match mutation {
        Mutation::Replace(at, byte) => *at.get_mut(&mut bytes) = *byte,
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        Mutation::Delete(at) => drop(bytes.remove(at.index(bytes.len()))),
        Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Mutation::Swap(one, other) => {
            let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
            bytes.swap(one, other);
        }
        Mutation::Graft(part, other) => {
            let other: Vec<&str> = other.get(TOKENS).1.split('.').collect();
            let mut own: Vec<&str> = token.split('.').collect();
            if let Some(own) = own.get_mut(*part) {
                *own = other[*part];
            }
            return own.join(".");
        }
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mutated_token_never_verifies(
        token in prop::sample::select(TOKENS),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let text = mutations.iter().fold(token.1.to_owned(), |text, next| mutated(&text, next));
        if TOKENS.iter().all(|(_, token)| *token != text) {
            for set in sets() {
                prop_assert!(set.verify(&text, &lax(), NOW).is_err(), "{}", text);
            }
        }
    }

    #[test]
    fn any_text_is_answered(text in ".*", json in "[\\[\\]{}\":,a-z0-9.\\\\-]*") {
        for set in sets() {
            prop_assert!(set.verify(&text, &lax(), NOW).is_err());
        }
        prop_assert!(KeySet::parse(&text, &lax()).is_err());
        prop_assert!(KeySet::parse(&json, &lax()).is_err());
        prop_assert!(KeySet::pem(&text, &lax()).is_err());
    }
}

/// Every single bit of every token.
#[test]
fn no_bit_is_free() {
    let sets = sets();
    for (name, token) in TOKENS {
        assert!(sets.iter().any(|set| set.verify(token, &lax(), NOW).is_ok()), "{name}");
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let text = String::from_utf8(bytes).unwrap();
                for set in &sets {
                    assert!(set.verify(&text, &lax(), NOW).is_err(), "{name}: {text}");
                }
            }
        }
    }
}

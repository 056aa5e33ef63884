//! What verifying one token costs, per algorithm, and what refusing one does.

#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]
#![allow(clippy::expect_used, reason = "a benchmark of a broken set would measure nothing")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_auth::jwt::{Algorithm, KeySet};

#[path = "../tests/jwt/keys.rs"]
#[allow(dead_code, reason = "tests ask for more")]
mod keys;
#[path = "../tests/jwt/signing.rs"]
#[allow(dead_code, reason = "tests ask for more")]
mod signing;

use signing::{NOW, PAYLOAD, jwk, jwks, policy, set, signed, token};

fn verify(criterion: &mut Criterion) {
    let policy = policy(&Algorithm::ALL);
    let mut group = criterion.benchmark_group("jwt");
    for algorithm in Algorithm::ALL {
        let (set, token) = (set(algorithm, &policy), token(algorithm, PAYLOAD));
        assert!(set.verify(&token, &policy, NOW).is_ok());
        group.bench_function(format!("verify, {algorithm}"), |bencher| {
            bencher.iter(|| set.verify(black_box(&token), &policy, NOW));
        });
    }
    let keys = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
        .map(|key| jwk(key, &format!(r#","kid":"{key}""#)));
    let text = jwks(&keys);
    group.bench_function("parse a set of three keys", |bencher| {
        bencher.iter(|| KeySet::parse(black_box(&text), &policy));
    });
    let set = KeySet::parse(&text, &policy).expect("the keys can be used");
    let header = r#"{"alg":"RS256","kid":"unknown"}"#;
    let unknown = signed(Algorithm::Rs256, header, PAYLOAD);
    assert!(set.verify(&unknown, &policy, NOW).is_err());
    group.bench_function("refuse, unknown kid", |bencher| {
        bencher.iter(|| set.verify(black_box(&unknown), &policy, NOW));
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);

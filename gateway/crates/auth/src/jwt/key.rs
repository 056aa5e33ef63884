//! One key, bound to the algorithms that it may be used for.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::signature::Verifier;

use super::algorithm::Algorithm;
use super::skipped::SkipReason;
use super::verifier::RingVerifier;

/// Bits of an RSA modulus: at least, by RFC 7518, sections 3.3 and 3.5; at most, by the back end.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What a key is, and thereby what it can never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An RSA public key.
    Rsa,
    /// A point on P-256.
    P256,
    /// A point on P-384.
    P384,
    /// A public key of Ed25519.
    Ed25519,
    /// A secret of so many bytes.
    Secret(usize),
}

impl Kind {
    /// Whether a key of this kind can be used with the algorithm (RFC 8725, section 3.1). A secret
    /// fits where it is as long as the hash (RFC 7518, section 3.2).
    pub(super) fn fits(self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Secret(bytes), _) => {
                algorithm.min_secret_bytes().is_some_and(|min| bytes >= min)
            }
            (
                Self::Rsa,
                Algorithm::Rs256
                | Algorithm::Rs384
                | Algorithm::Rs512
                | Algorithm::Ps256
                | Algorithm::Ps384
                | Algorithm::Ps512,
            )
            | (Self::P256, Algorithm::Es256)
            | (Self::P384, Algorithm::Es384)
            | (Self::Ed25519, Algorithm::EdDsa) => true,
            _ => false,
        }
    }

    /// Bytes of x, and as many of y, of a point on the curve (RFC 7518, section 6.2.1.2).
    fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            _ => 0,
        }
    }
}

/// One key. Its material is wiped from memory when it is dropped.
#[derive(Debug)]
pub(super) struct Key {
    /// The name by which a header chooses it (RFC 7517, section 4.5).
    pub(super) kid: Option<String>,
    /// The only algorithm that it may be used with, if it says so (RFC 7517, section 4.4).
    pub(super) algorithm: Option<Algorithm>,
    pub(super) kind: Kind,
    material: DecodingKey,
}

impl Key {
    /// From modulus and exponent, big-endian; leading zeros are left out.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, SkipReason> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = bits(n);
        if !RSA_BITS.contains(&bits) {
            return Err(SkipReason::RsaBits {
                bits,
                least: *RSA_BITS.start(),
                most: *RSA_BITS.end(),
            });
        }
        // What the back end takes for an exponent: odd, from 3, of at most 33 bits. An even modulus
        // is no product of two primes.
        if e.last().is_none_or(|last| last % 2 == 0) || e == [1] || self::bits(e) > 33 {
            return Err(SkipReason::RsaExponent);
        }
        if n.last().is_none_or(|last| last % 2 == 0) {
            return Err(SkipReason::Member { name: "n", rule: "is even, which no RSA modulus is" });
        }
        Ok(Self::new(Kind::Rsa, DecodingKey::from_rsa_raw_components(n, e)))
    }

    /// From a point on P-256 or P-384, as its coordinates in full length. Whether it lies on the
    /// curve shows when it is used: a point beside it verifies nothing.
    pub(super) fn point(curve: Kind, x: &[u8], y: &[u8]) -> Result<Self, SkipReason> {
        for (name, coordinate) in [("x", x), ("y", y)] {
            if coordinate.len() != curve.coordinate_bytes() {
                let rule = "is not as long as a coordinate of its curve";
                return Err(SkipReason::Member { name, rule });
            }
        }
        // SEC 1, section 2.3.3: uncompressed.
        Ok(Self::new(curve, DecodingKey::from_ec_der(&[&[4], x, y].concat())))
    }

    /// From a public key of Ed25519 (RFC 8037, section 2).
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, SkipReason> {
        if x.len() != 32 {
            return Err(SkipReason::Member { name: "x", rule: "is not 32 bytes long" });
        }
        Ok(Self::new(Kind::Ed25519, DecodingKey::from_ed_der(x)))
    }

    /// From a secret that is long enough for one algorithm at least.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, SkipReason> {
        let kind = Kind::Secret(secret.len());
        if !Algorithm::ALL.into_iter().any(|algorithm| kind.fits(algorithm)) {
            return Err(SkipReason::SecretBytes { bytes: secret.len() });
        }
        let material = DecodingKey::from_secret(secret)
            .map_err(|_| SkipReason::SecretBytes { bytes: secret.len() })?;
        Ok(Self::new(kind, material))
    }

    fn new(kind: Kind, material: DecodingKey) -> Self {
        Self { kid: None, algorithm: None, kind, material }
    }

    /// Whether the key may be used with the algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether this is the key's signature of the message. `false` if the algorithm does not fit.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        self.fits(algorithm)
            && RingVerifier { algorithm: in_jsonwebtoken(algorithm), key: &self.material }
                .verify(message, signature)
                .is_ok()
    }
}

fn in_jsonwebtoken(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Theirs;
    match algorithm {
        Algorithm::Hs256 => Theirs::HS256,
        Algorithm::Hs384 => Theirs::HS384,
        Algorithm::Hs512 => Theirs::HS512,
        Algorithm::Rs256 => Theirs::RS256,
        Algorithm::Rs384 => Theirs::RS384,
        Algorithm::Rs512 => Theirs::RS512,
        Algorithm::Ps256 => Theirs::PS256,
        Algorithm::Ps384 => Theirs::PS384,
        Algorithm::Ps512 => Theirs::PS512,
        Algorithm::Es256 => Theirs::ES256,
        Algorithm::Es384 => Theirs::ES384,
        Algorithm::EdDsa => Theirs::EdDSA,
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn bits(number: &[u8]) -> usize {
    match number.first() {
        None => 0,
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_fits_its_own_family_only() {
        let fitting = |kind: Kind| {
            Algorithm::ALL.into_iter().filter(|alg| kind.fits(*alg)).map(Algorithm::name).collect()
        };
        let rsa: Vec<_> = fitting(Kind::Rsa);
        assert_eq!(rsa, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
        let curves: Vec<Vec<_>> = [Kind::P256, Kind::P384, Kind::Ed25519].map(fitting).into();
        assert_eq!(curves, [["ES256"], ["ES384"], ["EdDSA"]]);
        let secrets: Vec<Vec<_>> =
            [31, 32, 47, 48, 63, 64].map(|n| fitting(Kind::Secret(n))).into();
        assert_eq!(secrets.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 1, 2, 2, 3]);
        assert_eq!(secrets[5], ["HS256", "HS384", "HS512"]);
    }

    #[test]
    fn rsa_keys_have_a_sound_shape() {
        let modulus = |bits: usize| {
            let mut n = vec![0xff; bits.div_ceil(8)];
            n[0] >>= (8 - bits % 8) % 8;
            n
        };
        let reason = |n: &[u8], e: &[u8]| Key::rsa(n, e).err();
        assert_eq!(reason(&modulus(2048), &[1, 0, 1]), None);
        assert_eq!(reason(&[&[0, 0][..], &modulus(2048)].concat(), &[0, 3]), None);
        assert_eq!(reason(&modulus(8192), &[1, 0xff, 0xff, 0xff, 0xff]), None);
        for bits in [1024, 2047, 8193] {
            let found = reason(&modulus(bits), &[1, 0, 1]);
            assert!(matches!(found, Some(SkipReason::RsaBits { bits: b, .. }) if b == bits));
        }
        for e in [&[][..], &[0], &[1], &[2], &[1, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(reason(&modulus(2048), e), Some(SkipReason::RsaExponent), "{e:?}");
        }
        let mut even = modulus(2048);
        even[255] = 0xfe;
        assert!(matches!(reason(&even, &[3]), Some(SkipReason::Member { name: "n", .. })));
        assert!(matches!(reason(&[], &[3]), Some(SkipReason::RsaBits { bits: 0, .. })));
    }
}

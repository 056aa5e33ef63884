//! Password hashes: argon2id in PHC strings, `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
//!
//! These calls keep a core busy for tens of milliseconds and fill [`Cost::memory_kib`] of memory:
//! run them where that hinders nobody, and few at a time.

use std::error::Error;
use std::fmt;

use argon2::password_hash::{Output, PasswordHash, PasswordHasher, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// What one hash costs, the owner of a password as well as whoever guesses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes into which the memory is divided.
    pub lanes: u32,
}

impl Cost {
    /// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
    pub const DEFAULT: Self = Self { memory_kib: 19 * 1024, iterations: 2, lanes: 1 };

    /// The most that a hash may ask for, so that a line in a users file cannot stall the box: the
    /// memory and lanes of RFC 9106's choice for constrained memory (64 MiB, 3 passes, 4 lanes),
    /// and a pass more.
    pub const CEILING: Self = Self { memory_kib: 64 * 1024, iterations: 4, lanes: 4 };

    /// Whether this is beyond [`CEILING`](Self::CEILING): more memory, more lanes, or more work
    /// (memory times passes; little memory may be passed over more often).
    pub fn exceeds_ceiling(self) -> bool {
        self.memory_kib > Self::CEILING.memory_kib
            || self.lanes > Self::CEILING.lanes
            || self.work() > Self::CEILING.work()
    }

    /// KiB written in all.
    fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p={}", self.memory_kib, self.iterations, self.lanes)
    }
}

/// What became of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a match lets anybody in"]
pub enum Check {
    /// It is the password that was hashed.
    Match,
    /// It is another one.
    Mismatch,
    /// The hash is malformed, is not argon2id, or costs more than [`Cost::CEILING`]; nothing was
    /// compared.
    UnsupportedHash,
}

/// Compares a password with the hash of one. The time that it takes depends on the cost named in
/// the hash, not on the password.
pub fn verify(password: &[u8], phc: &str) -> Check {
    let Ok(hash) = PasswordHash::new(phc) else {
        return Check::UnsupportedHash;
    };
    let Ok(argon2) = verifier(&hash) else {
        return Check::UnsupportedHash;
    };
    let Some(expected) = hash.hash else {
        return Check::UnsupportedHash;
    };
    let mut salt = [0; Salt::MAX_LENGTH];
    let Some(salt) = hash.salt.and_then(|encoded| encoded.decode_b64(&mut salt).ok()) else {
        return Check::UnsupportedHash;
    };
    let mut found = [0; Output::MAX_LENGTH];
    let Some(found) = found.get_mut(..expected.len()) else {
        return Check::UnsupportedHash;
    };
    let mut memory = working_memory(argon2.params());
    if argon2.hash_password_into_with_memory(password, salt, found, &mut memory).is_err() {
        return Check::UnsupportedHash;
    }
    // `Output` compares in constant time.
    match Output::new(found) {
        Ok(found) if found == expected => Check::Match,
        Ok(_) => Check::Mismatch,
        Err(_) => Check::UnsupportedHash,
    }
}

/// The memory that a hash fills.
///
/// Room for more is asked for than is used, which costs address space only: from 32 MiB on every
/// allocator of the C library maps memory of its own and gives it back to the system at once.
/// Smaller pieces stay with the arena of the thread that freed them, and with a thread per call
/// that came to 20 MiB for each client that had connected at the same time as others.
fn working_memory(params: &Params) -> Vec<Block> {
    const ALWAYS_MAPPED: usize = 33 * 1024 * 1024;
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(ALWAYS_MAPPED / Block::SIZE));
    memory.resize(blocks, Block::default());
    memory
}

/// Says what is wrong with a hash without needing a password, for checks ahead of time.
///
/// # Errors
/// Why [`verify`] would answer [`Check::UnsupportedHash`].
pub fn inspect(phc: &str) -> Result<Cost, HashError> {
    let hash = PasswordHash::new(phc).map_err(|_| HashError::Malformed)?;
    verifier(&hash).map(|argon2| cost(argon2.params()))
}

/// Hashes a password. Each password needs a salt of its own, from a good source of randomness.
///
/// # Errors
/// If argon2 does not allow the cost, or [`verify`] would refuse it.
pub fn hash(password: &[u8], salt: &[u8; 16], cost: Cost) -> Result<String, HashError> {
    if cost.exceeds_ceiling() {
        return Err(HashError::TooCostly(cost));
    }
    let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, None)
        .map_err(|_| HashError::NotAllowed(cost))?;
    let salt = SaltString::encode_b64(salt).map_err(|_| HashError::Malformed)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password, &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| HashError::NotAllowed(cost))
}

/// A hash of [`Cost::DEFAULT`] to which no password is known. Verifying against it where a user
/// does not exist takes as long as where one does, which keeps the names of users secret.
pub const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$cG9ydGN1bGxpcy1kZWNveQ\
                         $eHdsc2xjeWVmYXVyZGlrcGJub3Ztd3F0Z2hqenh1aW8";

/// Why a password cannot be hashed or compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashError {
    /// The text is not a PHC string with salt and hash.
    Malformed,
    /// The hash is of another kind than argon2id version 19.
    NotArgon2id,
    /// Argon2 is not defined for this cost.
    NotAllowed(Cost),
    /// The cost is beyond [`Cost::CEILING`].
    TooCostly(Cost),
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "the hash is not a PHC string like \"$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH\"; \
                 set the password again",
            ),
            Self::NotArgon2id => f.write_str(
                "the hash is not of the kind \"argon2id\" version 19; set the password again",
            ),
            Self::NotAllowed(cost) => write!(
                f,
                "argon2 is not defined for the cost {cost}; it needs one pass, one lane and 8 KiB \
                 of memory a lane at least"
            ),
            Self::TooCostly(cost) => write!(
                f,
                "the cost {cost} is beyond {}, the most that this gateway spends on a password; \
                 set the password again with a lower cost",
                Cost::CEILING
            ),
        }
    }
}

impl Error for HashError {}

fn verifier(hash: &PasswordHash<'_>) -> Result<Argon2<'static>, HashError> {
    let version = hash.version.and_then(|version| Version::try_from(version).ok());
    if hash.algorithm != Algorithm::Argon2id.ident() || version != Some(Version::V0x13) {
        return Err(HashError::NotArgon2id);
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(HashError::Malformed);
    }
    let params = Params::try_from(hash).map_err(|_| HashError::Malformed)?;
    let cost = cost(&params);
    if cost.exceeds_ceiling() {
        return Err(HashError::TooCostly(cost));
    }
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn cost(params: &Params) -> Cost {
    Cost { memory_kib: params.m_cost(), iterations: params.t_cost(), lanes: params.p_cost() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, iterations: 1, lanes: 1 };

    #[test]
    fn a_password_matches_its_own_hash_only() {
        let phc = hash(b"open sesame", b"0123456789abcdef", CHEAP).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{phc}");
        assert_eq!(verify(b"open sesame", &phc), Check::Match);
        assert_eq!(verify(b"open sesamf", &phc), Check::Mismatch);
        assert_eq!(verify(b"", &phc), Check::Mismatch);
        assert_ne!(hash(b"open sesame", b"0123456789abcdeX", CHEAP).unwrap(), phc);
    }

    /// From the reference implementation's test suite (phc-winner-argon2 `src/test.c`, argon2id).
    #[test]
    fn the_reference_implementation_agrees() {
        let phc =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert_eq!(verify(b"password", phc), Check::Match);
        assert_eq!(verify(b"Password", phc), Check::Mismatch);
    }

    #[test]
    fn what_is_not_argon2id_is_unsupported() {
        for phc in [
            "",
            "secret",
            "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
            "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            assert_eq!(verify(b"password", phc), Check::UnsupportedHash, "{phc}");
            assert!(inspect(phc).is_err(), "{phc}");
        }
    }

    #[test]
    fn a_users_file_cannot_stall_the_box() {
        for cost in ["m=65537,t=1,p=1", "m=65536,t=5,p=1", "m=64,t=5000,p=1", "m=256,t=1,p=5"] {
            let phc = format!(
                "$argon2id$v=19${cost}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
            );
            assert_eq!(verify(b"password", &phc), Check::UnsupportedHash, "{cost}");
            assert!(matches!(inspect(&phc), Err(HashError::TooCostly(_))), "{cost}");
        }
        assert!(!Cost { memory_kib: 65_536, iterations: 3, lanes: 4 }.exceeds_ceiling());
        let costly = Cost { iterations: 15, ..Cost::DEFAULT };
        assert_eq!(hash(b"x", &[0; 16], costly), Err(HashError::TooCostly(costly)));
        let none = Cost { iterations: 0, ..Cost::DEFAULT };
        assert_eq!(hash(b"x", &[0; 16], none), Err(HashError::NotAllowed(none)));
    }

    #[test]
    fn the_decoy_costs_what_a_new_hash_costs() {
        assert_eq!(inspect(DECOY), Ok(Cost::DEFAULT));
        assert_eq!(verify(b"password", DECOY), Check::Mismatch);
    }
}

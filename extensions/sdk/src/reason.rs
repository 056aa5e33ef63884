//! Reason codes of MQTT 5.0 section 2.4 that a hook has use for.

/// What an answer carries that refuses nothing.
pub const SUCCESS: u8 = 0x00;
/// Refused, and no other code says why.
pub const UNSPECIFIED_ERROR: u8 = 0x80;
/// The server accepts the packet but not its contents.
pub const IMPLEMENTATION_SPECIFIC_ERROR: u8 = 0x83;
/// The client identifier is one that the server does not allow.
pub const CLIENT_IDENTIFIER_NOT_VALID: u8 = 0x85;
/// The user name or the password is not right.
pub const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
/// The client is known and may not do this.
pub const NOT_AUTHORIZED: u8 = 0x87;
/// The server cannot decide now; the client may try again later.
pub const SERVER_UNAVAILABLE: u8 = 0x88;
/// The server has too much to do; the client may try again later.
pub const SERVER_BUSY: u8 = 0x89;
/// The client was banned by the operator.
pub const BANNED: u8 = 0x8A;
/// A limit that the operator set has been reached.
pub const QUOTA_EXCEEDED: u8 = 0x97;

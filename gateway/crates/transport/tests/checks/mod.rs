//! What must hold for whatever strangers send. The fuzz targets and the replay of the committed corpus call
//! the same functions; an input for which one returns has found nothing.

use portcullis_transport::pki;
use portcullis_transport::{
    Certificate, End, FrameDecoder, FrameFault, ProxyError, ProxyHeader, ProxyRest,
};

/// Every name that [`web_frames`] can answer with.
pub(crate) const OF_WEB_FRAMES: &[&str] = &[
    "payload",
    "nothing",
    "closed",
    "closed without a code",
    "reserved bits",
    "unknown kind",
    "unmasked",
    "text",
    "control",
    "out of turn",
    "length",
    "too long",
    "close code",
];

/// The first byte says into what pieces the rest is cut; in one piece it must mean the same, and the same as
/// to a reader that takes whole frames only.
pub(crate) fn web_frames(input: &[u8]) -> &'static str {
    let Some((step, bytes)) = input.split_first() else { return "nothing" };
    let whole = Taken::of(&mut [bytes.to_vec()]);
    let mut pieces: Vec<Vec<u8>> =
        bytes.chunks(usize::from(*step).max(1)).map(<[u8]>::to_vec).collect();
    assert_eq!(whole, Taken::of(&mut pieces), "pieces change what frames mean");
    if whole.end.is_none_or(|end| matches!(end, End::Closed(_))) {
        assert_eq!(whole.payload, payload(bytes), "not what the frames hold");
    }
    match whole.end {
        None if whole.payload.is_empty() => "nothing",
        None => "payload",
        Some(End::Closed(Some(code))) => {
            assert!((1000..5000).contains(&code));
            "closed"
        }
        Some(End::Closed(None)) => "closed without a code",
        Some(End::Fault(fault)) => {
            assert!(matches!(fault.code(), 1002 | 1003 | 1009));
            assert!(fault.to_string().len() < 100);
            name(fault)
        }
    }
}

fn name(fault: FrameFault) -> &'static str {
    match fault {
        FrameFault::ReservedBits => "reserved bits",
        FrameFault::UnknownKind(_) => "unknown kind",
        FrameFault::Unmasked => "unmasked",
        FrameFault::Masked => "masked",
        FrameFault::Text => "text",
        FrameFault::Control => "control",
        FrameFault::OutOfTurn => "out of turn",
        FrameFault::Length => "length",
        FrameFault::TooLong => "too long",
        FrameFault::CloseCode => "close code",
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Taken {
    payload: Vec<u8>,
    /// The last ping; the others may have been answered before.
    ping: Option<Vec<u8>>,
    end: Option<End>,
}

impl Taken {
    fn of(pieces: &mut [Vec<u8>]) -> Self {
        let mut decoder = FrameDecoder::default();
        let mut taken = Self { payload: Vec::new(), ping: None, end: None };
        for piece in pieces {
            let kept = decoder.decode(piece);
            taken.payload.extend_from_slice(&piece[..kept]);
            if let Some(ping) = decoder.take_ping() {
                assert!(ping.len() <= 125);
                taken.ping = Some(ping);
            }
        }
        taken.end = decoder.end();
        taken
    }
}

/// The payload of all data frames before the first close frame, read the slow way.
fn payload(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match second & 0x7F {
            126 if rest.len() >= 2 => {
                (u64::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..])
            }
            127 if rest.len() >= 8 => {
                (u64::from_be_bytes(rest[..8].try_into().expect("eight bytes")), &rest[8..])
            }
            126 | 127 => break,
            short => (u64::from(short), rest),
        };
        let Some((mask, rest)) = rest.split_at_checked(4) else { break };
        let length = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let (own, rest) = rest.split_at(length);
        match first & 0x0F {
            0x8 => break,
            0x0 | 0x2 => payload.extend(own.iter().zip(mask.iter().cycle()).map(|(b, k)| b ^ k)),
            _ => {}
        }
        bytes = rest;
    }
    payload
}

/// Every name that [`proxy_header`] can answer with.
pub(crate) const OF_PROXY_HEADERS: &[&str] = &[
    "short",
    "own",
    "passed on by IPv4",
    "passed on by IPv6",
    "missing",
    "version",
    "command",
    "family",
    "too long",
    "truncated",
    "checksum",
];

/// A header is read in its two parts, or refused for what it is.
pub(crate) fn proxy_header(input: &[u8]) -> &'static str {
    let Some((fixed, rest)) = input.split_first_chunk::<16>() else { return "short" };
    let announced = match ProxyRest::read(fixed) {
        Ok(announced) => announced,
        Err(error) => return refused(&error),
    };
    assert!(announced.length <= 4096 - 16, "a stranger says how much is read");
    let rest = rest.get(..announced.length).unwrap_or(rest);
    match ProxyHeader::read(fixed, rest) {
        Err(error) => refused(&error),
        Ok(ProxyHeader::Own) => "own",
        Ok(ProxyHeader::Of { source, destination }) => {
            assert_eq!(rest.len(), announced.length);
            for address in [source.ip(), destination.ip()] {
                assert_eq!(address, address.to_canonical());
            }
            if fixed[13] == 0x11 { "passed on by IPv4" } else { "passed on by IPv6" }
        }
    }
}

fn refused(error: &ProxyError) -> &'static str {
    assert!(error.to_string().len() < 250);
    match error {
        ProxyError::Missing => "missing",
        ProxyError::Version(_) => "version",
        ProxyError::Command(_) => "command",
        ProxyError::Family(_) => "family",
        ProxyError::TooLong(_) => "too long",
        ProxyError::Truncated => "truncated",
        ProxyError::Checksum => "checksum",
        other => unreachable!("nothing was read from a socket: {other}"),
    }
}

/// Every name that [`certificate`] can answer with.
pub(crate) const OF_CERTIFICATES: &[&str] = &["unreadable", "nameless", "named"];

/// What policies are told of a client's certificate, whatever its authority signed.
pub(crate) fn certificate(der: &[u8]) -> &'static str {
    let read = match Certificate::from_der(der) {
        Ok(read) => read,
        Err(error) => {
            assert!(error.to_string().len() < 500);
            return "unreadable";
        }
    };
    assert_eq!(read.sha256.len(), 64);
    assert!(read.serial.len() <= 2 * der.len() && read.serial.len().is_multiple_of(2));
    let names = [&read.san_dns, &read.san_uri, &read.san_email];
    let bytes: usize = names.iter().flat_map(|names| names.iter()).map(String::len).sum();
    assert!(bytes <= der.len(), "names out of nowhere");
    for address in &read.san_ip {
        assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address}");
    }
    let named = names.iter().any(|names| !names.is_empty()) || !read.san_ip.is_empty();
    if named { "named" } else { "nameless" }
}

/// Every name that [`described`] can answer with.
pub(crate) const OF_DESCRIPTIONS: &[&str] =
    &["refused", "certificate", "certificate request", "revocation list", "private key", "other"];

/// What an operator is shown of a PEM file that somebody sent.
pub(crate) fn described(pem: &[u8]) -> &'static str {
    let (shown, is_described) = match pki::describe(pem) {
        Ok(text) => (text, true),
        Err(why) => (why, false),
    };
    let control = shown.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "a terminal would do it: {shown:?}");
    if !is_described {
        assert!(shown.len() < 500 + pem.len());
        return "refused";
    }
    // From the longest name to the shortest.
    let mut names = OF_DESCRIPTIONS.to_vec();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().find(|name| shown.starts_with(name)).unwrap_or("other")
}

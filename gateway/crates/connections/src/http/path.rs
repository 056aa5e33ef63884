//! Paths that stay below an address, whatever the server makes of them.

/// Rounds of percent-decoding that are looked at: a server that decodes more often than this is not to be helped.
const ROUNDS: usize = 4;

/// Whether `text` is a path with perhaps a query, and no segment of it leads up. The error ends a sentence that begins
/// with the text.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Err("does not begin with \"/\"");
    }
    for part in [path, query] {
        if let Some(bad) = part.bytes().find(|byte| !is_allowed(*byte)) {
            return Err(match bad {
                b'\r' | b'\n' => "has a line break in it",
                b'#' => "has a fragment (\"#\"), which no server sees",
                b'\\' => "has a backslash in it, which some servers take for a slash",
                _ => "has a character that is not percent-encoded and has to be",
            });
        }
        decode(part.as_bytes()).ok_or("has a \"%\" that two hexadecimal digits do not follow")?;
    }
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=ROUNDS {
        if bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(leads_up) {
            return Err("has a segment \".\" or \"..\", which leads out of what is granted");
        }
        if bytes.iter().any(|byte| byte.is_ascii_control()) {
            return Err("has an encoded control character");
        }
        // What is not encoded properly any more is what no server decodes further.
        match decode(&bytes) {
            Some(decoded) if decoded != bytes => bytes = decoded,
            _ => return Ok(()),
        }
    }
    Err("is percent-encoded several times over")
}

/// RFC 3986: unreserved, sub-delims, ":", "@", "/", "?" and "%".
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}

/// Some servers cut parameters (";x") off before they look at the segment.
fn leads_up(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(name, b"." | b"..")
}

fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let value = digit(rest.next()?)? << 4 | digit(rest.next()?)?;
        decoded.push(u8::try_from(value).ok()?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn paths_below() {
        for good in [
            "/",
            "/introspect",
            "/a/b.c/d..e/...",
            "//double",
            "/users/al%20ice?x=1&y=/../z",
            "/topics/a%2Fb",
            "/t?q=%2e%2e",
            "/100%25",
            "/a;v=1/b",
            "/%C3%A4",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere() {
        for bad in [
            "",
            "a",
            "https://evil.example/",
            "?x",
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/%2e%2E/b",
            "/a/.%2e/b",
            "/a%2F..%2Fb",
            "/a%5c..%5cb",
            "/%252e%252e/b",
            "/%25252e%25252e/",
            "/..;x/b",
            "/%2e%2e%3bx/b",
            "/a\\..\\b",
            "/a b",
            "/a\r\nhost: x",
            "/a%0d%0ahost:x",
            "/a#b",
            "/%",
            "/%4",
            "/%zz",
            "/?%g1",
            "/?a b",
            "/ä",
            "/<x>",
            "/%2525252525252525",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}

//! What a server says to the request for a WebSocket (RFC 6455, section 4.1).

use httparse::{EMPTY_HEADER, Header, Response, Status};

use crate::web::proof_of;

/// Bytes of the head of an answer at most, and its headers.
pub(super) const HEAD_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// Where the head ends, if all of it is there.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

/// Whether the server agrees. The error says what it said instead, and what may help.
pub(super) fn check(head: &[u8], key: &str, subprotocol: &str) -> Result<(), String> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    match response.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) | Err(_) => {
            return Err("its answer is not HTTP; check scheme and port of the url".to_owned());
        }
    }
    match response.code.unwrap_or_default() {
        101 => {}
        code => {
            let reason: String = response.reason.unwrap_or_default().chars().take(100).collect();
            let fix = match code {
                401 | 403 => "it may want a client certificate, or not allow this address",
                404 => "nothing is at the path of the url",
                301..=308 => "it is elsewhere; put the address that it moved to into the url",
                _ => "check path and port of the url",
            };
            return Err(format!("it answered {code} {reason:?}; {fix}"));
        }
    }
    let has = |name: &str, wanted: &str| {
        all(response.headers, name)
            .flat_map(|list| list.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(wanted))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(
            "it answered 101 without Upgrade: websocket; a proxy between may have taken it away"
                .to_owned(),
        );
    }
    if !all(response.headers, "sec-websocket-accept").eq([proof_of(key).as_str()]) {
        return Err("it does not prove that it understood (Sec-WebSocket-Accept); something between may answer in its place".to_owned());
    }
    if !all(response.headers, "sec-websocket-protocol").eq([subprotocol]) {
        return Err(format!(
            "it does not agree to Sec-WebSocket-Protocol: {subprotocol}; check that the path is that of its broker"
        ));
    }
    if all(response.headers, "sec-websocket-extensions").next().is_some() {
        return Err("it uses an extension that nobody has asked for".to_owned());
    }
    Ok(())
}

/// What all headers of this name say.
fn all<'a>(headers: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

    #[test]
    fn only_an_answer_to_this_request_opens_it() {
        let checked = |head: &str| check(head.as_bytes(), KEY, "mqtt");
        assert_eq!(checked(GOOD), Ok(()));
        for (from, to, why) in [
            ("101 Switching", "404 Not", "answered 404"),
            ("101 Switching", "401 Not", "answered 401"),
            ("HTTP/1.1 101", "MQTT", "not HTTP"),
            ("Upgrade: websocket\r\n", "", "101 without"),
            ("Connection: upgrade", "Connection: close", "101 without"),
            ("s3pP", "S3pP", "prove"),
            ("Sec-WebSocket-Protocol: mqtt\r\n", "", "agree"),
            ("Protocol: mqtt", "Protocol: mqttv3.1", "agree"),
            ("Upgrade: w", "Sec-WebSocket-Extensions: x\r\nUpgrade: w", "extension"),
        ] {
            let answer = checked(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(answer.contains(why), "{from:?} -> {to:?}: {answer}");
        }
    }

    #[test]
    fn the_head_ends_at_an_empty_line() {
        assert_eq!(end_of_head(GOOD.as_bytes()), Some(GOOD.len()));
        assert_eq!(end_of_head(&[GOOD.as_bytes(), b"more"].concat()), Some(GOOD.len()));
        assert_eq!(end_of_head(&GOOD.as_bytes()[..GOOD.len() - 1]), None);
    }
}

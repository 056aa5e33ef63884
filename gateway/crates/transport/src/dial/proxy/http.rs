//! HTTP CONNECT.

use base64ct::{Base64, Encoding as _};
use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Login;

/// Bytes of the head of an answer at most, and its headers.
const HEAD_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// Has the proxy connect. The error goes on where "proxy HOST:PORT" ends.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    host: &str,
    port: u16,
    login: Option<&Login>,
) -> Result<(), String> {
    let broken = |error: std::io::Error| {
        format!("broke the connection off ({error}); check scheme and port of proxy")
    };
    socket.write_all(request(host, port, login).as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    // Byte by byte, as what follows is the server's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_MAX {
            return Err(format!(
                "answers with more than {HEAD_MAX} bytes; check that it is a proxy"
            ));
        }
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => return Err(broken(error)),
        }
        if !b"HTTP/1.".starts_with(head.get(..7).unwrap_or(&head)) {
            return Err("does not answer in HTTP; check scheme and port of proxy".to_owned());
        }
    }
    judge(&head, login.is_some())
}

fn request(host: &str, port: u16, login: Option<&Login>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let login = login.map_or(String::new(), |Login { name, password }| {
        let pair = Base64::encode_string(&[name.as_bytes(), b":", password].concat());
        format!("Proxy-Authorization: Basic {pair}\r\n")
    });
    format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n")
}

fn judge(head: &[u8], named: bool) -> Result<(), String> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    let Ok(Status::Complete(_)) = response.parse(head) else {
        return Err("does not answer in HTTP; check scheme and port of proxy".to_owned());
    };
    let code = response.code.unwrap_or_default();
    let fix = match code {
        200..=299 => return Ok(()),
        // Some answer 401, which is for servers.
        401 | 407 if named => "check proxy-username and what proxy-password-file holds",
        401 | 407 => "it wants to know who asks: set proxy-username and proxy-password-file",
        403 | 405 => {
            "it does not let connections to this host and port pass; have that allowed there"
        }
        502..=504 => {
            "it cannot reach upstream; check the url, and the proxy's own network and resolver"
        }
        _ => "check that it lets CONNECT to this port pass",
    };
    let reason: String = response.reason.unwrap_or_default().chars().take(100).collect();
    Err(format!("answered {code} {reason:?}; {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &[u8], login: Option<&Login>) -> (String, Result<(), String>) {
        let (mut near, mut far) = tokio::io::duplex(1 << 14);
        far.write_all(answer).await.unwrap();
        let outcome = ask(&mut near, "cloud.example", 8883, login).await;
        drop(near);
        let mut asked = String::new();
        // What was not read of the answer is of no interest.
        far.read_to_string(&mut asked).await.unwrap();
        (asked, outcome)
    }

    #[tokio::test]
    async fn it_asks_for_the_server_and_says_who_asks() {
        let (asked, outcome) = answered(b"HTTP/1.0 200 Connection established\r\n\r\n", None).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(
            asked,
            "CONNECT cloud.example:8883 HTTP/1.1\r\nHost: cloud.example:8883\r\n\r\n"
        );
        let login = Login { name: "Aladdin".to_owned(), password: b"open sesame".to_vec() };
        let (asked, _) = answered(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", Some(&login)).await;
        // The example of RFC 7617.
        let header = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(asked.contains(header), "{asked}");
        assert!(request("::1", 1, None).starts_with("CONNECT [::1]:1 "));
    }

    #[tokio::test]
    async fn what_follows_the_answer_is_left_alone() {
        let (mut near, mut far) = tokio::io::duplex(1 << 14);
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\nmore").await.unwrap();
        assert_eq!(ask(&mut near, "a", 1, None).await, Ok(()));
        let mut more = [0; 4];
        near.read_exact(&mut more).await.unwrap();
        assert_eq!(&more, b"more");
    }

    #[tokio::test]
    async fn errors_say_what_to_set() {
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'a'; HEAD_MAX]].concat();
        for (answer, says) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], "set proxy-username"),
            (b"HTTP/1.0 401 Unauthorized\r\n\r\n", "set proxy-username"),
            (b"HTTP/1.1 403 Filtered\r\n\r\n", "have that allowed"),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "cannot reach upstream"),
            (b"\x05\xff", "not answer in HTTP"),
            (&endless, "more than 8192"),
        ] {
            let error = answered(answer, None).await.1.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let login = Login { name: "a".to_owned(), password: Vec::new() };
        let error = answered(b"HTTP/1.1 407 No\r\n\r\n", Some(&login)).await.1.unwrap_err();
        assert!(error.contains("check proxy-username"), "{error}");
    }
}

//! SOCKS5, with a name and password if need be (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Login;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;

const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NONE_WILL_DO: u8 = 0xFF;

const CONNECT: u8 = 1;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Has the proxy connect. The error goes on where "proxy HOST:PORT" ends.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    host: &str,
    port: u16,
    login: Option<&Login>,
) -> Result<(), String> {
    let greeting: &[u8] = match login {
        None => &[VERSION, 1, NO_LOGIN],
        Some(_) => &[VERSION, 2, NO_LOGIN, LOGIN],
    };
    socket.write_all(greeting).await.map_err(broken)?;
    match (answer(socket).await?, login) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, LOGIN], Some(login)) => tell(socket, login).await?,
        ([VERSION, NONE_WILL_DO], None) => {
            return Err(
                "wants to know who asks: set proxy-username and proxy-password-file".to_owned()
            );
        }
        ([VERSION, NONE_WILL_DO], Some(_)) => {
            return Err(
                "takes no name and password; it needs another method, which is not spoken here"
                    .to_owned(),
            );
        }
        _ => return Err("does not answer in SOCKS5; check scheme and port of proxy".to_owned()),
    }
    socket.write_all(&request(host, port)?).await.map_err(broken)?;
    // Version, code, reserved, and where the proxy connects from, which is of no use here.
    let [version, code] = answer(socket).await?;
    if version != VERSION {
        return Err("does not answer in SOCKS5; check scheme and port of proxy".to_owned());
    }
    judge(code)?;
    let [_, kind] = answer(socket).await?;
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(socket.read_u8().await.map_err(broken)?),
        _ => return Err("answers with an address of an unknown kind".to_owned()),
    };
    let mut rest = [0; 255 + 2];
    let rest = rest.get_mut(..address + 2).unwrap_or_default();
    socket.read_exact(rest).await.map_err(broken)?;
    Ok(())
}

async fn answer<S: AsyncRead + Unpin>(socket: &mut S) -> Result<[u8; 2], String> {
    let mut answer = [0; 2];
    socket.read_exact(&mut answer).await.map_err(broken)?;
    Ok(answer)
}

async fn tell<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    login: &Login,
) -> Result<(), String> {
    let mut message = vec![LOGIN_VERSION];
    for text in [login.name.as_bytes(), &login.password] {
        let length = u8::try_from(text.len());
        message
            .push(length.map_err(|_| "takes names and passwords of 255 bytes at most".to_owned())?);
        message.extend_from_slice(text);
    }
    socket.write_all(&message).await.map_err(broken)?;
    match answer(socket).await? {
        [_, 0] => Ok(()),
        _ => Err(
            "refuses name and password; check proxy-username and what proxy-password-file holds"
                .to_owned(),
        ),
    }
}

/// An address as it is, and a name for the proxy to resolve.
fn request(host: &str, port: u16) -> Result<Vec<u8>, String> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len());
            let length = length.map_err(|_| "takes names of 255 bytes at most".to_owned())?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// RFC 1928, section 6.
fn judge(code: u8) -> Result<(), String> {
    let why = match code {
        0 => return Ok(()),
        1 => "failed; its log may say why",
        2 => "does not let connections to this host and port pass; have that allowed there",
        3 | 4 => "cannot reach upstream; check the url, and the proxy's own network and resolver",
        5 => "heard that upstream takes no connection; check host and port of the url",
        6 => "gave up on upstream, which did not answer it",
        7 => "does not know CONNECT",
        8 => "does not take an address of this kind; name the host in the url",
        code => return Err(format!("answered with the unknown code {code}")),
    };
    Err(why.to_owned())
}

fn broken(error: std::io::Error) -> String {
    format!("broke the connection off ({error}); check scheme and port of proxy")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(
        host: &str,
        answer: &[u8],
        login: Option<&Login>,
    ) -> (Vec<u8>, Result<(), String>) {
        let (mut near, mut far) = tokio::io::duplex(1 << 14);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let outcome = ask(&mut near, host, 0x0102, login).await;
        drop(near);
        let mut asked = Vec::new();
        far.read_to_end(&mut asked).await.unwrap();
        (asked, outcome)
    }

    #[tokio::test]
    async fn names_are_for_the_proxy_to_resolve_and_addresses_are_not() {
        let good = [5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        let (asked, outcome) = answered("a.b", &good, None).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(asked, [5, 1, 0, 5, 1, 0, 3, 3, b'a', b'.', b'b', 1, 2]);
        let (asked, _) = answered("10.0.0.1", &good, None).await;
        assert_eq!(asked[3..], [5, 1, 0, 1, 10, 0, 0, 1, 1, 2]);
        let named = [5, 0, 5, 0, 0, 3, 1, b'x', 0, 80];
        assert_eq!(answered("::1", &named, None).await.1, Ok(()));
    }

    #[tokio::test]
    async fn it_says_who_asks_only_where_it_is_asked() {
        let login = Login { name: "me".to_owned(), password: b"pw".to_vec() };
        let end = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (asked, outcome) =
            answered("a", &[&[5, 2, 1, 0][..], &end].concat(), Some(&login)).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(asked[..11], [5, 2, 0, 2, 1, 2, b'm', b'e', 2, b'p', b'w']);
        let (asked, outcome) = answered("a", &[&[5, 0][..], &end].concat(), Some(&login)).await;
        assert_eq!((outcome, asked[4]), (Ok(()), VERSION));
    }

    #[tokio::test]
    async fn errors_say_what_to_set() {
        let login = Login { name: "me".to_owned(), password: b"pw".to_vec() };
        for (answer, login, says) in [
            (&[5, 0xFF][..], None, "set proxy-username"),
            (&[5, 0xFF], Some(&login), "another method"),
            (&[5, 2, 1, 1], Some(&login), "refuses name"),
            (&[5, 0, 5, 2], None, "have that allowed"),
            (&[5, 0, 5, 5], None, "takes no connection"),
            (&[5, 0, 5, 99], None, "unknown code 99"),
            (&[5, 0], None, "broke the connection off"),
            (b"HTTP/1.1 400 Bad", None, "not answer in SOCKS5"),
        ] {
            let error = answered("a", answer, login).await.1.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}

//! Through a proxy: HTTP CONNECT (RFC 9110, section 9.3.6) or SOCKS5 (RFC 1928).

mod http;
mod socks5;

use std::path::{Path, PathBuf};

use tokio::net::TcpStream;

use super::DialError;

/// Whoever makes TCP connections in our place. It resolves the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialProxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Where it is, as the host of [`DialSettings`](super::DialSettings).
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who it is told that we are, in the clear.
    pub user: Option<DialProxyUser>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP/1.1, method CONNECT.
    Http,
    /// SOCKS5.
    Socks5,
}

/// A user of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialProxyUser {
    /// Its name: 1 to 255 bytes, without a colon.
    pub name: String,
    /// The file with its password, which is read for each connection; no password if `None`.
    pub password_file: Option<PathBuf>,
}

/// Bytes of a password at most: SOCKS5 has no room for more (RFC 1929, section 2).
const PASSWORD_MAX: usize = 255;

/// What a proxy is told of us.
struct Login {
    name: String,
    password: Vec<u8>,
}

impl DialProxy {
    /// A connection to `host` that the proxy has made.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let login = match &self.user {
            Some(user) => Some(self.login(user).await?),
            None => None,
        };
        let mut socket = super::connect(&self.host, self.port).await?;
        let asked = match self.kind {
            ProxyKind::Http => http::ask(&mut socket, host, port, login.as_ref()).await,
            ProxyKind::Socks5 => socks5::ask(&mut socket, host, port, login.as_ref()).await,
        };
        asked.map_err(|why| self.fault(why))?;
        Ok(socket)
    }

    async fn login(&self, user: &DialProxyUser) -> Result<Login, DialError> {
        let name = user.name.clone();
        let Some(file) = user.password_file.clone() else {
            return Ok(Login { name, password: Vec::new() });
        };
        let read = tokio::task::spawn_blocking(move || password(&file)).await;
        let read = read.unwrap_or_else(|_| Err("cannot be told a password".to_owned()));
        Ok(Login { name, password: read.map_err(|why| self.fault(why))? })
    }

    fn fault(&self, why: String) -> DialError {
        DialError::Proxy { proxy: format!("{}:{}", self.host, self.port), why }
    }
}

fn password(file: &Path) -> Result<Vec<u8>, String> {
    let mut password = std::fs::read(file).map_err(|error| {
        format!(
            "cannot be told the password: proxy-password-file {file:?} is not readable ({error})"
        )
    })?;
    for end in *b"\n\r" {
        if password.last() == Some(&end) {
            password.pop();
        }
    }
    if password.is_empty() || password.len() > PASSWORD_MAX {
        return Err(format!(
            "cannot be told the password: proxy-password-file {file:?} holds {} bytes, and not from 1 to {PASSWORD_MAX}",
            password.len()
        ));
    }
    Ok(password)
}

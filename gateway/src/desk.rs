//! What the operator asks and orders through the admin socket. `gateway/ADMIN.md` has all of it.

mod bans;
mod bridges;
mod certificates;
mod clients;
mod explain;
mod extensions;
mod fields;
mod limits;
mod metrics;
mod recordings;
mod stranger;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use admin::{Answer, Handler, Limits, Method, Request, Socket, SocketError};
use config::Admin;
use serde_json::json;

use crate::bridges::Bridges;
use crate::certificates::Certificates;
use crate::chain::Chain;
use crate::disk::Disk;
use crate::extensions::Extensions;
use crate::failure::Failure;
use crate::hub::Hub;
use crate::screen::Screen;
use crate::sentry::Sentry;

pub(crate) use metrics::of_extension;

/// Orders of the operator that may block at a time: one for each connection of the socket.
pub(crate) const ORDERS_MAX: usize = 16;

/// Whoever answers the operator.
pub(crate) struct Desk {
    pub(crate) extensions: Arc<Extensions>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) disk: Disk,
    /// The chain of each listener.
    pub(crate) chains: BTreeMap<String, Chain>,
    /// Who looks at the messages of each listener's clients.
    pub(crate) screens: BTreeMap<String, Arc<Screen>>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) sentry: Arc<Sentry>,
    pub(crate) bridges: Arc<Bridges>,
}

/// What a path stands for.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Root,
    Extensions,
    Extension(String),
    Reload(String),
    Promote(String),
    Abandon(String),
    Record(String),
    Recording(String),
    Bridges,
    Pause(String),
    Resume(String),
    Clients,
    Client(String),
    Disconnect(String),
    Bans,
    AddBan,
    LiftBan,
    Explain,
    Metrics,
}

/// Takes the socket. What the configuration has wrong ends the start; what the file system cannot do does not: devices
/// matter more than the operator's convenience.
pub(crate) fn open(admin: &Admin) -> Result<Option<Socket>, Failure> {
    if !admin.enabled {
        return Ok(None);
    }
    if let Some(folder) = admin.socket.parent() {
        // If it cannot be made, the next step says so.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    match Socket::bind(&admin.socket, admin.mode) {
        Ok(socket) => {
            tracing::info!(socket = %socket.path().display(), "admin socket listens");
            Ok(Some(socket))
        }
        Err(error @ SocketError::File { .. }) => {
            tracing::error!(%error, "there is no admin socket; the gateway goes on without it");
            Ok(None)
        }
        Err(error) => Err(Failure::Admin(format!(
            "{error} (socket of [admin] in gateway.toml; enabled = false goes without)"
        ))),
    }
}

/// Answers whoever comes to the socket, for ever.
pub(crate) async fn attend(desk: Arc<Desk>, socket: Socket) {
    let limits = Limits { connections: ORDERS_MAX, ..Limits::default() };
    if let Err(error) = admin::serve(socket, desk, limits, std::future::pending()).await {
        tracing::error!(%error, "admin socket ended");
    }
}

impl Handler for Desk {
    async fn handle(&self, request: Request) -> Answer {
        let Some(route) = Route::of(&request.path) else {
            let sentence = format!(
                "there is nothing at /{}; gateway/ADMIN.md has what there is",
                request.path.join("/")
            );
            return Answer::error(404, sentence);
        };
        if request.method != route.method() {
            let name = route.method().name();
            return Answer::error(405, format!("this is asked for with {name}"));
        }
        if request.method == Method::Post {
            let path = request.path.join("/");
            tracing::info!(user = request.user, path, "order of the operator");
        }
        self.answer(route, &request).await.unwrap_or_else(|refused| refused)
    }

    fn refused(&self, error: &io::Error) {
        tracing::warn!(%error, "connection of the admin socket not accepted");
    }
}

impl Desk {
    async fn answer(&self, route: Route, request: &Request) -> Result<Answer, Answer> {
        match route {
            Route::Root => Ok(Answer::ok(json!({ "portcullis": env!("CARGO_PKG_VERSION") }))),
            Route::Extensions => Ok(extensions::all(&self.extensions)),
            Route::Extension(name) => extensions::one(&self.extensions, &name),
            Route::Reload(name) => extensions::reload(&self.extensions, name, request).await,
            Route::Promote(name) => extensions::promote(&self.extensions, name).await,
            Route::Abandon(name) => extensions::abandon(&self.extensions, name).await,
            Route::Record(name) => recordings::begin(&self.extensions, &name, request),
            Route::Recording(name) => recordings::part(&self.extensions, &name),
            Route::Bridges => Ok(Answer::ok(json!({ "bridges": bridges::document(self) }))),
            Route::Pause(name) => bridges::pause(self, &name, true),
            Route::Resume(name) => bridges::pause(self, &name, false),
            Route::Clients => clients::page(&self.hub, request),
            Route::Client(client_id) => clients::one(&self.hub, &client_id),
            Route::Disconnect(client_id) => clients::disconnect(&self.hub, &client_id, request),
            Route::Bans => Ok(bans::list(self)),
            Route::AddBan => bans::add(self, request).await,
            Route::LiftBan => bans::lift(self, request).await,
            Route::Explain => explain::explain(self, request).await,
            Route::Metrics => metrics::answer(self, request),
        }
    }
}

impl Route {
    fn of(path: &[String]) -> Option<Self> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        Some(match *path.as_slice() {
            ["v1"] => Self::Root,
            ["v1", "extensions"] => Self::Extensions,
            ["v1", "extensions", name] => Self::Extension(name.to_owned()),
            ["v1", "extensions", name, "reload"] => Self::Reload(name.to_owned()),
            ["v1", "extensions", name, "promote"] => Self::Promote(name.to_owned()),
            ["v1", "extensions", name, "abandon"] => Self::Abandon(name.to_owned()),
            ["v1", "extensions", name, "record"] => Self::Record(name.to_owned()),
            ["v1", "extensions", name, "recording"] => Self::Recording(name.to_owned()),
            ["v1", "bridges"] => Self::Bridges,
            ["v1", "bridges", name, "pause"] => Self::Pause(name.to_owned()),
            ["v1", "bridges", name, "resume"] => Self::Resume(name.to_owned()),
            ["v1", "clients"] => Self::Clients,
            ["v1", "clients", client_id] => Self::Client(client_id.to_owned()),
            ["v1", "clients", client_id, "disconnect"] => Self::Disconnect(client_id.to_owned()),
            ["v1", "bans"] => Self::Bans,
            ["v1", "bans", "add"] => Self::AddBan,
            ["v1", "bans", "lift"] => Self::LiftBan,
            ["v1", "explain"] => Self::Explain,
            ["v1", "metrics"] => Self::Metrics,
            _ => return None,
        })
    }

    fn method(&self) -> Method {
        match self {
            Self::Reload(_)
            | Self::Promote(_)
            | Self::Abandon(_)
            | Self::Record(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Disconnect(_)
            | Self::AddBan
            | Self::LiftBan
            | Self::Explain => Method::Post,
            _ => Method::Get,
        }
    }
}

/// Runs what may take long where that may block. What it does is done even if the operator does not wait for it.
async fn aside<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, Answer> {
    tokio::task::spawn_blocking(job).await.map_err(|_| {
        Answer::error(500, "what was asked for did not end in order; the log says more")
    })
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_for_one_thing() {
        let route = |path: &str| Route::of(&path.split('/').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(route("v1/clients/a"), Some(Route::Client("a".to_owned())));
        assert_eq!(route("v1/clients/a/disconnect"), Some(Route::Disconnect("a".to_owned())));
        assert_eq!(route("v1/extensions/acl/reload"), Some(Route::Reload("acl".to_owned())));
        assert_eq!(route("v1/bridges/a/pause"), Some(Route::Pause("a".to_owned())));
        assert_eq!(route("v1/bans/lift"), Some(Route::LiftBan));
        for path in ["", "v2", "v1/clients/a/b", "clients", "v1/extensions/acl/remove"] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}

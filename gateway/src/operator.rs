//! The commands by which an operator asks and orders a gateway that runs: the other end of its admin socket.

pub(crate) mod record;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use admin::{Client, Method, Reply, segment};
use serde_json::{Value, json};

use crate::cli::say;
use crate::failure::Failure;

/// How long an answer may take: as long as the gateway gives itself, and a little.
const PATIENCE: Duration = Duration::from_secs(130);

/// Bytes of the description of a CONNECT at most.
const CONNECT_BYTES_MAX: u64 = 48 * 1024;

/// One command.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) gateway: Place,
    /// Whether the answer is shown as it came.
    pub(crate) json: bool,
    pub(crate) order: Order,
}

/// How the gateway is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By the configuration that names its socket.
    Config(PathBuf),
    /// By its socket.
    Socket(PathBuf),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Order {
    Status {
        name: Option<String>,
    },
    Reload {
        name: String,
        mode: Option<String>,
        share: Option<u8>,
    },
    Promote {
        name: String,
    },
    Abandon {
        name: String,
    },
    /// Acts as the admin socket wants them.
    Explain {
        whom: Whom,
        acts: Vec<Value>,
    },
    Clients {
        from: u32,
        limit: u32,
    },
    Client {
        client_id: String,
    },
    Disconnect {
        client_id: String,
        code: Option<u8>,
        reason: Option<String>,
    },
    Bridges,
    Pause {
        bridge: String,
        pauses: bool,
    },
    Metrics {
        prometheus: bool,
    },
    Bans,
    Ban {
        whom: Named,
        /// Milliseconds; without end if none.
        length: Option<u64>,
        reason: Option<String>,
    },
    Unban {
        whom: Named,
    },
}

/// Whom a ban names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) network: Option<String>,
    pub(crate) identity: Option<String>,
    pub(crate) client: Option<String>,
}

/// Whose acts are explained.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those of a client that the gateway knows.
    Client(String),
    /// Those of one that would come as this file describes.
    Connect(PathBuf),
}

/// A question as the socket wants it.
struct Question {
    method: Method,
    path: String,
    body: Option<Value>,
}

/// Asks, and shows the answer.
pub(crate) fn run(request: &Request) -> Result<ExitCode, Failure> {
    let socket = request.gateway.socket()?;
    let Question { method, path, body } = request.order.question()?;
    let client = Client::new(&socket, PATIENCE);
    let reply = client
        .call(method, &path, body.as_ref())
        .map_err(|error| Failure::Admin(error.to_string()))?;
    let raw = request.json || matches!(request.order, Order::Metrics { prometheus: true });
    if reply.status != 200 {
        return Err(Failure::Admin(refusal(&reply)));
    }
    if raw {
        say(reply.text.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let document: Value = serde_json::from_str(&reply.text).map_err(|error| {
        Failure::Admin(format!(
            "the answer of the gateway is not JSON ({error}); are both of one version?"
        ))
    })?;
    say(text::of(&request.order, &document).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// What the gateway says where it does not do what it is asked.
fn refusal(reply: &Reply) -> String {
    let document: Option<Value> = serde_json::from_str(&reply.text).ok();
    let sentence = document.as_ref().and_then(|document| document["error"].as_str());
    match sentence {
        Some(sentence) => sentence.to_owned(),
        None => format!("the gateway answers with status {}", reply.status),
    }
}

impl Place {
    fn socket(&self) -> Result<PathBuf, Failure> {
        let file = match self {
            Self::Socket(path) => return Ok(path.clone()),
            Self::Config(file) => file,
        };
        let admin = config::load(file).map_err(Failure::Config)?.admin;
        if !admin.enabled {
            let why =
                format!("{} has no admin socket; set enabled = true in [admin]", file.display());
            return Err(Failure::Admin(why));
        }
        Ok(admin.socket)
    }
}

impl Order {
    fn question(&self) -> Result<Question, Failure> {
        let get = |path: String| Question { method: Method::Get, path, body: None };
        let post =
            |path: String, body: Value| Question { method: Method::Post, path, body: Some(body) };
        let extension = |name: &str| format!("/v1/extensions/{}", segment(name));
        Ok(match self {
            Self::Status { name: None } => get("/v1/extensions".to_owned()),
            Self::Status { name: Some(name) } => get(extension(name)),
            Self::Reload { name, mode, share } => {
                let body = json!({ "mode": mode, "share": share });
                post(format!("{}/reload", extension(name)), body)
            }
            Self::Promote { name } => post(format!("{}/promote", extension(name)), json!({})),
            Self::Abandon { name } => post(format!("{}/abandon", extension(name)), json!({})),
            Self::Explain { whom, acts } => {
                let body = match whom {
                    Whom::Client(client_id) => json!({ "client": client_id, "acts": acts }),
                    Whom::Connect(file) => json!({ "connect": connect(file)?, "acts": acts }),
                };
                post("/v1/explain".to_owned(), body)
            }
            Self::Clients { from, limit } => get(format!("/v1/clients?from={from}&limit={limit}")),
            Self::Client { client_id } => get(format!("/v1/clients/{}", segment(client_id))),
            Self::Disconnect { client_id, code, reason } => {
                let body = json!({ "code": code, "reason": reason });
                post(format!("/v1/clients/{}/disconnect", segment(client_id)), body)
            }
            Self::Bridges => get("/v1/bridges".to_owned()),
            Self::Pause { bridge, pauses } => {
                let what = if *pauses { "pause" } else { "resume" };
                post(format!("/v1/bridges/{}/{what}", segment(bridge)), json!({}))
            }
            Self::Metrics { prometheus: false } => get("/v1/metrics".to_owned()),
            Self::Bans => get("/v1/bans".to_owned()),
            Self::Ban { whom, length, reason } => {
                let mut body = whom.document();
                body["for_ms"] = json!(length);
                body["reason"] = json!(reason);
                post("/v1/bans/add".to_owned(), body)
            }
            Self::Unban { whom } => post("/v1/bans/lift".to_owned(), whom.document()),
            Self::Metrics { prometheus: true } => get("/v1/metrics?format=prometheus".to_owned()),
        })
    }
}

impl Named {
    fn document(&self) -> Value {
        json!({ "network": self.network, "identity": self.identity, "client": self.client })
    }
}

/// The description of a CONNECT, which may hold a password and therefore stands in a file.
fn connect(file: &Path) -> Result<Value, Failure> {
    let size = std::fs::metadata(file).map_err(Failure::file("read", file))?.len();
    if size > CONNECT_BYTES_MAX {
        let why = format!(
            "{} has {size} bytes; a CONNECT has at most {CONNECT_BYTES_MAX}",
            file.display()
        );
        return Err(Failure::Admin(why));
    }
    let text = std::fs::read_to_string(file).map_err(Failure::file("read", file))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Admin(format!("{} is not JSON: {error}", file.display())))
}

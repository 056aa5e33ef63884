use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use admin::{Client, Method, segment};
use serde_json::{Value, json};

use super::{PATIENCE, Place, refusal};
use crate::cli::say;
use crate::failure::Failure;

/// Between two looks at what was recorded: a busy extension fills what is kept for it in some seconds.
const PAUSE: Duration = Duration::from_millis(200);

/// What is recorded, and where to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    pub(crate) gateway: Place,
    pub(crate) name: String,
    pub(crate) time: Duration,
    pub(crate) out: PathBuf,
    pub(crate) secrets: bool,
}

/// Records, and writes to a new file that only its owner can read.
pub(crate) fn run(order: &Recording) -> Result<ExitCode, Failure> {
    let client = Client::new(&order.gateway.socket()?, PATIENCE);
    let path = format!("/v1/extensions/{}", segment(&order.name));
    // Before the gateway is asked: it would record for nobody.
    let mut file = create(&order.out)?;
    let ms = u64::try_from(order.time.as_millis()).unwrap_or(u64::MAX);
    let body = json!({ "for_ms": ms, "secrets": order.secrets });
    let begun = ask(&client, Method::Post, &format!("{path}/record"), Some(&body));
    let begun = begun.inspect_err(|_| {
        // Nothing is in it; if it stays, it is in the way of the next attempt, which says so.
        let _ = fs::remove_file(&order.out);
    })?;
    write(&mut file, &order.out, text(&begun, "header")?)?;
    let mut calls = 0_u64;
    let lost = loop {
        std::thread::sleep(PAUSE);
        let part = ask(&client, Method::Get, &format!("{path}/recording"), None)?;
        for line in part["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            write(&mut file, &order.out, line)?;
            calls += 1;
        }
        if part["last"] == true {
            break part["lost"].as_u64().unwrap_or(0);
        }
    };
    file.flush().map_err(Failure::file("write", &order.out))?;
    say(&format!("{}: {calls} calls recorded, {lost} lost", order.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map(BufWriter::new).map_err(Failure::file("create", path))
}

fn write(file: &mut impl Write, path: &Path, line: &str) -> Result<(), Failure> {
    writeln!(file, "{line}").map_err(Failure::file("write", path))
}

fn ask(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let reply =
        client.call(method, path, body).map_err(|error| Failure::Admin(error.to_string()))?;
    if reply.status != 200 {
        return Err(Failure::Admin(refusal(&reply)));
    }
    serde_json::from_str(&reply.text)
        .map_err(|error| Failure::Admin(format!("the answer of the gateway is not JSON ({error})")))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    let missing = || Failure::Admin(format!("the answer of the gateway has no {name}"));
    value[name].as_str().ok_or_else(missing)
}

//! `portcullis store`: what an operator does with a store beside the gateway.

mod export;
mod inspect;
mod text;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::Engine;
use serde_json::json;
use store::{Finding, StoreError, Survey};

use crate::cli::say;
use crate::failure::Failure;
pub(crate) use export::{Export, Kind};
use text::grouped;

/// What `portcullis store` is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Inspect { store: Place, limit: usize, json: bool },
    Verify { store: Place, json: bool },
    Compact { store: Place },
    Export { store: Place, export: Export },
    Help,
}

/// How a store is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By the configuration that names it.
    Config(PathBuf),
    /// By its directory.
    Dir(PathBuf),
}

pub(crate) const HELP: &str = "\
  portcullis store inspect STORE [--limit N] [--json]
                                    what is in a store and what it occupies, and the sessions with the most
                                    bytes waiting (20, or N); payloads are not shown
  portcullis store verify STORE [--json]
                                    read every record and every message and report damage, where it is and
                                    what it costs: 0 none, 1 some, 2 the store could not be read
  portcullis store compact STORE    give space back: move what is alive, remove the rest; not while the gateway
                                    runs. What is damaged is set aside, as at a start of the gateway
  portcullis store export STORE [--client-id ID]... [--only KIND]... [--output FILE]
                                    sessions, subscriptions, retained and queued messages as JSON, one a line,
                                    to standard output or a new file. Payloads are in it: text as \"payload\",
                                    else \"payload_base64\". With --client-id only what those clients have;
                                    KIND is session, subscription, retained or queued

STORE is --config FILE, the gateway's configuration, or --dir DIR, the directory that store.path names.

inspect, verify and export take no lock and change nothing. On the store of a gateway that runs they see it as it
was at one moment: they copy the database, a few megabytes, to the directory for temporary files (TMPDIR says
which; its disk must hold it) when nobody writes it, and read the log where it is. They show what a start of the
gateway would find. They need to read the store's files, so run them as the gateway's user.

On a copy of the directory they do the same. One that was made by cp or rsync while the gateway ran is of several
moments; what verify reports of it may come of that. The directory itself is the better source.";

/// Runs a request.
pub(crate) fn run(request: &Request) -> Result<ExitCode, Failure> {
    let done = match request {
        Request::Help => return say(HELP).map(|()| ExitCode::SUCCESS),
        Request::Verify { store, json } => return Ok(verify(store, *json)),
        Request::Inspect { store, limit, json } => {
            look(store).and_then(|survey| inspect::run(survey, *limit, *json))
        }
        Request::Compact { store } => compact(store),
        Request::Export { store, export } => look(store).and_then(|survey| export.run(survey)),
    };
    match done {
        // Whoever reads, `head` for one, has enough.
        Err(Failure::System { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

impl Place {
    fn dir(&self) -> Result<PathBuf, Failure> {
        let file = match self {
            Self::Dir(dir) => return Ok(dir.clone()),
            Self::Config(file) => file,
        };
        match config::load(file).map_err(Failure::Config)?.store.engine {
            Engine::Sled { path, .. } => Ok(path),
            Engine::Memory => Err(Failure::Faults(vec![format!(
                "{}: store.engine = \"memory\" keeps nothing on disk; name another configuration, or --dir",
                file.display()
            )])),
        }
    }
}

fn look(store: &Place) -> Result<Survey, Failure> {
    Survey::of(&store.dir()?, &std::env::temp_dir()).map_err(Failure::Store)
}

/// `portcullis store verify`
fn verify(store: &Place, json: bool) -> ExitCode {
    match look(store).and_then(|survey| report(survey, json)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            // With standard error gone there is nobody to tell; the exit code still does.
            let _ = writeln!(io::stderr(), "{failure}");
            ExitCode::from(2)
        }
    }
}

/// Says what is wrong with a store; returns how much is.
fn report(mut survey: Survey, json: bool) -> Result<u64, Failure> {
    let mut findings = 0_u64;
    let mut said = Ok(());
    let verified = survey.verify(&mut |finding| {
        findings += 1;
        if said.is_ok() {
            said = say(&described(&finding, json));
        }
    });
    said?;
    let messages = verified.map_err(Failure::Store)?;
    let overview = survey.overview();
    if json {
        let checked = json!({
            "kind": "summary",
            "findings": findings,
            "sessions": overview.sessions,
            "subscriptions": overview.subscriptions,
            "retained": overview.retained,
            "queued": overview.queued,
            "messages_read": messages,
        });
        say(&checked.to_string())?;
        return Ok(findings);
    }
    say(&format!(
        "read: {} sessions, {} subscriptions, {} retained messages, {} queue entries with {} messages",
        grouped(overview.sessions),
        grouped(overview.subscriptions),
        grouped(overview.retained),
        grouped(overview.queued),
        grouped(messages),
    ))?;
    match findings {
        0 => say("nothing is damaged")?,
        _ => say(&format!(
            "{} findings. The gateway starts all the same: it sets aside what is damaged. If this is a copy \
             that was made while the gateway ran, copying may be to blame: verify the directory itself",
            grouped(findings)
        ))?,
    }
    Ok(findings)
}

fn described(finding: &Finding, json: bool) -> String {
    let Finding { place, damage, cost } = finding;
    if json {
        json!({ "kind": "finding", "place": place, "damage": damage, "cost": cost }).to_string()
    } else {
        format!("{place}: {damage}; lost: {cost}")
    }
}

/// `portcullis store compact`
fn compact(store: &Place) -> Result<(), Failure> {
    let dir = store.dir()?;
    let compacted = store::compact(&dir).map_err(|error| busy(error, &dir))?;
    for incident in compacted.loaded.incidents.iter().chain(&compacted.incidents) {
        say(&incident.to_string())?;
    }
    if compacted.loaded.quarantined_total > 0 {
        let damaged = grouped(compacted.loaded.quarantined_total);
        say(&format!(
            "{damaged} damaged records were set aside; `portcullis store verify` names them"
        ))?;
    }
    let line = |when: &str, usage: &store::Usage| {
        format!(
            "{when} {:>15} bytes: log {} in {} files with the reserve for a full disk, database {}",
            grouped(usage.file_bytes),
            grouped(usage.log_bytes),
            usage.segments,
            grouped(usage.engine_bytes),
        )
    };
    say(&line("before", &compacted.before))?;
    say(&line("after ", &compacted.after))
}

/// A lock means a gateway that runs.
fn busy(error: StoreError, dir: &Path) -> Failure {
    match error {
        StoreError::Locked { .. } => Failure::Faults(vec![format!(
            "store {} is in use by a gateway that runs, which compacts it by itself; stop it first to compact it \
             as far as possible",
            dir.display()
        )]),
        error => Failure::Store(error),
    }
}

/// Standard output, for much of it.
fn output() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

fn unwritten(error: io::Error) -> Failure {
    Failure::System { what: "write to standard output", error }
}

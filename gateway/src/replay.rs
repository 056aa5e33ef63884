//! `portcullis extension replay`: a recording against a candidate, before it decides about anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use extension_host::{
    Capability, Extension, ExtensionLimits, ExtensionSpec, Facilities, Host, Nature, RecordedCall,
    RecordingHeader, Replayed,
};
use serde_json::{Value, json};

use crate::cli::say;
use crate::failure::Failure;
use crate::{extensions, machine};

/// Bytes of a line of a recording at most: what a call may have on its tape, and what JSON makes of it.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// What is replayed, against what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) recording: PathBuf,
    /// The candidate; without one the component that the configuration names.
    pub(crate) component: Option<PathBuf>,
    /// Where the candidate's configuration, files, grants and limits are. Without it the candidate has every grant and no
    /// configuration.
    pub(crate) config: Option<PathBuf>,
    pub(crate) json: bool,
}

/// What came of it.
#[derive(Default)]
struct Tally {
    same: u64,
    improvised: u64,
    differences: Vec<Replayed>,
}

/// Replays; exit code 1 if anything is decided otherwise.
pub(crate) fn run(request: &Request) -> Result<ExitCode, Failure> {
    let file = File::open(&request.recording).map_err(Failure::file("read", &request.recording))?;
    let mut lines = Lines { file: BufReader::new(file), path: &request.recording, number: 0 };
    let first = lines.next()?.ok_or_else(|| lines.fault("it is empty"))?;
    let header = RecordingHeader::parse(&first).map_err(|why| lines.fault(&why))?;
    let nature = Arc::new(Then::default());
    nature.set(header.began_ms);
    let candidate = load(request, &header, &nature)?;
    let mut tally = Tally::default();
    while let Some(line) = lines.next()? {
        let call = RecordedCall::parse(&line).map_err(|why| lines.fault(&why))?;
        nature.set(call.at_ms());
        tally.add(candidate.replay(&call));
    }
    say(tally.shown(request.json, &header, &candidate).trim_end())?;
    Ok(if tally.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(
    request: &Request,
    header: &RecordingHeader,
    nature: &Arc<Then>,
) -> Result<Extension, Failure> {
    let mut spec = match &request.config {
        Some(file) => configured(file, &header.extension)?,
        None => bare(&header.extension),
    };
    if let Some(path) = &request.component {
        spec.component = fs::read(path).map_err(Failure::file("read", path))?.into();
        // Pin and signature are of the component that this one may take the place of.
        spec.sha256_pin = None;
        spec.attestation = None;
    }
    // What is replayed is not to be asked of others or kept again: not even by `init`, which has no tape.
    spec.facilities = Facilities::default();
    let sentence = |why: String| Failure::Extension(why);
    let host =
        Host::new(machine::engine_settings()).map_err(|error| sentence(error.to_string()))?;
    let nature: Arc<dyn Nature> = Arc::clone(nature) as Arc<dyn Nature>;
    host.with_nature(nature).load(spec).map_err(|error| sentence(error.to_string()))
}

fn configured(file: &Path, name: &str) -> Result<ExtensionSpec, Failure> {
    let checked = config::load(file).map_err(Failure::Config)?;
    extensions::spec_of(&checked, name)?.ok_or_else(|| {
        Failure::Extension(format!(
            "{} has no extension \"{name}\", of which the recording is",
            file.display()
        ))
    })
}

fn bare(name: &str) -> ExtensionSpec {
    ExtensionSpec {
        name: name.to_owned(),
        component: Arc::default(),
        sha256_pin: None,
        attestation: None,
        grants: BTreeSet::from(Capability::ALL),
        config: BTreeMap::new(),
        keyring: Arc::default(),
        facilities: Facilities::default(),
        limits: ExtensionLimits::default(),
    }
}

impl Tally {
    fn add(&mut self, replayed: Replayed) {
        let lacks = replayed.improvised > 0 || replayed.same && !replayed.outside.is_empty();
        self.improvised += u64::from(lacks);
        match replayed.same {
            true => self.same += 1,
            false => self.differences.push(replayed),
        }
    }

    fn shown(&self, json: bool, header: &RecordingHeader, candidate: &Extension) -> String {
        let (differ, id) = (self.differences.len(), candidate.id());
        if json {
            let differences: Vec<Value> = self.differences.iter().map(as_json).collect();
            return json!({
                "recording_of": header.version,
                "candidate": &*id,
                "sha256": &*candidate.hash(),
                "same": self.same,
                "improvised": self.improvised,
                "differences": differences,
            })
            .to_string();
        }
        let mut text = format!(
            "recorded of {}, replayed with {id}: {} decisions are the same, {differ} differ\n",
            header.version, self.same
        );
        if self.improvised > 0 {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{} of them asked the gateway for something that is not in the recording",
                self.improvised
            );
        }
        for Replayed { client_id, hook, what, before, now, outside, .. } in &self.differences {
            let space = if what.is_empty() { "" } else { " " };
            let mut line =
                format!("{client_id} {hook}{space}{what}\n    before: {before}\n    now:    {now}");
            for difference in outside {
                let _ = write!(line, "\n    {difference}");
            }
            let _ = writeln!(text, "{}", printable(&line));
        }
        text
    }
}

fn as_json(replayed: &Replayed) -> Value {
    json!({
        "client": replayed.client_id,
        "hook": replayed.hook,
        "what": replayed.what,
        "before": replayed.before,
        "now": replayed.now,
        "outside": replayed.outside,
        "improvised": replayed.improvised,
    })
}

/// Without what a terminal would take for an order.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{FFFD}")
}

/// The lines of a recording.
struct Lines<'a> {
    file: BufReader<File>,
    path: &'a Path,
    number: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        let read = self.file.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
        let read = read.map_err(Failure::file("read", self.path))?;
        self.number += 1;
        if read == 0 {
            return Ok(None);
        }
        if !line.ends_with('\n') {
            return Err(self.fault("it has no end: the recording was cut off"));
        }
        Ok(Some(line))
    }

    fn fault(&self, why: &str) -> Failure {
        Failure::Extension(format!("{}:{}: {why}", self.path.display(), self.number))
    }
}

/// The time of the recording, and chance that is the same in every replay.
#[derive(Debug, Default)]
struct Then {
    ms: AtomicU64,
    drawn: AtomicU64,
}

impl Then {
    fn set(&self, ms: u64) {
        self.ms.store(ms, Ordering::Relaxed);
        self.drawn.store(0, Ordering::Relaxed);
    }
}

impl Nature for Then {
    fn now(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.now()
    }

    /// SplitMix64 from the time on: it takes the place of chance in a test, and guards nothing.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        for part in bytes.chunks_mut(8) {
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed) + 1;
            let mut z = self
                .ms
                .load(Ordering::Relaxed)
                .wrapping_add(drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let number = (z ^ (z >> 31)).to_le_bytes();
            part.iter_mut().zip(number).for_each(|(byte, drawn)| *byte = drawn);
        }
        Ok(())
    }
}

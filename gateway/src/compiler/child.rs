use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use extension_host::MAX_JOB_BYTES;

use super::{FAULTY, TOO_MUCH_MEMORY};
use crate::failure::Failure;

/// How often memory is looked at. A compiler gets no further than some megabytes in it.
const GLANCE: Duration = Duration::from_millis(5);

/// Whom the system is to end first when memory runs out: this process, and not the gateway.
const FIRST: &str = "1000";

/// The process that compiles: a job on standard input, sealed code on standard output.
pub(crate) fn run(max_memory: u64) -> Result<ExitCode, Failure> {
    // Where the system does not allow it, it ends whom it likes.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST);
    watch_memory(max_memory)?;
    let mut job = Vec::new();
    let read = std::io::stdin().lock().take(MAX_JOB_BYTES as u64 + 1).read_to_end(&mut job);
    read.map_err(|error| Failure::System { what: "read the job", error })?;
    match extension_host::compile(&job) {
        Ok(code) => {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(&code).and_then(|()| out.flush());
            written.map_err(|error| Failure::System { what: "hand the code over", error })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            // The exit code says as much.
            let _ = writeln!(std::io::stderr(), "{why}");
            Ok(u8::try_from(FAULTY).map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

/// Ends this process when it has more than `most` bytes of memory.
fn watch_memory(most: u64) -> Result<(), Failure> {
    let watch = move || loop {
        if resident().is_some_and(|bytes| bytes > most) {
            std::process::exit(TOO_MUCH_MEMORY);
        }
        thread::sleep(GLANCE);
    };
    let started = thread::Builder::new().name("memory".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| Failure::System { what: "start a thread", error })
}

/// Bytes of memory that this process has.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

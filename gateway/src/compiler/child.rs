use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use extension_host::MAX_JOB_BYTES;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::process::{FAULTY, TOO_MUCH_MEMORY};
use crate::failure::Failure;

/// How often memory is looked at, besides the wall. A compiler gets no further than some megabytes in it.
const GLANCE: Duration = Duration::from_millis(5);

/// Whom the system is to end first when memory runs out: this process, and not the gateway.
const FIRST: &str = "1000";

/// The process that compiles: a job on standard input, sealed code on standard output.
pub(crate) fn run(max_memory: u64) -> Result<ExitCode, Failure> {
    // Where the system does not allow it, it ends whom it likes.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST);
    watch_memory(max_memory)?;
    // When the thread that watches has its memory.
    wall_in(max_memory);
    let mut job = Vec::new();
    match std::io::stdin().lock().take(MAX_JOB_BYTES as u64 + 1).read_to_end(&mut job) {
        Err(error) if error.kind() == ErrorKind::OutOfMemory => return Ok(code(TOO_MUCH_MEMORY)),
        read => read.map_err(|error| Failure::System { what: "read the job", error })?,
    };
    match extension_host::compile(&job) {
        Ok(code) => {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(&code).and_then(|()| out.flush());
            written.map_err(|error| Failure::System { what: "hand the code over", error })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) if why.contains(NO_MEMORY) => Ok(code(TOO_MUCH_MEMORY)),
        Err(why) => {
            // The exit code says as much.
            let _ = writeln!(std::io::stderr(), "{why}");
            Ok(code(FAULTY))
        }
    }
}

fn code(number: i32) -> ExitCode {
    u8::try_from(number).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// How the system says that it gives no more memory.
const NO_MEMORY: &str = "(os error 12)";

/// Has the system give this process no more than `most` bytes of memory that it can write to. Addresses that are only set
/// aside do not count, of which the engine takes many: so it is the limit of data and not that of addresses.
///
/// And no core is left behind of a process that has the key by which code is sealed. Where the system refuses either, there is
/// the look.
fn wall_in(most: u64) {
    for (resource, bytes) in [(Resource::Data, most), (Resource::Core, 0)] {
        let lowered = getrlimit(resource).maximum.map_or(bytes, |there| there.min(bytes));
        let limit = Rlimit { current: Some(lowered), maximum: Some(lowered) };
        let _ = setrlimit(resource, limit);
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

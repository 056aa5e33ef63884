//! Compiling in a process of its own: this program, started again for one component.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use config::CompilerProcess;
use extension_host::Ran;

/// The first argument of the process that compiles. It is not for people, and no part of the help.
pub(crate) const VERB: &str = "compile-component";

/// This program, whatever has been put in its place on disk meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// How the process says that the component is at fault, or that it takes too much memory.
pub(super) const FAULTY: i32 = 65;
pub(super) const TOO_MUCH_MEMORY: i32 = 71;

/// What the standard library says when an allocation fails, before it ends the process.
const NO_ALLOCATION: &str = "memory allocation of";

/// Bytes of code at most, and of what the process says about a failure.
const CODE_BYTES_MAX: u64 = 512 << 20;
const WORDS_BYTES_MAX: u64 = 4 << 10;

/// How often it is seen whether the process has ended.
const GLANCE: Duration = Duration::from_millis(5);

/// Has a process do a job.
pub(super) fn run(job: &[u8], bounds: &CompilerProcess) -> Ran {
    let started = Command::new(PROGRAM)
        .arg(VERB)
        .arg(bounds.max_memory.to_string())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match started {
        Ok(child) => attend(child, job, bounds),
        Err(error) => Ran::Not(Some(format!("{PROGRAM} does not start ({error})"))),
    }
}

/// Hands the job over, takes what comes, and ends what takes too long.
fn attend(mut child: Child, job: &[u8], bounds: &CompilerProcess) -> Ran {
    let (input, output, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(move || {
            // A process that ends before it has read all says why.
            let _ = input.map(|mut input| input.write_all(job));
        });
        let output = scope.spawn(move || bounded(output, CODE_BYTES_MAX));
        let words = scope.spawn(move || bounded(words, WORDS_BYTES_MAX));
        let ended = wait(&mut child, bounds.deadline);
        let words = words.join().unwrap_or_default();
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        let output = output.join().unwrap_or_default();
        outcome(ended, output, words, bounds)
    })
}

fn outcome(
    ended: Result<Option<ExitStatus>, std::io::Error>,
    output: Vec<u8>,
    words: String,
    bounds: &CompilerProcess,
) -> Ran {
    let status = match ended {
        Ok(Some(status)) => status,
        Ok(None) => {
            return Ran::Refused(format!(
                "compiling it takes longer than compiler.deadline ({} s); raise that, or build it smaller",
                bounds.deadline.as_secs()
            ));
        }
        Err(error) => return Ran::Not(Some(format!("its process is not to be watched ({error})"))),
    };
    // An allocator that gets no more ends the process.
    let is_walled_in = status.signal().is_some() && words.contains(NO_ALLOCATION);
    match status.code() {
        Some(0) => Ran::Done(output),
        Some(FAULTY) => Ran::Refused(words),
        code if code == Some(TOO_MUCH_MEMORY) || is_walled_in => Ran::Refused(format!(
            "compiling it takes more memory than compiler.max-memory ({} bytes); raise that, or build it smaller",
            bounds.max_memory
        )),
        Some(_) => Ran::Not(Some(format!("its process failed, {status}: {words}"))),
        None => Ran::Refused(format!(
            "the process that compiled it was killed, {status}; perhaps the system has too little memory for it"
        )),
    }
}

/// None if it was ended because it took too long.
fn wait(child: &mut Child, most: Duration) -> Result<Option<ExitStatus>, std::io::Error> {
    let until = Instant::now() + most;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            return child.wait().map(|_| None);
        }
        thread::sleep(GLANCE);
    }
}

fn bounded(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is cut short has no right seal.
    let _ = pipe.map(|pipe| pipe.take(most).read_to_end(&mut bytes));
    bytes
}

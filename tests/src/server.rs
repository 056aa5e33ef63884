use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::log::Log;

/// A server of others, with every process that it starts. All of them are killed when this value goes.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// What it has said, on standard output and on standard error.
    pub(crate) log: Log,
}

impl Server {
    /// Starts it in a process group of its own.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} does not start ({error}); `cargo xtask test` installs what is needed")
        });
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let log = Log::default();
        let pipes: [Option<Box<dyn Read + Send>>; 2] =
            [out.map(|it| Box::new(it) as _), err.map(|it| Box::new(it) as _)];
        pipes.into_iter().flatten().for_each(|pipe| log.follow(pipe));
        Self { child, log }
    }

    /// Waits until it has printed a line with these words.
    pub(crate) fn wait_for(&mut self, words: &str, patience: Duration) {
        let said = self.log.wait_for_words(words, patience);
        assert!(said, "a server does not say {words:?}:\n{}", self.log.tail(60));
    }

    /// `kill -9` for all of it.
    pub(crate) fn kill(&mut self) {
        // The shell's own `kill`: the standard library kills one process only.
        let line = format!("kill -s KILL -- -{}", self.child.id());
        // It may have ended before.
        let _ = Command::new("sh").arg("-c").arg(line).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until somebody accepts connections at this port of loopback.
pub(crate) fn wait_for_port(port: u16, patience: Duration) {
    let until = Instant::now() + patience;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < until, "nobody listens at port {port}");
        thread::sleep(Duration::from_millis(20));
    }
}

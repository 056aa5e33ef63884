use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::PATIENCE;
use crate::site::{Site, portcullis};

/// The operator of a gateway: its command line, and its admin socket.
#[derive(Clone, Debug)]
pub struct Operator {
    config: PathBuf,
    /// Where the admin socket is by default.
    pub socket: PathBuf,
}

impl Operator {
    /// Of the gateway on this site.
    pub fn of(site: &Site) -> Self {
        Self { config: site.config(), socket: site.path("data/admin.sock") }
    }

    /// Runs `portcullis WORDS --config ...`.
    pub fn run(&self, words: &[&str]) -> Output {
        let mut command = portcullis();
        command.args(words).arg("--config").arg(&self.config);
        command.output().expect("the command starts")
    }

    /// What a command prints that must succeed.
    pub fn says(&self, words: &[&str]) -> String {
        let out = self.run(words);
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("it prints text")
    }

    /// The JSON that a command prints that must succeed.
    pub fn asks(&self, words: &[&str]) -> Value {
        let text = self.says(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// Why a command fails that must fail, with exit code 1.
    pub fn fails(&self, words: &[&str]) -> String {
        let out = self.run(words);
        assert_eq!(
            out.status.code(),
            Some(1),
            "{words:?}: {}",
            String::from_utf8_lossy(&out.stdout)
        );
        String::from_utf8_lossy(&out.stderr).trim_end().to_owned()
    }

    /// A connection to the socket that has not sent anything.
    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("the socket accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// Sends bytes as they are; the status of the answer, 0 for none, and its body.
    pub fn raw(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        // Whoever is answered before all was sent may find the other side closed.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.trim_end().to_owned())
    }

    /// Sends a request with a body; the status of the answer and its body.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        self.raw(format!("{head}{body}").as_bytes())
    }
}

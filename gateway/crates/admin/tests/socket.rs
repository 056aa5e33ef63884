//! Real clients on a real socket: in order, and not.
#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_admin::{
    Answer, Body, Client, ClientError, Handler, Limits, Method, Request, Socket, segment, serve,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const TIME: Duration = Duration::from_secs(10);

/// Says what it was asked; `/slow` never answers.
struct Echo;

impl Handler for Echo {
    async fn handle(&self, request: Request) -> Answer {
        match request.path.first().map(String::as_str) {
            Some("slow") => std::future::pending().await,
            Some("text") => Answer {
                status: 200,
                body: Body::Text { kind: "text/plain", text: "a 1\n".to_owned() },
            },
            Some("none") => Answer::error(404, "there is no such thing"),
            _ => Answer::ok(json!({
                "method": request.method.name(), "path": request.path, "after": request.value("after"),
                "body": request.body, "user": request.user,
            })),
        }
    }

    fn refused(&self, error: &io::Error) {
        unreachable!("{error}")
    }
}

/// A server on a thread of its own.
struct Running {
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = Socket::bind(&path, 0o600).unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stopped = async { stopped.await.unwrap_or_default() };
            runtime.block_on(serve(socket, Arc::new(Echo), limits, stopped)).unwrap();
        });
        Self { path, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    fn client(&self) -> Client {
        Client::new(&self.path, TIME)
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(TIME)).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads until the other side closes.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // Whoever is answered before all was sent may find the other side closed.
        let _ = stream.write_all(bytes);
        until_closed(&mut stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        assert!(!self.path.exists(), "the socket is removed");
    }
}

fn until_closed(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => unreachable!("the other side neither answers nor closes: {error}"),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn short(limits: Limits) -> Limits {
    let time = Duration::from_millis(200);
    Limits { head_time: time, body_time: time, answer_time: time, write_time: time, ..limits }
}

fn own_user(folder: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).unwrap().uid()
}

#[test]
fn a_question_is_answered() {
    let running = Running::start(Limits::default());
    let path = format!("/v1/clients/{}?after={}", segment("line/1 ä"), segment("x&y=+"));
    let reply = running.client().call(Method::Post, &path, Some(&json!({"code": 152}))).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let said: Value = serde_json::from_str(&reply.text).unwrap();
    let user = own_user(running.path.parent().unwrap());
    assert_eq!(
        said,
        json!({"method": "POST", "path": ["v1", "clients", "line/1 ä"], "after": "x&y=+",
               "body": {"code": 152}, "user": user})
    );
    let reply = running.client().call(Method::Get, "/", None).unwrap();
    let said: Value = serde_json::from_str(&reply.text).unwrap();
    assert_eq!((&said["path"], &said["body"]), (&json!([]), &Value::Null));
    let reply = running.client().call(Method::Get, "/none", None).unwrap();
    assert_eq!((reply.status, &*reply.text), (404, "{\"error\":\"there is no such thing\"}\n"));
}

#[test]
fn text_goes_out_as_what_it_is() {
    let running = Running::start(Limits::default());
    let answer = running.raw(b"GET /text HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\na 1\n"), "{answer}");
}

#[test]
fn what_is_not_a_request_is_refused() {
    let running = Running::start(Limits::default());
    let status = |bytes: &[u8]| running.raw(bytes).get(9..12).unwrap_or("none").to_owned();
    assert_eq!(status(b"hello\r\n\r\n"), "400");
    assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), "400");
    assert_eq!(status(b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"), "405");
    assert_eq!(status(b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"), "400");
    assert_eq!(status(b"GET /?a=%ff HTTP/1.1\r\nHost: x\r\n\r\n"), "400");
    let no_json = running.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\"a\":");
    assert!(no_json.starts_with("HTTP/1.1 400") && no_json.contains("column"), "{no_json}");
    let many: String = (0..65).map(|n| format!("x{n}: y\r\n")).collect();
    assert_eq!(status(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()), "431");
    let long = "y".repeat(17 * 1024);
    assert_eq!(status(format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n").as_bytes()), "431");
    let reply = running.client().call(Method::Get, "/", None).unwrap();
    assert_eq!(reply.status, 200, "and the next is answered");
}

#[test]
fn a_body_ends_at_its_limit() {
    let running = Running::start(Limits { body_bytes: 100, ..Limits::default() });
    let fits = format!("\"{}\"", "x".repeat(98));
    let post = |body: &str| running.client().call(Method::Post, "/", Some(&json!(body))).unwrap();
    assert_eq!(post(&fits[1..99]).status, 200);
    assert_eq!(post(&fits[..99]).status, 413);
    // One that does not say how long it is.
    let chunk = format!("40\r\n{}\r\n", "1".repeat(64));
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = running.raw(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // One that says more than it sends: it is not waited for.
    let answer = running.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn whoever_is_slow_is_not_waited_for() {
    let running = Running::start(short(Limits::default()));
    let begun = Instant::now();
    let mut silent = running.connect();
    let mut halting = running.connect();
    halting.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert_eq!(until_closed(&mut silent), "");
    assert_eq!(until_closed(&mut halting), "");
    let body = running.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    let reply = running.client().call(Method::Get, "/slow", None).unwrap();
    assert_eq!(reply.status, 504, "{}", reply.text);
    assert!(begun.elapsed() < TIME, "{:?}", begun.elapsed());
}

#[test]
fn whoever_comes_on_top_waits_until_there_is_room() {
    let limits = Limits { connections: 2, head_time: Duration::from_secs(2), ..Limits::default() };
    let running = Running::start(limits);
    let held = [running.connect(), running.connect()];
    let hasty = Client::new(&running.path, Duration::from_millis(300));
    let error = hasty.call(Method::Get, "/", None).unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    drop(held);
    assert_eq!(running.client().call(Method::Get, "/", None).unwrap().status, 200);
}

#[test]
fn a_client_says_why_there_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let client = Client::new(&path, TIME);
    let error = client.call(Method::Get, "/", None).unwrap_err();
    assert!(matches!(error, ClientError::Missing { .. }), "{error}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = client.call(Method::Get, "/", None).unwrap_err();
    assert!(matches!(error, ClientError::NobodyListens { .. }), "{error}");
    std::fs::remove_file(&path).unwrap();

    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-x\r\n\r\n").unwrap();
    });
    let error = client.call(Method::Get, "/", None).unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    thread.join().unwrap();
}

//! Requests to servers that do what servers do, and what they should not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_connections::{
    HttpConnection, HttpFailure, HttpRequest, HttpResponse, HttpSettings, MAX_BODY_BYTES,
};

const LONG: Duration = Duration::from_secs(20);

/// A server on loopback, and how many connections it has had.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Handles each connection as `serve` says, on a thread of its own.
    fn start(serve: impl Fn(&mut BufReader<TcpStream>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(&mut BufReader::new(stream)));
            }
        });
        Self { port, connections }
    }

    /// Answers every request with `answer`, which gets the request's head.
    fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |stream| {
            while let Some(head) = request(stream) {
                if stream.get_mut().write_all(&answer(&head)).is_err() {
                    return;
                }
            }
        })
    }

    fn settings(&self) -> HttpSettings {
        HttpSettings {
            base: format!("http://127.0.0.1:{}/base/", self.port),
            authorities: None,
            headers: vec![("authorization".into(), "Bearer secret".into())],
            time: LONG,
            connect_time: Duration::from_secs(5),
            max_concurrent: 4,
            max_bytes: 1_000,
        }
    }

    fn connection(&self) -> HttpConnection {
        HttpConnection::new(self.settings()).unwrap()
    }
}

/// The head of a request, and its body behind it; nothing if there is none any more.
fn request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nX-Two: a\r\nx-two: b\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(path: &str) -> HttpRequest {
    HttpRequest { method: "GET".into(), path: path.into(), ..HttpRequest::default() }
}

fn text(response: &HttpResponse) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

#[test]
fn a_request_goes_below_the_address_with_the_operators_headers_over_a_connection_that_is_kept() {
    let server = Server::answering(ok);
    let connection = server.connection();
    let request = HttpRequest {
        method: "POST".into(),
        path: "/check?x=1".into(),
        headers: vec![("Accept".into(), "text/x".into())],
        body: b"token=abc".to_vec(),
    };
    for _ in 0..5 {
        let response = connection.send(&request, LONG).unwrap();
        let seen = text(&response).to_ascii_lowercase();
        assert!(seen.starts_with("post /base/check?x=1 http/1.1\r\n"), "{seen}");
        for line in ["authorization: bearer secret\r\n", "accept: text/x\r\n", "\r\n\r\ntoken=abc"]
        {
            assert!(seen.contains(line), "{line:?} is not in {seen}");
        }
        let two: Vec<&str> =
            response.headers.iter().filter(|(n, _)| n == "x-two").map(|(_, v)| &**v).collect();
        assert_eq!((response.status, two), (200, vec!["a", "b"]));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "one connection for all");
    let response = connection.send(&get("/"), LONG).unwrap();
    assert!(text(&response).starts_with("GET /base/ HTTP/1.1\r\n"), "{}", text(&response));
}

#[test]
fn every_status_is_an_answer_and_nothing_is_followed() {
    let server = Server::answering(|head| match head.split(' ').nth(1).unwrap() {
        "/base/moved" => {
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                .to_vec()
        }
        "/base/none" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/base/chunks" => {
            b"HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n".to_vec()
        }
        _ => b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops".to_vec(),
    });
    let connection = server.connection();
    for (path, status, body) in
        [("/moved", 302, ""), ("/none", 204, ""), ("/chunks", 401, "no"), ("/x", 500, "oops")]
    {
        let response = connection.send(&get(path), LONG).unwrap();
        assert_eq!((response.status, text(&response)), (status, body), "{path}");
    }
}

#[test]
fn what_may_not_be_sent_is_not_sent() {
    let server = Server::answering(ok);
    let connection = server.connection();
    let with = |change: fn(&mut HttpRequest)| {
        let mut request = get("/x");
        change(&mut request);
        match connection.send(&request, LONG) {
            Err(HttpFailure::Invalid(why)) => why,
            other => panic!("{request:?}: {other:?}"),
        }
    };
    with(|r| r.method = "CONNECT".into());
    with(|r| r.method = "get".into());
    with(|r| r.body = b"x".to_vec());
    with(|r| (r.method, r.body) = ("PUT".into(), vec![0; MAX_BODY_BYTES + 1]));
    with(|r| r.path = "/../admin".into());
    with(|r| r.path = "/%2e%2e/admin".into());
    with(|r| r.path = "http://evil.example/".into());
    with(|r| r.path = "@evil.example/".into());
    with(|r| r.path = "/x HTTP/1.1\r\nhost: evil\r\n\r\n".into());
    with(|r| r.path = format!("/{}", "x".repeat(9_000)));
    with(|r| r.headers = vec![("x".into(), "a\r\nb: c".into())]);
    with(|r| r.headers = vec![("x\r\nb".into(), "c".into())]);
    with(|r| r.headers = vec![("Host".into(), "evil".into())]);
    with(|r| r.headers = vec![("Transfer-Encoding".into(), "chunked".into())]);
    with(|r| r.headers = vec![("x".into(), "y".into()); 65]);
    with(|r| r.headers = vec![("x".into(), "y".repeat(17_000))]);
    let why = with(|r| r.headers = vec![("Authorization".into(), "mine".into())]);
    assert!(why.contains("grant") && !why.contains("secret"), "{why}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0, "nothing was sent");
}

#[test]
fn a_server_that_takes_its_time_is_not_waited_for() {
    let silent = Server::start(|stream| {
        request(stream);
        thread::sleep(LONG);
    });
    // A byte now and then, for ever.
    let dripping = Server::start(|stream| {
        request(stream);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n";
        if stream.get_mut().write_all(head).is_ok() {
            while stream.get_mut().write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    for server in [silent, dripping] {
        let began = Instant::now();
        let limit = Duration::from_millis(200);
        let result = server.connection().send(&get("/x"), limit);
        assert_eq!(result, Err(HttpFailure::Timeout { limit }));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let settings = HttpSettings { time: Duration::from_millis(150), ..server.settings() };
        let result = HttpConnection::new(settings).unwrap().send(&get("/x"), LONG);
        assert_eq!(result, Err(HttpFailure::Timeout { limit: Duration::from_millis(150) }));
    }
    let server = Server::answering(ok);
    let none = server.connection().send(&get("/x"), Duration::ZERO);
    assert_eq!(none, Err(HttpFailure::Timeout { limit: Duration::ZERO }));
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn answers_that_are_huge_cut_short_or_no_http_are_errors() {
    let server = Server::start(|stream| {
        let Some(head) = request(stream) else { return };
        let answer = match head.split(' ').nth(1).unwrap() {
            "/base/huge" => ok(&"x".repeat(1_001)),
            "/base/whole" => ok(&"x".repeat(1_000)),
            "/base/endless" => {
                let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.get_mut().write_all(&[b'x'; 4096]).is_ok() {}
                return;
            }
            "/base/head" => {
                format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(20_000)).into_bytes()
            }
            "/base/cut" => b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec(),
            "/base/other" => b"SSH-2.0-x\r\n\r\n".to_vec(),
            _ => Vec::new(),
        };
        let _ = stream.get_mut().write_all(&answer);
    });
    let connection = server.connection();
    let send = |path: &str| connection.send(&get(path), LONG);
    assert_eq!(send("/huge"), Err(HttpFailure::TooLarge { limit: 1_000 }));
    assert_eq!(send("/endless"), Err(HttpFailure::TooLarge { limit: 1_000 }));
    assert_eq!(send("/whole").map(|response| response.body.len()), Ok(1_000));
    // What a server has sent that closes at once may be lost with the connection.
    for path in ["/head", "/other", "/cut", "/nothing"] {
        let result = send(path);
        assert!(
            matches!(result, Err(HttpFailure::Unreachable(_) | HttpFailure::Protocol(_))),
            "{path}: {result:?}"
        );
    }
}

#[test]
fn a_connection_that_the_server_closed_is_not_used_again() {
    let server = Server::start(|stream| {
        if request(stream).is_some() {
            let _ = stream.get_mut().write_all(&ok("x"));
        }
    });
    let connection = server.connection();
    for round in 1..=3 {
        assert_eq!(connection.send(&get("/x"), LONG).map(|r| r.status), Ok(200), "round {round}");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[test]
fn nobody_there_and_no_such_name() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let server = Server { port, connections: Arc::default() };
    let refused = server.connection().send(&get("/x"), LONG);
    assert!(matches!(refused, Err(HttpFailure::Unreachable(_))), "{refused:?}");
    let settings = HttpSettings { base: "http://no.such.name.invalid".into(), ..server.settings() };
    let unknown = HttpConnection::new(settings).unwrap().send(&get("/x"), LONG);
    assert!(matches!(unknown, Err(HttpFailure::Unreachable(_))), "{unknown:?}");
}

#[test]
fn so_many_requests_at_a_time_and_no_more() {
    let server = Server::start(|stream| {
        while request(stream).is_some() {
            thread::sleep(Duration::from_millis(300));
            let _ = stream.get_mut().write_all(&ok("x"));
        }
    });
    let settings = HttpSettings { max_concurrent: 2, ..server.settings() };
    let connection = HttpConnection::new(settings).unwrap();
    let results: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| connection.send(&get("/x"), LONG).map(|r| r.status)))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let count = |wanted: &Result<u16, HttpFailure>| results.iter().filter(|r| *r == wanted).count();
    assert_eq!(count(&Ok(200)), 2, "{results:?}");
    assert_eq!(count(&Err(HttpFailure::Busy { limit: 2 })), 3, "{results:?}");
    assert_eq!(connection.send(&get("/x"), LONG).map(|r| r.status), Ok(200), "there is room again");
}

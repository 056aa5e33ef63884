//! Unix sockets: their files, and who comes by them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod frames;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use frames::{BINARY, client_frame, next_frame, open};
use portcullis_transport::{
    Address, Bind, BindError, Connection, Kind, Listener, Settings, TransportKind, WebSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn bind(path: &Path, mode: u32, web: bool) -> Result<Listener, BindError> {
    let web = web.then(|| WebSettings {
        path: "/mqtt".to_owned(),
        subprotocol: "mqtt".to_owned(),
        origins: Vec::new(),
    });
    let bind = Bind::Unix { path: path.to_owned(), mode };
    Listener::bind(&Settings { bind, kind: Kind::Tcp, web, proxies: Vec::new(), backlog: 128 })
}

async fn pair(listener: Listener, path: &Path, web: bool) -> (UnixStream, Connection) {
    let server =
        tokio::spawn(async move { listener.accept().await.unwrap().establish().await.unwrap() });
    let mut client = UnixStream::connect(path).await.unwrap();
    if web {
        open(&mut client, "/mqtt").await;
    }
    (client, server.await.unwrap())
}

#[tokio::test]
async fn the_kernel_says_who_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.sock");
    let listener = bind(&path, 0o660, false).unwrap();
    assert_eq!(listener.address(), Address::Unix(None));
    let (mut client, mut server) = pair(listener, &path, false).await;
    assert_eq!(server.peer.transport, TransportKind::Unix);
    let Address::Unix(Some(process)) = server.peer.address else { unreachable!("a Unix socket") };
    let own = fs::metadata("/proc/self").unwrap();
    assert_eq!((process.uid, process.gid), (own.uid(), own.gid()));
    assert_eq!(process.pid, i32::try_from(std::process::id()).ok());
    let shown = server.peer.address.to_string();
    assert!(shown.starts_with(&format!("unix uid={} gid=", own.uid())), "{shown}");
    assert_eq!(server.peer.address.host(), format!("unix uid={}", own.uid()));

    let sent = vec![7; 300_000];
    let echoing = tokio::spawn(async move {
        let mut got = vec![0; 300_000];
        server.stream.read_exact(&mut got).await.unwrap();
        server.stream.write_all(&got).await.unwrap();
        server.stream.shutdown().await.unwrap();
    });
    client.write_all(&sent).await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert!(got == sent);
    echoing.await.unwrap();
}

#[tokio::test]
async fn a_websocket_goes_through_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.sock");
    let (mut client, mut server) = pair(bind(&path, 0o660, true).unwrap(), &path, true).await;
    assert_eq!(server.peer.transport, TransportKind::WebSocket);
    client.write_all(&client_frame(BINARY, b"in")).await.unwrap();
    let mut got = [0; 2];
    server.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"in");
    server.stream.write_all(b"out").await.unwrap();
    server.stream.flush().await.unwrap();
    assert_eq!(next_frame(&mut client).await.payload, b"out");
}

#[tokio::test]
async fn the_file_has_its_mode_and_goes_with_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.sock");
    for mode in [0o600, 0o660, 0o666] {
        let listener = bind(&path, mode, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        drop(listener);
        assert!(!path.exists());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays");
}

#[tokio::test]
async fn only_what_nobody_listens_on_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.sock");
    let first = bind(&path, 0o660, false).unwrap();
    let error = bind(&path, 0o660, false).unwrap_err().to_string();
    assert!(error.contains("somebody listens there") && error.contains("mqtt.sock"), "{error}");
    // Of one whose listener ended without a word the file stays.
    fs::rename(&path, folder.path().join("moved")).unwrap();
    drop(first);
    fs::rename(folder.path().join("moved"), &path).unwrap();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let second = bind(&path, 0o660, false).unwrap();
    // What somebody else has put there stays.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "notes").unwrap();
    let error = bind(&path, 0o660, false).unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    drop(second);
    assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
    let error = bind(&folder.path().join("none/mqtt.sock"), 0o660, false).unwrap_err().to_string();
    assert!(error.contains("directory must exist"), "{error}");
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = bind(&open.join("mqtt.sock"), 0o660, false).unwrap_err().to_string();
    assert!(error.contains("everybody may write"), "{error}");
}

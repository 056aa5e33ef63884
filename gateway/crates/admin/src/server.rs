//! Connections, from their first byte to their answer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answer::{Answer, Body};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, Limits};
use crate::request::{Method, Request, path_of, query_of};
use crate::socket::Socket;

/// Pause after the system refused a connection, which it does while it is short of something.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Who answers. Called by several connections at a time.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Must not block the thread. Is dropped unfinished when its time is over, so what must
    /// be finished belongs into a task of its own.
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + Send;

    /// The system refused a connection; the next is tried after a pause.
    fn refused(&self, error: &io::Error);
}

/// Answers whoever comes to the socket, one request for each connection, until `stop` is there. Then the socket is
/// removed and connections end where they are.
///
/// # Errors
/// If the socket cannot be used by the runtime that this is called in.
pub async fn serve<H: Handler>(
    socket: Socket,
    handler: Arc<H>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (listener, place) = socket.into_parts();
    let listener = UnixListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let room = connections.len() < limits.connections.max(1);
        tokio::select! {
            () = &mut stop => break,
            // One that panicked has been told of by the panic.
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(attend(stream, Arc::clone(&handler), limits));
                }
                Err(error) => {
                    handler.refused(&error);
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                }
            },
        }
    }
    drop(place);
    connections.shutdown().await;
    Ok(())
}

async fn attend<H: Handler>(stream: UnixStream, handler: Arc<H>, limits: Limits) {
    let user = stream.peer_cred().ok().map(|peer| peer.uid());
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(written(answer(request, user, &*handler, limits).await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whether it ended in order is the client's affair: it hears of it, or has gone.
    let _ = timeout(limits.connection_time(), connection).await;
}

async fn answer<H: Handler>(
    request: hyper::Request<Incoming>,
    user: Option<u32>,
    handler: &H,
    limits: Limits,
) -> Answer {
    let request = match read(request, user, limits).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    timeout(limits.answer_time, handler.handle(request)).await.unwrap_or_else(|_| {
        let seconds = limits.answer_time.as_secs_f64();
        Answer::error(
            504,
            format!("there was no answer within {seconds} s; what was asked for may still be done"),
        )
    })
}

async fn read(
    request: hyper::Request<Incoming>,
    user: Option<u32>,
    limits: Limits,
) -> Result<Request, Answer> {
    let (head, body) = request.into_parts();
    let method = Method::of(head.method.as_str()).ok_or_else(|| {
        Answer::error(405, format!("{} is not understood; there are GET and POST", head.method))
    })?;
    let refuse = |why| Answer::error(400, why);
    let path = path_of(head.uri.path()).map_err(refuse)?;
    let query = query_of(head.uri.query().unwrap_or_default()).map_err(refuse)?;
    let body = document(&whole(body, limits).await?)?;
    Ok(Request { method, path, query, body, user })
}

/// The bytes of a body, if there are not too many and they come in time.
async fn whole(body: Incoming, limits: Limits) -> Result<Bytes, Answer> {
    let limit = limits.body_bytes;
    let too_much =
        || Answer::error(413, format!("the body has more than {limit} bytes, which is the limit"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_much());
    }
    match timeout(limits.body_time, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_much()),
        Ok(Err(error)) => Err(Answer::error(400, format!("the body cannot be read: {error}"))),
        Err(_) => {
            let seconds = limits.body_time.as_secs_f64();
            Err(Answer::error(408, format!("the body was not there within {seconds} s")))
        }
    }
}

fn document(body: &[u8]) -> Result<Option<Value>, Answer> {
    if body.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(body)
        .map(Some)
        .map_err(|error| Answer::error(400, format!("the body is not JSON: {error}")))
}

fn written(answer: Answer) -> Response<Full<Bytes>> {
    let (kind, text) = match answer.body {
        // With a line's end, for whoever looks at it in a terminal.
        Body::Json(document) => ("application/json", format!("{document}\n")),
        Body::Text { kind, text } => (kind, text),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

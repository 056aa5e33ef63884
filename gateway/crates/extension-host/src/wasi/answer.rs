//! What each function of WASI answers to a guest that owns nothing.

use std::time::Duration;

use wasmtime::component::{ResourceDynamic, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use super::{Arguments, kind};
use crate::guest::{Ended, Guest, Stream};

/// Bytes that an output stream takes at a time. Each crosses as a value of its own, so this many count for 32 times as much
/// towards [`ExtensionLimits::transfer_bytes`](crate::ExtensionLimits::transfer_bytes): what is offered must fit. It is also what
/// `blocking-write-and-flush` takes.
const WRITE_BYTES: u64 = 4 << 10;
/// Random bytes of one request at most.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// The numbers behind handles; those of pollables, streams of input and networks say nothing.
const NOTHING: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

type Store<'a> = StoreContextMut<'a, Guest>;

/// The answer to a call; none for a function without a result.
///
/// # Errors
/// The guest ends itself, wants what it is not granted, or calls what nobody can call who owns nothing.
pub(super) fn to(
    store: &mut Store<'_>,
    function: &str,
    said: &Arguments<'_>,
) -> wasmtime::Result<Option<Val>> {
    let (package, rest) = function.split_once('/').unwrap_or((function, ""));
    match package {
        "wasi:cli" => cli(store, rest),
        "wasi:clocks" => clocks(store, rest),
        "wasi:io" => io(store, rest, said),
        "wasi:random" => random(store, rest, said),
        "wasi:filesystem" => Ok(match rest {
            "preopens.get-directories" => Some(Val::List(Vec::new())),
            "types.filesystem-error-code" => Some(Val::Option(None)),
            _ => None,
        }),
        "wasi:sockets" => sockets(store, rest),
        _ => Ok(None),
    }
    .and_then(|answer| match answer {
        None if !is_silent(rest) => Err(not_there(function)),
        answer => Ok(answer),
    })
}

/// Whether a function that can be reached has no result.
fn is_silent(function: &str) -> bool {
    matches!(function, "poll.[method]pollable.block")
}

fn not_there(function: &str) -> wasmtime::Error {
    Ended::error(format!(
        "{function} was called; guests have no files, sockets or processes: use portcullis:host"
    ))
}

fn cli(store: &mut Store<'_>, function: &str) -> wasmtime::Result<Option<Val>> {
    Ok(match function {
        "environment.get-environment" | "environment.get-arguments" => Some(Val::List(Vec::new())),
        "environment.initial-cwd"
        | "terminal-stdin.get-terminal-stdin"
        | "terminal-stdout.get-terminal-stdout"
        | "terminal-stderr.get-terminal-stderr" => Some(Val::Option(None)),
        "stdin.get-stdin" => Some(handle(store, "input-stream", NOTHING)?),
        "stdout.get-stdout" => Some(handle(store, "output-stream", STDOUT)?),
        "stderr.get-stderr" => Some(handle(store, "output-stream", STDERR)?),
        "exit.exit" | "exit.exit-with-code" => {
            return Err(Ended::error("the guest ended itself (wasi:cli/exit)"));
        }
        _ => None,
    })
}

/// Without the grant the clocks stand still: run-times read them at their start, and that must not fail.
fn clocks(store: &mut Store<'_>, function: &str) -> wasmtime::Result<Option<Val>> {
    Ok(match function {
        "wall-clock.now" => Some(datetime(store.data_mut().wall_clock())),
        "wall-clock.resolution" => Some(datetime(Duration::from_millis(1))),
        "monotonic-clock.now" => Some(Val::U64(nanos(store.data_mut().monotonic_clock()))),
        "monotonic-clock.resolution" => Some(Val::U64(1)),
        "monotonic-clock.subscribe-instant" | "monotonic-clock.subscribe-duration" => {
            // A hook does not sleep: whatever a guest waits for has come.
            Some(handle(store, "pollable", NOTHING)?)
        }
        _ => None,
    })
}

fn datetime(time: Duration) -> Val {
    Val::Record(vec![
        ("seconds".into(), Val::U64(time.as_secs())),
        ("nanoseconds".into(), Val::U32(time.subsec_nanos())),
    ])
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn io(
    store: &mut Store<'_>,
    function: &str,
    said: &Arguments<'_>,
) -> wasmtime::Result<Option<Val>> {
    let Some((_, method)) = function.split_once("[method]") else {
        return Ok((function == "poll.poll").then(|| all_ready(said.handles.len())));
    };
    Ok(match method {
        "pollable.ready" => Some(Val::Bool(true)),
        "input-stream.read"
        | "input-stream.blocking-read"
        | "input-stream.skip"
        | "input-stream.blocking-skip"
        | "output-stream.splice"
        | "output-stream.blocking-splice" => Some(closed()),
        "output-stream.check-write" => Some(ok(Some(Val::U64(WRITE_BYTES)))),
        "output-stream.write" | "output-stream.blocking-write-and-flush" => {
            let stream =
                if said.handles.first() == Some(&STDERR) { Stream::Err } else { Stream::Out };
            let bytes = said.bytes(1);
            store.data_mut().print(stream, &bytes);
            Some(ok(None))
        }
        "output-stream.flush"
        | "output-stream.blocking-flush"
        | "output-stream.write-zeroes"
        | "output-stream.blocking-write-zeroes-and-flush" => Some(ok(None)),
        "input-stream.subscribe" | "output-stream.subscribe" => {
            Some(handle(store, "pollable", NOTHING)?)
        }
        _ => None,
    })
}

/// `poll` answers with the places of what is ready.
fn all_ready(pollables: usize) -> Val {
    let places = (0..u32::try_from(pollables).unwrap_or(u32::MAX)).map(Val::U32);
    Val::List(places.collect())
}

fn ok(value: Option<Val>) -> Val {
    Val::Result(Ok(value.map(Box::new)))
}

fn closed() -> Val {
    Val::Result(Err(Some(Box::new(Val::Variant("closed".into(), None)))))
}

fn random(
    store: &mut Store<'_>,
    function: &str,
    said: &Arguments<'_>,
) -> wasmtime::Result<Option<Val>> {
    let guest = store.data_mut();
    Ok(match function {
        "random.get-random-bytes" | "insecure.get-insecure-random-bytes" => {
            let count = said.number(0);
            if count > RANDOM_BYTES_MAX {
                let why =
                    format!("{count} random bytes at once; at most {RANDOM_BYTES_MAX} are given");
                return Err(Ended::error(why));
            }
            let bytes = guest.random(usize::try_from(count).unwrap_or_default())?;
            Some(Val::List(bytes.into_iter().map(Val::U8).collect()))
        }
        "random.get-random-u64" | "insecure.get-insecure-random-u64" => {
            Some(Val::U64(number(&guest.random(8)?)))
        }
        // Run-times take it at their start to mix their hash tables. It promises nothing, so it needs no grant.
        "insecure-seed.insecure-seed" => {
            let bytes = guest.seed()?;
            let (low, high) = bytes.split_at(8);
            Some(Val::Tuple(vec![Val::U64(number(low)), Val::U64(number(high))]))
        }
        _ => None,
    })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn sockets(store: &mut Store<'_>, function: &str) -> wasmtime::Result<Option<Val>> {
    Ok(match function {
        "instance-network.instance-network" => Some(handle(store, "network", NOTHING)?),
        "tcp-create-socket.create-tcp-socket"
        | "udp-create-socket.create-udp-socket"
        | "ip-name-lookup.resolve-addresses" => {
            Some(Val::Result(Err(Some(Box::new(Val::Enum("access-denied".into()))))))
        }
        "network.network-error-code" => Some(Val::Option(None)),
        _ => None,
    })
}

fn handle(store: &mut Store<'_>, resource: &str, number: u32) -> wasmtime::Result<Val> {
    let kind = kind(resource).ok_or_else(|| not_there(resource))?;
    let handle = ResourceDynamic::new_own(number, kind);
    Ok(Val::Resource(handle.try_into_resource_any(store.as_context_mut())?))
}

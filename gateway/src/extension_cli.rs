//! `portcullis extension`: what authors and operators do with a component beside the gateway.

#[cfg(feature = "compiler")]
mod compile;
mod engine;
mod inspect;
mod keygen;
mod sign;

use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(feature = "compiler")]
use crate::authoring::{self, Task};
use crate::cli::say;
use crate::failure::Failure;
#[cfg(feature = "compiler")]
pub(crate) use compile::{Compiling, Elsewhere};
pub(crate) use sign::Order;

/// What `portcullis extension` is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Inspect {
        component: PathBuf,
        config: Option<PathBuf>,
    },
    Keygen {
        out: PathBuf,
    },
    Sign(Order),
    #[cfg(feature = "compiler")]
    Author(Task),
    #[cfg(feature = "compiler")]
    Compile(Compiling),
    Engine,
    Help,
}

pub(crate) const HELP: &str = "\
  portcullis extension inspect COMPONENT [--config FILE]
                                    what a component is: hash, size, hooks, what it needs to be granted, which
                                    contract it was built for, what it compiles to, and what its signature says;
                                    with the gateway's configuration also whether that is to be believed
                                    (0 yes or not signed, 1 no)
  portcullis extension keygen --out FILE
                                    make a key that signs extensions: the private key in FILE, the public key,
                                    for [trust.keys] of the gateways that are to trust it, on standard output
  portcullis extension sign --key FILE COMPONENT [--name NAME] [--release TEXT]
                                    sign a component: what it is called (its file's name without .wasm, or
                                    NAME), which release it is, and what it has and asks for, in COMPONENT.sig
  portcullis extension engine       what code must be compiled for to run on this machine

A signature says: this component, byte by byte, is the extension NAME, has these hooks and asks for these grants. A
gateway with [trust] believes it if the key is one of its own, if NAME is the extension that the component is loaded
as, and if hooks and imports are what was signed. Keep the private key away from gateways.";

/// Runs a request.
pub(crate) fn run(request: &Request) -> Result<ExitCode, Failure> {
    match request {
        #[cfg(feature = "compiler")]
        Request::Help => say(&format!("{}\n{}\n{HELP}", authoring::HELP, compile::HELP)),
        #[cfg(not(feature = "compiler"))]
        Request::Help => say(HELP),
        #[cfg(feature = "compiler")]
        Request::Author(task) => return authoring::run(task),
        #[cfg(feature = "compiler")]
        Request::Compile(compiling) => compile::run(compiling),
        Request::Engine => engine::run(),
        Request::Inspect { component, config } => {
            return inspect::run(component, config.as_deref());
        }
        Request::Keygen { out } => keygen::run(out),
        Request::Sign(order) => sign::run(order),
    }
    .map(|()| ExitCode::SUCCESS)
}

//! `portcullis`, the gateway. `cli` says what it can be told, `app` puts the parts together.

mod accept;
mod app;
#[cfg(feature = "compiler")]
mod authoring;
mod badges;
mod ban_file;
mod bridges;
mod budget;
mod case;
mod cert_cli;
mod certificates;
mod chain;
mod cli;
mod clock;
mod code_cache;
mod compiler;
mod connecting;
mod counters;
mod decisions;
mod desk;
mod dialogue;
mod disk;
mod exchange;
mod expectation;
mod extension_cli;
mod extensions;
mod facilities;
mod failure;
mod first_start;
mod foresight;
mod greeting;
mod hearing;
mod hub;
mod judge;
mod keyring;
mod link;
mod load;
mod machine;
mod mailbox;
mod memory;
mod meter;
mod observers;
mod operator;
mod package;
mod patience;
mod presence;
mod reauthentication;
mod replay;
mod report;
mod screen;
mod secret;
mod sentry;
mod settings;
mod signals;
mod store_cli;
mod supervisor;
mod system;
mod tenants;
mod trust;
mod turns;
mod user;
mod users;
mod verdict;
mod visitor;
mod watched;

use std::alloc::System;
use std::io::Write;
use std::process::ExitCode;

use cap::Cap;

use cli::Command;
use failure::Failure;

/// The system's allocator, which says how much is allocated (`budget`). It limits nothing.
#[global_allocator]
pub(crate) static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    let outcome = Command::parse(std::env::args_os().skip(1)).and_then(obey);
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            // With standard error gone there is nobody to tell; the exit code still does.
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

fn obey(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run { config } => app::run(&config),
        Command::Check { config } => app::check(&config),
        Command::Init(plan) => first_start::init(&plan),
        Command::AddUser { name, file, password } => user::add(&name, &file, password),
        Command::RemoveUser { name, file } => user::remove(&name, &file),
        Command::Cert(request) => cert_cli::run(&request),
        Command::Store(request) => return store_cli::run(&request),
        Command::Extension(request) => return extension_cli::run(&request),
        #[cfg(feature = "compiler")]
        Command::Compile { max_memory } => return compiler::run(max_memory),
        Command::Operator(request) => return operator::run(&request),
        Command::Record(recording) => return operator::record::run(&recording),
        Command::Replay(request) => return replay::run(&request),
        Command::Version => cli::say(concat!("portcullis ", env!("CARGO_PKG_VERSION"))),
        Command::Help => cli::say(&cli::help()),
    }
    .map(|()| ExitCode::SUCCESS)
}

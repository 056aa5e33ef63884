//! The gateway's way from components to code: what was kept, what was brought, and a process of its own that compiles.

#[cfg(feature = "compiler")]
mod child;
#[cfg(feature = "compiler")]
mod process;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use auth::signature::PublicKey;
use config::{Brought, Compiler};
#[cfg(feature = "compiler")]
use extension_host::Ran;
use extension_host::{SealKey, Workshop};

use crate::code_cache::{CODE, CodeCache, FILE_BYTES_MAX};

#[cfg(feature = "compiler")]
pub(crate) use child::run;
#[cfg(feature = "compiler")]
pub(crate) use process::VERB;

/// The gateway's place for compiled code, and the way to have some made.
#[derive(Debug)]
pub(crate) struct Workbench {
    cache: Option<CodeCache>,
    brought: Option<Brought>,
    #[cfg(feature = "compiler")]
    process: Option<config::CompilerProcess>,
}

impl Workbench {
    /// For a gateway that runs. A directory that cannot be used costs time at each start, and no more.
    pub(crate) fn open(compiler: &Compiler, data: &Path) -> Self {
        let cache = compiler.cache.and_then(|most| match CodeCache::open(data, most) {
            Ok(cache) => Some(cache),
            Err(why) => {
                tracing::error!(why, "compiled code is not kept; each start compiles again");
                None
            }
        });
        Self::with(cache, compiler)
    }

    /// For a look at a configuration, which leaves no traces.
    pub(crate) fn look(compiler: &Compiler, data: &Path) -> Self {
        let cache = compiler.cache.and_then(|_| CodeCache::look(data).ok().flatten());
        Self::with(cache, compiler)
    }

    fn with(cache: Option<CodeCache>, compiler: &Compiler) -> Self {
        Self {
            cache,
            brought: compiler.brought.clone(),
            #[cfg(feature = "compiler")]
            process: compiler.process.clone(),
        }
    }
}

impl Workshop for Workbench {
    fn key(&self) -> Option<&SealKey> {
        self.cache.as_ref().map(CodeCache::key)
    }

    fn fetch(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.cache.as_ref().map_or(Ok(None), |cache| cache.read(name))
    }

    fn keep(&self, name: &str, sealed: &[u8]) -> Result<(), String> {
        self.cache.as_ref().map_or(Ok(()), |cache| cache.write(name, sealed))
    }

    fn code_keys(&self) -> &[PublicKey] {
        self.brought.as_ref().map_or(&[], |brought| &brought.keys)
    }

    fn brought(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(brought) = &self.brought else { return Ok(None) };
        read(&brought.dir.join(format!("{name}{CODE}")))
    }

    #[cfg(feature = "compiler")]
    fn run(&self, job: Vec<u8>) -> Ran {
        match &self.process {
            Some(bounds) => process::run(&job, bounds),
            None => Ran::Not(None),
        }
    }
}

/// A file whole, whosever it is: it is worth what its signature is. None if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let fault = |error: io::Error| format!("{} cannot be read ({error})", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(fault)?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fault)?;
    Ok(Some(bytes))
}

//! Compiling in a process of its own, which knows nothing but what it is handed.

use auth::signature::SigningKey;
use wasmtime::Engine;

use crate::artefact::{self, Label, SealKey};
use crate::host::{self, EngineSettings, MAX_COMPONENT_BYTES};
use crate::inspect;
use crate::instance::chain;
use crate::kind::EngineKind;
use crate::space::AddressSpace;

/// What a job begins with.
const MAGIC: &[u8] = b"portcullis compile 1\n";

/// Bytes of a job at most.
pub const MAX_JOB_BYTES: usize = MAX_COMPONENT_BYTES + 1024;

/// A job: the key to seal the code with, which is for this job alone, the settings of the engine that it is for, and
/// the component.
pub(crate) fn describe(key: &SealKey, settings: &EngineSettings, component: &[u8]) -> Vec<u8> {
    let most = settings.max_memory_bytes as u64;
    [MAGIC, key.bytes(), &most.to_le_bytes(), &[settings.space.number()], component].concat()
}

/// Does a job: answers with the sealed code of its component. Nothing of the component runs.
///
/// # Errors
/// Why there is no code, in words for the operator.
pub fn compile(job: &[u8]) -> Result<Vec<u8>, String> {
    let (key, settings, component) = read(job).ok_or("what was handed over is no job")?;
    let engine = Engine::new(&host::config(&settings)).map_err(|error| chain(&error))?;
    let code = engine.precompile_component(component).map_err(|error| chain(&error))?;
    Ok(artefact::seal(&key, &Label::of(component, &EngineKind::here(&settings)), &code))
}

/// Compiles a component for an engine that may be elsewhere, and signs the code: answers with the name of its file and its
/// bytes. It needs none but the processor's basic instructions. Nothing of the component runs.
///
/// # Errors
/// Why there is no code, in words for the operator.
pub fn compile_for(
    kind: &EngineKind,
    component: &[u8],
    key: &SigningKey,
) -> Result<(String, Vec<u8>), String> {
    if let Some(found) = inspect::not_a_component(component) {
        return Err(format!("it is {found}, not a WebAssembly component"));
    }
    let EngineKind { space, max_memory_bytes, .. } = *kind;
    let settings = EngineSettings { space, max_memory_bytes, ..EngineSettings::default() };
    let mut config = host::config(&settings);
    config.target(kind.target.triple()).map_err(|error| chain(&error))?;
    let engine = Engine::new(&config).map_err(|error| {
        let why = chain(&error);
        format!(
            "this build makes no code for {} ({why}); use one with the feature \"cross\"",
            kind.target
        )
    })?;
    let code = engine.precompile_component(component).map_err(|error| chain(&error))?;
    let label = Label::of(component, kind);
    Ok((label.file_name(), artefact::sign(key, &label, &code)))
}

fn read(job: &[u8]) -> Option<(SealKey, EngineSettings, &[u8])> {
    let (key, rest) = job.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (most, rest) = rest.split_first_chunk()?;
    let (space, component) = rest.split_first()?;
    let settings = EngineSettings {
        max_memory_bytes: usize::try_from(u64::from_le_bytes(*most)).ok()?,
        space: AddressSpace::of_number(*space)?,
        ..EngineSettings::default()
    };
    Some((SealKey::new(*key), settings, component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_job_is_for_the_engine_that_asked() {
        let component = wat::parse_str("(component)").unwrap();
        for space in AddressSpace::ALL {
            let settings = EngineSettings { space, ..EngineSettings::default() };
            let key = SealKey::new([9; 32]);
            let sealed = compile(&describe(&key, &settings, &component)).unwrap();
            let engine = Engine::new(&host::config(&settings)).unwrap();
            let label = Label::of(&component, &EngineKind::here(&settings));
            assert!(artefact::open(&engine, &key, &label, &sealed).is_ok(), "{space:?}");
        }
    }

    #[test]
    fn code_for_elsewhere_runs_here_if_it_is_for_here() {
        let component = wat::parse_str("(component)").unwrap();
        let signer = SigningKey::from_seed(&[5; 32]).unwrap();
        let settings = EngineSettings::default();
        let kind = EngineKind::here(&settings);
        let (name, signed) = compile_for(&kind, &component, &signer).unwrap();
        let label = Label::of(&component, &kind);
        assert_eq!(name, label.file_name());
        let engine = Engine::new(&host::config(&settings)).unwrap();
        let opened = artefact::open_signed(&engine, &[signer.public()], &label, &signed);
        assert!(opened.is_ok(), "{:?}", opened.err());
        assert!(compile_for(&kind, b"\0asm\x01\0\0\0", &signer).is_err());
    }

    #[test]
    fn what_is_no_job_or_no_component_is_refused() {
        for bad in [&b""[..], MAGIC, b"portcullis compile 2\n"] {
            assert!(compile(bad).is_err());
        }
        let key = SealKey::new([9; 32]);
        let job = describe(&key, &EngineSettings::default(), b"\0asm\x0d\0\x01\0broken");
        assert!(compile(&job).is_err());
    }
}

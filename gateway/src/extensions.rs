use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use config::Checked;
use extension_host::{EngineSettings, Extension, ExtensionSpec, Host};

use crate::failure::Failure;
use crate::settings;

/// Bytes of a file whose text an extension gets: it must fit the guest's memory several times over.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Loads every extension of the configuration; all that cannot be loaded are reported together.
pub(crate) fn load(checked: &Checked) -> Result<Vec<Extension>, Failure> {
    let host = Host::new(EngineSettings::default())
        .map_err(|error| Failure::Extension(error.to_string()))?;
    let mut extensions = Vec::with_capacity(checked.extensions.len());
    let mut faults = Vec::new();
    for stated in &checked.extensions {
        match load_one(&host, stated) {
            Ok(extension) => extensions.push(extension),
            Err(failure) => faults.push(failure.to_string()),
        }
    }
    if faults.is_empty() { Ok(extensions) } else { Err(Failure::Faults(faults)) }
}

fn load_one(host: &Host, stated: &config::Extension) -> Result<Extension, Failure> {
    let component =
        fs::read(&stated.component).map_err(Failure::file("read", &stated.component))?;
    let spec = ExtensionSpec {
        name: stated.name.clone(),
        component: component.into(),
        sha256_pin: stated.sha256,
        grants: stated.grants.iter().copied().map(settings::capability).collect(),
        config: configuration(stated)?,
        limits: settings::extension_limits(stated),
    };
    let extension = host.load(spec).map_err(|error| Failure::Extension(error.to_string()))?;
    let hooks = extension.hooks();
    tracing::info!(
        extension = &**extension.id(),
        sha256 = extension.hash(),
        authenticator = hooks.authenticator,
        authorizer = hooks.authorizer,
        "extension loaded"
    );
    Ok(extension)
}

/// What the guest reads: the table `config`, and the text of each of `files`.
fn configuration(stated: &config::Extension) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = stated.config.clone();
    for (key, path) in &stated.files {
        values.insert(key.clone(), text(&stated.name, path)?);
    }
    Ok(values)
}

fn text(extension: &str, path: &Path) -> Result<String, Failure> {
    let size = fs::metadata(path).map_err(Failure::file("read", path))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::Extension(format!(
            "extension \"{extension}\": {} has {size} bytes, an extension is given at most \
             {FILE_BYTES_MAX}; split it or shorten it",
            path.display()
        )));
    }
    fs::read_to_string(path).map_err(Failure::file("read", path))
}

/// Reads the configuration of the extensions again and gives it to each that is running. One that
/// refuses goes on with what it had. Blocks.
pub(crate) fn reconfigure(running: &Checked, extensions: &[Extension]) {
    let fresh = match config::load(&running.file) {
        Ok(fresh) => fresh,
        Err(report) => {
            for fault in report.errors() {
                tracing::error!(
                    file = %report.file().display(),
                    line = fault.line,
                    fault = fault.message,
                    "configuration has a fault; the gateway goes on with what it has"
                );
            }
            return;
        }
    };
    if blank(&fresh) != blank(running) {
        tracing::warn!(
            file = %running.file.display(),
            "configuration has changes beyond config and files of extensions; they take effect at the next start"
        );
    }
    for extension in extensions {
        let Some(stated) = fresh.extensions.iter().find(|e| e.name == extension.name()) else {
            continue;
        };
        let outcome = configuration(stated).and_then(|values| {
            extension.reconfigure(values).map_err(|error| Failure::Extension(error.to_string()))
        });
        let id = &**extension.id();
        match outcome {
            Ok(()) => tracing::info!(extension = id, "extension reconfigured"),
            Err(failure) => tracing::error!(
                extension = id,
                error = %failure,
                "extension not reconfigured; it goes on with the configuration that it has"
            ),
        }
    }
}

/// The configuration without what can change while the gateway runs.
fn blank(checked: &Checked) -> Checked {
    let mut blank = checked.clone();
    for extension in &mut blank.extensions {
        extension.config.clear();
        extension.files.clear();
    }
    blank
}

/// The extensions that a listener's chain names, in its order. The configuration has been checked
/// for names that do not exist.
pub(crate) fn of_chain(names: &[String], extensions: &[Extension]) -> Vec<Extension> {
    let by_name = |name: &String| extensions.iter().find(|e| e.name() == name).cloned();
    names.iter().filter_map(by_name).collect()
}

/// What an operator should know of a chain that cannot do its work.
pub(crate) fn warn_of_gaps(listener: &str, chain: &[Extension]) {
    let authenticates = |extension: &Extension| {
        extension.hooks().authenticator || extension.hooks().enhanced_authenticator
    };
    if !chain.iter().any(authenticates) {
        tracing::warn!(
            listener,
            "no extension of the chain authenticates; every client is refused"
        );
    }
}

//! Files of cases, run against a component.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use config::MessageGrant;
use config::fixture::{self, Case, Fixture, What};
use extension_host::{EngineSettings, Host, Keyring, Prepared};

use crate::arrival::Arrival;
use crate::build::build;
use crate::compare::{self, Difference};
use crate::failure::Failure;
use crate::lines::Lines;
use crate::nature::Staged;
use crate::report::{Summary, Verdict};
use crate::scripted::Scripted;
use crate::visit::Visit;
use crate::world::{World, why};
use crate::{given, keys};

/// Which cases are run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Files of cases, and folders whose `*.toml` are such.
    pub fixtures: Vec<PathBuf>,
    /// Part of the name of each case that is run; all are without it.
    pub filter: Option<String>,
}

/// Runs cases against a component and writes what comes of each.
///
/// # Errors
/// A fixture has faults, or something cannot be read, written or loaded. A case that does not come out as expected is no
/// error: the summary counts it.
pub fn test(
    component: &Path,
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<Summary, Failure> {
    let began = Instant::now();
    let bytes = given::component(component)?;
    let host = host()?;
    let mut summary = Summary::default();
    for file in files(&selection.fixtures)? {
        let fixture = fixture::load(&file).map_err(Failure::Fixture)?;
        for verdict in
            Stage::new(&host, Arc::clone(&bytes), &fixture)?.play(selection, &mut summary)?
        {
            match verdict.passed() {
                true => summary.passed += 1,
                false => summary.failed += 1,
            }
            writeln!(out, "{verdict}").map_err(Failure::file("write", Path::new("the report")))?;
        }
    }
    summary.took = began.elapsed();
    if summary.passed + summary.failed == 0 {
        let why = match &selection.filter {
            Some(filter) => format!("no case has \"{filter}\" in its name"),
            None => "there is no case; write one into fixtures/NAME.toml".to_owned(),
        };
        return Err(Failure::Other(why));
    }
    Ok(summary)
}

/// Builds the extension of the package that is tested, and runs all cases of a folder of it: for `cargo test`. A
/// component that `PORTCULLIS_COMPONENT` names is taken as it is.
///
/// # Panics
/// A case does not come out as expected, or cannot be run: the message says all that `portcullis extension test` does.
#[allow(clippy::panic, reason = "this is how a test fails")]
pub fn run(fixtures: impl AsRef<Path>) {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let component = match env::var_os("PORTCULLIS_COMPONENT") {
        Some(component) => PathBuf::from(component),
        None => build(&package).unwrap_or_else(|failure| panic!("{failure}")),
    };
    run_component(component, package.join(fixtures));
}

/// Runs all cases of a file or folder against a component.
///
/// # Panics
/// As [`run`].
#[allow(clippy::panic, reason = "this is how a test fails")]
pub fn run_component(component: impl AsRef<Path>, fixtures: impl AsRef<Path>) {
    let component = component.as_ref();
    let selection = Selection { fixtures: vec![fixtures.as_ref().to_owned()], filter: None };
    let mut said = Vec::new();
    let outcome = test(component, &selection, &mut said);
    let said = String::from_utf8_lossy(&said);
    match outcome {
        Ok(summary) if summary.failed == 0 => {}
        Ok(summary) => panic!("{}\n{said}{summary}", component.display()),
        Err(failure) => panic!("{}\n{said}{failure}", component.display()),
    }
}

/// The engine, as the gateway sets it up.
pub(crate) fn host() -> Result<Host, Failure> {
    Host::new(EngineSettings::default()).map_err(|error| Failure::Other(error.to_string()))
}

/// The files of cases, those of a folder by name.
pub(crate) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(Failure::file("read", path))? {
            let file = entry.map_err(Failure::file("read", path))?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            let why = "has no file of cases; write one, such as fixtures/NAME.toml";
            return Err(Failure::Other(format!("{} {why}", path.display())));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// One file of cases with the component that they are about.
pub(crate) struct Stage<'a> {
    fixture: &'a Fixture,
    keyring: Arc<Keyring>,
    settings: BTreeMap<String, String>,
    prepared: Prepared,
}

impl<'a> Stage<'a> {
    /// Compiles the component with what the file grants it.
    pub(crate) fn new(
        host: &Host,
        component: Arc<[u8]>,
        fixture: &'a Fixture,
    ) -> Result<Self, Failure> {
        let file = fixture.file.display();
        let keyring = keys::keyring(&fixture.extension)
            .map_err(|failure| Failure::Other(format!("{file}: {failure}")))?;
        let keyring = Arc::new(keyring);
        let spec = given::spec(component, &fixture.extension, Arc::clone(&keyring))?;
        let settings = spec.config.clone();
        let prepared = host.prepare(spec).map_err(|error| Failure::Component(error.to_string()))?;
        Ok(Self { fixture, keyring, settings, prepared })
    }

    /// Starts the extension afresh, as a case has it. Where calls are `repeated`, scripts answer any number of times.
    pub(crate) fn world(&self, case: &Case, repeated: bool) -> World {
        let mut settings = self.settings.clone();
        settings.retain(|key, _| !case.without.contains(key));
        settings.extend(case.config.clone());
        let nature = Arc::new(Staged::new(case.now, case.seed));
        let scripted = Scripted::new(self.fixture, case, &nature, repeated);
        let facilities = scripted.facilities(&self.fixture.extension);
        let keyring = Arc::clone(&self.keyring);
        World::begin(&self.prepared, settings, keyring, (scripted, facilities), nature)
    }

    /// Runs the cases. One that continues another comes with that, whatever the filter.
    fn play(&self, selection: &Selection, summary: &mut Summary) -> Result<Vec<Verdict>, Failure> {
        let wanted = |case: &Case| {
            selection.filter.as_ref().is_none_or(|filter| case.name.contains(filter.as_str()))
        };
        let lines = Lines::default();
        let mut verdicts = Vec::new();
        let mut rest = self.fixture.cases.as_slice();
        let mut number = 0;
        while let Some(first) = rest.first() {
            let behind = rest.iter().skip(1).take_while(|case| case.continues).count();
            let (row, others) = rest.split_at(1 + behind);
            rest = others;
            if !row.iter().any(wanted) {
                summary.left_out += row.len();
                continue;
            }
            let world = lines.during(|| self.world(first, false));
            for (at, case) in row.iter().enumerate() {
                number += 1;
                let began = Instant::now();
                if at > 0 {
                    world.scripted.begin(case);
                }
                let grant = &self.fixture.extension.messages;
                let mut differences = lines.during(|| play(number, case, &world, grant))?;
                differences.append(&mut world.scripted.end(&case.expect));
                let log = lines.take();
                let logged = compare::log(&case.expect, &log);
                verdicts.push(Verdict {
                    file: self.fixture.file.clone(),
                    line: case.line,
                    name: case.name.clone(),
                    took: began.elapsed(),
                    differences: differences.into_iter().chain(logged).collect(),
                    log,
                });
            }
        }
        Ok(verdicts)
    }
}

/// Runs one case, and says what is not as expected of the answers.
fn play(
    number: u64,
    case: &Case,
    world: &World,
    grant: &MessageGrant,
) -> Result<Vec<Difference>, Failure> {
    let extension = match &world.extension {
        Ok(extension) => extension,
        Err(error) => {
            return Ok(compare::arrival(&case.expect, &Arrival::Refused(why(error))));
        }
    };
    world.nature.pass(case.after);
    let mut visit = Visit::new(number, extension, grant, case)?;
    let arrival = visit.connect(case);
    let mut differences = compare::arrival(&case.expect, &arrival);
    if compare::lets_in(&case.expect) && !differences.is_empty() && visit.standing.is_none() {
        return Ok(differences);
    }
    for ask in &case.asks {
        world.nature.pass(ask.after);
        let answers = match &ask.what {
            What::Reconfigure(settings) => vec![world.reconfigure(extension, settings)],
            What::Observe { events, missed } => vec![world.observe(&visit, events, *missed)],
            _ => visit.ask(ask),
        };
        differences.extend(compare::answers(ask, &answers));
    }
    differences.append(&mut visit.differences);
    Ok(differences)
}

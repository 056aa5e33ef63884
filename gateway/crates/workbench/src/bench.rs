//! How long the hooks of an extension take, and how much memory it holds.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::fixture::{self, Ask, By, Case, Fixture, Opinion, What};
use extension_host::Extension;

use crate::failure::Failure;
use crate::given;
use crate::suite::{Stage, host};
use crate::visit::Visit;
use crate::world::World;

/// For how long a hook is called, and how often at most.
const TIME: Duration = Duration::from_secs(1);
const CALLS_MAX: usize = 50_000;
const CALLS_MIN: usize = 20;
/// Calls that come first, uncounted, and how long they may take: they fill caches.
const WARM_UP: usize = 128;
const WARM_UP_TIME: Duration = Duration::from_millis(200);

/// What was measured. Displays as a table.
#[derive(Debug)]
pub struct Measured {
    /// Time to compile the component, once.
    pub compiled: Duration,
    /// Time to make an instance and have it initialise itself.
    pub started: Duration,
    /// Bytes of linear memory of one instance, after all calls.
    pub memory_bytes: u64,
    /// Bytes of the component.
    pub component_bytes: usize,
    rows: Vec<Row>,
}

/// One hook with one question.
#[derive(Debug)]
struct Row {
    hook: &'static str,
    case: String,
    calls: usize,
    p50: Duration,
    p99: Duration,
}

/// Calls each hook with what the cases of a file ask it: from outside of the host, as the gateway calls it, so the
/// conversion of questions and answers counts too.
///
/// # Errors
/// The fixture has faults, or the component cannot be loaded.
pub fn bench(component: &Path, fixture: &Path) -> Result<Measured, Failure> {
    let bytes = given::component(component)?;
    let fixture = fixture::load(fixture).map_err(Failure::Fixture)?;
    let host = host()?;
    let began = Instant::now();
    let stage = Stage::new(&host, Arc::clone(&bytes), &fixture)?;
    let mut measured = Measured {
        compiled: began.elapsed(),
        started: Duration::MAX,
        memory_bytes: 0,
        component_bytes: bytes.len(),
        rows: Vec::new(),
    };
    for case in fixture.cases.iter().filter(|case| !case.continues) {
        let began = Instant::now();
        let world = stage.world(case, true);
        // A case of settings that are refused has nothing to measure.
        let Ok(extension) = &world.extension else { continue };
        measured.started = measured.started.min(began.elapsed());
        measured.case(case, &fixture, &world, extension)?;
        let stats = extension.stats();
        let each = stats.memory_bytes.checked_div(stats.instances).unwrap_or_default();
        measured.memory_bytes = measured.memory_bytes.max(each);
    }
    if measured.rows.is_empty() {
        let why = "no case of the file calls a hook that answers";
        return Err(Failure::Other(format!("{}: {why}", fixture.file.display())));
    }
    Ok(measured)
}

impl Measured {
    fn case(
        &mut self,
        case: &Case,
        fixture: &Fixture,
        world: &World,
        extension: &Extension,
    ) -> Result<(), Failure> {
        let mut visit = Visit::new(1, extension, &fixture.extension.messages, case)?;
        let hooks = extension.hooks();
        if case.connect.method.is_none() && case.connect.known.is_none() && hooks.authenticator {
            let secret = case.connect.password.as_deref();
            let connecting = &visit.connecting;
            self.row("authenticate", &case.name, || {
                extension.authenticate(connecting, secret).result.is_ok()
            });
        }
        visit.connect(case);
        for ask in &case.asks {
            if let What::Observe { events, missed } = &ask.what {
                self.row("on-events", &case.name, || {
                    world.observe(&visit, events, *missed).opinion != Opinion::Fail
                });
            }
        }
        let Some(standing) = &visit.standing else { return Ok(()) };
        let identity = Arc::clone(&standing.identity);
        if hooks.authorizer {
            let connecting = &visit.connecting;
            self.row("permissions", &case.name, || {
                extension.permissions(&identity, connecting).result.is_ok()
            });
        }
        if hooks.client_limits {
            let connecting = &visit.connecting;
            self.row("limit", &case.name, || {
                extension.limits(&identity, connecting).result.is_ok()
            });
        }
        for ask in &case.asks {
            self.ask(ask, &mut visit);
        }
        Ok(())
    }

    /// What the rules decide is measured too: that is what asking is to be compared with.
    fn ask(&mut self, ask: &Ask, visit: &mut Visit<'_>) {
        let (hook, subject) = match &ask.what {
            What::Publish { topic, .. } => ("authorize-publish", topic.clone()),
            What::Subscribe { filters, .. } => ("authorize-subscribe", filters.join(", ")),
            What::InterceptPublish(message) => ("on-publish", message.topic.clone()),
            What::InterceptDelivery(message) => ("on-delivery", message.topic.clone()),
            What::Deliver { .. }
            | What::Authenticate { .. }
            | What::Observe { .. }
            | What::Reconfigure(_) => return,
        };
        let is_asked = visit.ask(ask).iter().any(|answer| answer.by == By::Hook);
        let hook = if is_asked { hook } else { "(rules)" };
        self.row(hook, &subject, || {
            visit.ask(ask).iter().all(|answer| answer.opinion != Opinion::Fail)
        });
    }

    fn row(&mut self, hook: &'static str, case: &str, mut call: impl FnMut() -> bool) {
        let began = Instant::now();
        for _ in 0..WARM_UP {
            if !call() {
                // A hook that fails takes no time that anybody could rely on.
                return;
            }
            if began.elapsed() > WARM_UP_TIME {
                break;
            }
        }
        let began = Instant::now();
        let mut times = Vec::new();
        while times.len() < CALLS_MAX && (times.len() < CALLS_MIN || began.elapsed() < TIME) {
            let began = Instant::now();
            call();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
        let (p50, p99) = (at(50), at(99));
        self.rows.push(Row { hook, case: case.to_owned(), calls: times.len(), p50, p99 });
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:>8} {:>10} {:>10}  question", "hook", "calls", "p50 ns", "p99 ns")?;
        for Row { hook, case, calls, p50, p99 } in &self.rows {
            let (p50, p99) = (p50.as_nanos(), p99.as_nanos());
            writeln!(f, "{hook:<20} {calls:>8} {p50:>10} {p99:>10}  {case}")?;
        }
        let kib = |bytes: f64| bytes / 1024.0;
        writeln!(f, "component  {:.1} KiB", kib(self.component_bytes as f64))?;
        writeln!(f, "compiled   in {:.1} ms", self.compiled.as_secs_f64() * 1e3)?;
        writeln!(f, "instance   started in {:.3} ms", self.started.as_secs_f64() * 1e3)?;
        write!(f, "memory     {:.0} KiB an instance", kib(self.memory_bytes as f64))
    }
}

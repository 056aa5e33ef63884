use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use config::{Checked, Engine};
use store::{DiskStore, Loaded, MemoryStore, Store};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use transport::{BindError, Listener};

use crate::accept::Door;
use crate::ban_file::BanFile;
use crate::bridges::{self, Bridges};
use crate::certificates::Certificates;
use crate::chain::{CONNECT_CALLS_MAX, Chain, Office};
use crate::clock::{self, Clock};
use crate::compiler::Workbench;
use crate::decisions::Decisions;
use crate::desk::{self, Desk, ORDERS_MAX};
use crate::disk::Disk;
use crate::extensions::{Extensions, warn_of_gaps, warn_of_idle_observers};
use crate::facilities::{self, Surroundings};
use crate::failure::Failure;
use crate::hub::Hub;
use crate::judge::{self, QUESTIONS_MAX};
use crate::observers::Observers;
use crate::report::Reporter;
use crate::screen::Screen;
use crate::sentry::Sentry;
use crate::signals::{Signals, Subject};
use crate::{budget, cli, link, secret, settings, supervisor, system};

/// Threads for blocking work besides the calls of extensions: files, the end of the store.
const OTHER_BLOCKING_THREADS: usize = 8;

/// How long connections may take to end, and then the disk to catch up, when the gateway stops.
const STOP_PATIENCE: Duration = link::LINGER;

/// `portcullis run`
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let checked = config::load(file).map_err(Failure::Config)?;
    let counters = telemetry::Counters::new();
    let _log = telemetry::init(settings::log(&checked), &counters)
        .map_err(|error| Failure::Log(error.to_string()))?;
    log_panics();
    clock::hold(&checked.data);
    runtime()?.block_on(serve(checked))
}

/// `portcullis check`: everything that can be found wrong without starting.
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    let checked = config::load(file).map_err(Failure::Config)?;
    clock::hold(&checked.data);
    let mut faults = Vec::new();
    let runtime = runtime()?;
    let (inside, now) = (runtime.enter(), clock::wall());
    for listener in &checked.listeners {
        // The certificates are what is checked; the port itself may be in use by the running gateway.
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = transport::Settings {
            bind: transport::Bind::Address(anywhere),
            ..settings::listener(listener)
        };
        let valid = Listener::bind(&settings).and_then(|bound| match bound.credentials() {
            Some(credentials) => credentials.check_validity(now).map_err(BindError::Tls),
            None => Ok(()),
        });
        if let Err(error) = valid {
            faults.push(Failure::Listen { listener: listener.name.clone(), error }.to_string());
        }
    }
    drop(inside);
    faults.extend(bridges::check(&checked));
    let workbench = Workbench::look(&checked.compiler, &checked.data);
    if let Err(failure) = Extensions::load(&checked, workbench, Arc::new(Surroundings::of_nobody()))
    {
        faults.push(failure.to_string());
    }
    if !faults.is_empty() {
        return Err(Failure::Faults(faults));
    }
    cli::say(&format!("{}: nothing is wrong", file.display()))
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("portcullis")
        .max_blocking_threads(
            CONNECT_CALLS_MAX + QUESTIONS_MAX + ORDERS_MAX + OTHER_BLOCKING_THREADS,
        )
        .build()
        .map_err(|error| Failure::System { what: "start threads", error })
}

/// Puts the parts together, runs until a signal says stop, takes them apart in order.
async fn serve(checked: Checked) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // What can fail comes first; clients that knock meanwhile wait in the kernel.
    let listeners = bind(&checked)?;
    let names = checked.listeners.iter().map(|listener| listener.name.clone());
    let certificates = names.zip(listeners.iter().map(Listener::credentials));
    let certificates = Arc::new(Certificates::of(certificates));
    let (store, loaded) = open_store(&checked)?;
    let admin = desk::open(&checked.admin)?;
    let (orders, order_queue) = facilities::channel();
    let surroundings = Arc::new(Surroundings::of(&checked, orders));
    let workbench = Workbench::open(&checked.compiler, &checked.data);
    let extensions = Arc::new(Extensions::load(&checked, workbench, Arc::clone(&surroundings))?);
    extensions.start_fetching()?;

    let clock = Clock::start();
    let identity = bridges::identity(&checked)?;
    let broker = broker(&checked, identity.as_ref(), clock, loaded.snapshot)?;
    let decisions = Decisions::open(checked.decisions.as_ref())?;
    warn_of_idle_observers(&extensions, &checked.observers);
    let observers = Observers::start(extensions.named(&checked.observers))?;
    let reporter = Arc::new(Reporter::new(decisions).telling(observers.clone()));
    let sentry = post_sentry(&checked, clock, &reporter)?;
    let disk = Disk::default();
    let to_disk = disk.clone();
    let submit = Box::new(move |errand| to_disk.submit(errand));
    let hub = Arc::new(Hub::new(broker, clock, submit, Arc::clone(&reporter)));
    disk.start(store, settings::committer(&checked), &hub).map_err(Failure::Store)?;

    // Before anybody can publish what is for one of them.
    let checked = Arc::new(checked);
    let bridges = Bridges::prepare(&checked, identity.as_ref(), &extensions, &hub, clock);
    let subject = Subject {
        checked: Arc::clone(&checked),
        extensions: Arc::clone(&extensions),
        hub: Arc::clone(&hub),
        disk: disk.clone(),
        certificates: Arc::clone(&certificates),
        sentry: Arc::clone(&sentry),
        bridges: Arc::clone(&bridges),
    };
    let mut background = JoinSet::new();
    background.spawn(keep_time(Arc::clone(&hub)));
    background.spawn(clock::keep(checked.data.clone()));
    background.spawn(supervisor::watch(Arc::clone(&hub), disk.clone()));
    background.spawn(budget::keep(Arc::clone(&hub), checked.limits.memory));
    background.spawn(Arc::clone(&certificates).keep_fresh(Arc::clone(&hub)));
    background.spawn(Arc::clone(&extensions).keep_fresh());
    background.spawn(Arc::clone(&sentry).keep());
    background.spawn(order_queue.carry_out(Arc::downgrade(&hub)));
    bridges.start();
    report_system(&mut background, &subject, clock);
    let gatehouse =
        Gatehouse::open(&checked, listeners, &extensions, &bridges, &hub, &reporter, &sentry);
    if let Some(socket) = admin {
        let desk = desk(&subject, &gatehouse);
        background.spawn(desk::attend(Arc::new(desk), socket));
    }
    supervisor::ready();
    let signal = signals.obey(&subject).await;

    tracing::info!(signal, "stopping");
    supervisor::stopping();
    gatehouse.close(&hub).await;
    background.abort_all();
    bridges.abort();
    if tokio::time::timeout(STOP_PATIENCE, hub.settled()).await.is_err() {
        tracing::error!("disk did not catch up; what it lacks was not acknowledged");
    }
    subject.count();
    clock::note(&checked.data);
    put_away(observers, surroundings, sentry, disk).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Has the gateway say how it does, if it is to.
fn report_system(background: &mut JoinSet<()>, subject: &Subject, clock: Clock) {
    let Some(interval) = subject.checked.broker.sys_interval else { return };
    let (hub, disk) = (Arc::clone(&subject.hub), subject.disk.clone());
    background.spawn(system::report(hub, disk, Arc::clone(&subject.bridges), clock, interval));
}

/// The broker, with what was kept of it.
fn broker(
    checked: &Checked,
    identity: Option<&String>,
    clock: Clock,
    kept: broker::durable::Snapshot,
) -> Result<Broker, Failure> {
    let seed = u64::from_ne_bytes(secret::random()?);
    let introduction = bridges::introduction(identity);
    let settings = broker::Settings { introduction, ..settings::broker(checked) };
    Ok(Broker::new(settings, seed, clock.now(), kept))
}

/// What the operator comes to.
fn desk(subject: &Subject, gatehouse: &Gatehouse) -> Desk {
    Desk {
        extensions: Arc::clone(&subject.extensions),
        hub: Arc::clone(&subject.hub),
        disk: subject.disk.clone(),
        chains: gatehouse.chains.clone(),
        screens: gatehouse.screens.clone(),
        certificates: Arc::clone(&subject.certificates),
        sentry: Arc::clone(&subject.sentry),
        bridges: Arc::clone(&subject.bridges),
    }
}

/// Ends what has threads and files of its own, the store last.
async fn put_away(
    observers: Option<Arc<Observers>>,
    surroundings: Arc<Surroundings>,
    sentry: Arc<Sentry>,
    disk: Disk,
) -> Result<(), Failure> {
    let closing = tokio::task::spawn_blocking(move || {
        if let Some(observers) = observers {
            observers.close();
        }
        surroundings.close();
        sentry.save();
        disk.shut_down()
    });
    let closed = closing.await.map_err(|error| Failure::System {
        what: "close the store",
        error: std::io::Error::other(error),
    })?;
    closed.map_err(Failure::Store)
}

fn post_sentry(
    checked: &Checked,
    clock: Clock,
    reporter: &Arc<Reporter>,
) -> Result<Arc<Sentry>, Failure> {
    let seed = u64::from_ne_bytes(secret::random()?);
    let (limits, file) = (settings::limits(&checked.limits), BanFile::of(&checked.data));
    Ok(Arc::new(Sentry::new(limits, seed, clock, Arc::clone(reporter), file)))
}

fn bind(checked: &Checked) -> Result<Vec<Listener>, Failure> {
    let bind = |stated: &config::Listener| {
        Listener::bind(&settings::listener(stated))
            .map_err(|error| Failure::Listen { listener: stated.name.clone(), error })
    };
    checked.listeners.iter().map(bind).collect()
}

fn open_store(checked: &Checked) -> Result<(Box<dyn Store>, Loaded), Failure> {
    let mut store: Box<dyn Store> = match &checked.store.engine {
        Engine::Memory => {
            tracing::warn!(
                "store is in memory; what waits for absent clients ends with the process"
            );
            Box::new(MemoryStore::new())
        }
        Engine::Sled { path, cache, log_file, checkpoint } => {
            let settings = store::Settings {
                cache_bytes: *cache,
                segment_bytes: *log_file,
                checkpoint_bytes: *checkpoint,
                ..store::Settings::default()
            };
            Box::new(DiskStore::open(path, settings).map_err(Failure::Store)?)
        }
    };
    let loaded = store.load().map_err(Failure::Store)?;
    for incident in &loaded.incidents {
        tracing::warn!(incident = %incident, "store incident");
    }
    for record in &loaded.quarantined {
        tracing::error!(
            kind = ?record.kind,
            key = record.key,
            damage = ?record.damage,
            "record damaged and set aside"
        );
    }
    if !loaded.is_clean() {
        tracing::warn!(
            quarantined = loaded.quarantined_total,
            quarantine_held = loaded.quarantine_held,
            dropped = ?loaded.dropped,
            repairs_failed = loaded.repairs_failed.as_ref().map(tracing::field::display),
            "store was repaired"
        );
    }
    tracing::info!(file_bytes = store.usage().file_bytes, "store opened");
    Ok((store, loaded))
}

/// Does what is due when it is due.
async fn keep_time(hub: Arc<Hub>) {
    loop {
        match hub.tick() {
            None => hub.nearer_deadline.notified().await,
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = hub.nearer_deadline.notified() => {}
            },
        }
    }
}

/// All doors, and the way to close them.
struct Gatehouse {
    accepting: JoinSet<()>,
    /// Each door's places and how many there are: all are free when its connections have ended.
    places: Vec<(Arc<Semaphore>, u32)>,
    /// The chain of each listener.
    chains: BTreeMap<String, Chain>,
    /// Who looks at the messages of each listener's clients.
    screens: BTreeMap<String, Arc<Screen>>,
    stopping: watch::Sender<bool>,
}

impl Gatehouse {
    fn open(
        checked: &Checked,
        listeners: Vec<Listener>,
        extensions: &Extensions,
        bridges: &Arc<Bridges>,
        hub: &Arc<Hub>,
        reporter: &Arc<Reporter>,
        sentry: &Arc<Sentry>,
    ) -> Self {
        let (stopping, stops) = watch::channel(false);
        let (office, bench) = (Arc::new(Office::new()), judge::bench());
        let mut gatehouse = Self {
            accepting: JoinSet::new(),
            places: Vec::new(),
            chains: BTreeMap::new(),
            screens: BTreeMap::new(),
            stopping,
        };
        let screens = screens(checked, extensions, bridges, hub);
        let numbered = (0..).zip(screens);
        for ((stated, listener), (number, screen)) in
            checked.listeners.iter().zip(listeners).zip(numbered)
        {
            let chain = extensions.named(&stated.chain);
            warn_of_gaps(&stated.name, &chain);
            let places = Arc::new(Semaphore::new(stated.max_connections as usize));
            gatehouse.places.push((Arc::clone(&places), stated.max_connections));
            // What systemd or the kernel has chosen, or where the file is.
            let address = match listener.address() {
                transport::Address::Network(address) => address.to_string(),
                transport::Address::Unix(_) => stated.bind.to_string(),
            };
            tracing::info!(listener = stated.name, address, "listening");
            let limits = settings::client_limits(stated);
            let chain = Chain::new(chain, Arc::clone(&office), limits);
            gatehouse.chains.insert(stated.name.clone(), chain.clone());
            gatehouse.screens.insert(stated.name.clone(), Arc::clone(&screen));
            let door = Arc::new(Door {
                name: stated.name.as_str().into(),
                chain,
                screen,
                number,
                hub: Arc::clone(hub),
                reporter: Arc::clone(reporter),
                sentry: Arc::clone(sentry),
                max_packet_size: checked.sessions.max_packet_size,
                mqtt_3_1: stated.mqtt_3_1,
                durability: settings::durability(stated.durability),
                connect_timeout: stated.connect_timeout,
                packet_timeout: stated.packet_timeout,
                handshakes: Semaphore::new(stated.max_handshakes as usize),
                bench: Arc::clone(&bench),
                places,
                stopping: stops.clone(),
            });
            gatehouse.accepting.spawn(door.accept(listener));
        }
        gatehouse
    }

    /// Lets nobody in any more, tells those who are in, and waits for them to leave.
    async fn close(mut self, hub: &Hub) {
        self.accepting.shutdown().await;
        self.stopping.send_replace(true);
        hub.shut_down();
        let emptied = async {
            for (places, all) in &self.places {
                // Fails only if the semaphore was closed, which nobody does.
                let _ = places.acquire_many(*all).await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, emptied).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut");
        }
    }
}

/// The screen of each listener. Whenever its extensions want to see other messages, the broker is told, and so are bridges.
fn screens(
    checked: &Checked,
    extensions: &Extensions,
    bridges: &Arc<Bridges>,
    hub: &Arc<Hub>,
) -> Vec<Arc<Screen>> {
    let chains = checked.listeners.iter().map(|stated| extensions.named(&stated.chain));
    let screens: Vec<_> = chains.map(|chain| Screen::new(&chain)).collect();
    let (watching, hub) = (screens.clone(), Arc::downgrade(hub));
    let bridges = Arc::downgrade(bridges);
    extensions.watch(Box::new(move |grants| {
        if let Some(bridges) = bridges.upgrade() {
            bridges.look(grants);
        }
        let Some(hub) = hub.upgrade() else { return };
        for (number, screen) in (0..).zip(&watching) {
            hub.set_interests(number, screen.look(grants));
        }
    }));
    screens
}

/// A panic is a bug, but it ends one task only. What was said may hold what a client sent, so only
/// words that stand in the program are logged.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload().downcast_ref::<&'static str>().copied();
        tracing::error!(
            place = panic.location().map(tracing::field::display),
            words,
            thread = std::thread::current().name(),
            "panic; the task that ran is ended, the gateway goes on"
        );
    }));
}

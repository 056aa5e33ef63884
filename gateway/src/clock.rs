use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::Timestamp;

/// When this program was built, in seconds since 1970: no time of its running is earlier.
const BUILT: &str = env!("PORTCULLIS_BUILT");

/// The file in the data directory whose time of change says until when the gateway ran.
const FILE: &str = "clock";

/// How often that time is noted: how far behind a machine without a battery may be after a power cut, besides the time that it
/// was off.
const NOTED: Duration = Duration::from_secs(3_600);

/// How far behind that time the system's clock may be and still be taken for set.
const SLACK: Duration = Duration::from_secs(60);

/// How long what had better not happen at a wrong hour waits for a clock that is not set. A machine that nobody tells the time
/// goes on after that with the one that it has.
pub(crate) const AWAITED: Duration = Duration::from_secs(600);

/// What the time was at least when the gateway started, and when that was.
static FLOOR: OnceLock<(SystemTime, Instant)> = OnceLock::new();

/// The time of day, as the system says it, but never before what is known to have been. It may jump forward.
pub(crate) fn wall() -> SystemTime {
    let now = SystemTime::now();
    match FLOOR.get() {
        Some((floor, since)) => now.max(*floor + since.elapsed()),
        None => now.max(built()),
    }
}

/// Seconds since the Unix epoch; `None` while the system's clock is known not to be set and it is early enough to wait for that.
pub(crate) fn trusted_s() -> Option<u64> {
    let known = wall();
    let started = FLOOR.get().map(|(_, since)| since.elapsed());
    let awaits = started.is_some_and(|since| since < AWAITED);
    let is_behind = known.duration_since(SystemTime::now()).is_ok_and(|behind| behind > SLACK);
    let unix = known.duration_since(UNIX_EPOCH).unwrap_or_default();
    (!awaits || !is_behind).then_some(unix.as_secs())
}

/// The time of day in milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    let unix = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

fn built() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(BUILT.parse().unwrap_or_default())
}

/// Holds the time of day to be no earlier than this program, and than what was noted last in the data directory: a machine without
/// a battery starts in 1970, or where it was switched off, and every certificate and token would be of the future.
pub(crate) fn hold(data: &Path) {
    let noted = File::open(data.join(FILE)).and_then(|file| file.metadata()?.modified());
    let floor = noted.map_or(built(), |noted| noted.max(built()));
    let system = SystemTime::now();
    if let Ok(behind) = floor.duration_since(system) {
        tracing::warn!(
            behind_s = behind.as_secs(),
            "system's clock is behind what was noted last; time is taken to go on from there until it is set"
        );
    }
    FLOOR.get_or_init(|| (floor, Instant::now()));
    transport::hold_time(floor);
}

/// Notes the time now and each hour, for ever.
pub(crate) async fn keep(data: PathBuf) {
    loop {
        let data = data.clone();
        // A disk that is full or gone is told of elsewhere.
        let _ = tokio::task::spawn_blocking(move || note(&data)).await;
        tokio::time::sleep(NOTED).await;
    }
}

/// Notes the time. Blocks.
pub(crate) fn note(data: &Path) {
    let noted = || -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(data.join(FILE))?;
        file.set_modified(wall())?;
        file.sync_all()
    };
    if let Err(error) = noted() {
        tracing::debug!(error = %error, "time not noted");
    }
}

/// The only place where the gateway asks for the time.
///
/// The wall clock is read once; from then on monotonic time is added, so that a clock
/// that is set back while the gateway runs neither expires nor prolongs anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    unix_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), unix_ms: wall_ms() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.unix_ms).after(self.started.elapsed())
    }

    /// Milliseconds since the Unix epoch, as the system says now. Unlike [`Clock::now`] it may jump.
    pub(crate) fn wall_ms(&self) -> u64 {
        wall_ms()
    }

    /// The moment at which `at` will be, on the scheduler's clock.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        let ms = at.as_unix_ms().saturating_sub(self.unix_ms);
        self.started.checked_add(Duration::from_millis(ms)).unwrap_or_else(|| {
            // Beyond what an Instant can express: years away, so look again in a day.
            Instant::now() + Duration::from_secs(24 * 3600)
        })
    }
}

/// The time that guests are told, and by which their tokens are judged.
#[derive(Debug)]
pub(crate) struct Held {
    started: Instant,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl extension_host::Nature for Held {
    fn now(&self) -> Duration {
        wall().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::getrandom(bytes)
            .map_err(|error| format!("the operating system gives no random numbers: {error}"))
    }
}

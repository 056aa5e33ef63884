//! Power cuts at every sync, and between, of one recorded run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::panic;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::cast::Cast;
use crate::clock::{Clock, Tick};
use crate::cuts;
use crate::disk::{Cut, Disk};
use crate::fault::{Faults, Kind};
use crate::judge::judge;
use crate::observed::observe;
use crate::random::Random;
use crate::record::Record;
use crate::remains::{self, Remains};
use crate::session::Surroundings;
use crate::stage::{Stage, scratch, shim};
use crate::stored::Stored;
use crate::verdict::Knowledge;

/// Evidence that is shown.
const SHOWN: usize = 20;

/// How the lives of the gateway under record end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

/// A run of the gateway, with all that it wrote, and all that its clients knew, in one order.
#[derive(Debug)]
pub struct Recording {
    seed: u64,
    cast: Cast,
    trace: Vec<u8>,
    records: Vec<Record>,
    root: u64,
    /// What was wrong without any power cut.
    faults: Faults,
}

impl Recording {
    /// Runs the gateway under load for `load` in three lives: stopped, killed, and at the end drained.
    pub fn make(seed: u64, load: Duration) -> Self {
        Self::on(&Stage::new(), seed, load)
    }

    /// As [`Recording::make`], of this gateway.
    pub fn on(stage: &Stage, seed: u64, load: Duration) -> Self {
        let mut random = Random::new(seed);
        let mut cast = Cast::new();
        let shim = shim("trace", &stage.path(""));
        let trace_file = stage.path("trace");
        let trace = OpenOptions::new().create(true).append(true).open(&trace_file);
        let clock = Clock::tracing(trace.expect("a file for the trace"));
        let root = fs::metadata(stage.store()).expect("the store's folder").ino();
        for (life, end) in [End::Stopped, End::Killed].into_iter().enumerate() {
            let mut gateway = stage.start_traced(&shim, &trace_file);
            let place = Surroundings::new(stage.port, &clock);
            if life == 0 {
                cast.settle(&place);
            }
            cast.perform(&place, &mut random, || {
                thread::sleep(load / 2);
                gateway.assert_sound();
                match end {
                    End::Killed => {
                        gateway.kill();
                    }
                    End::Stopped => assert!(gateway.stop().0.success(), "it ends in order"),
                }
            });
        }
        let mut gateway = stage.start_traced(&shim, &trace_file);
        cast.finish(&Surroundings::new(stage.port, &clock));
        gateway.assert_sound();
        assert!(gateway.stop().0.success(), "it ends in order");

        let trace = fs::read(&trace_file).expect("the trace");
        let records = Record::all(&trace);
        let faults = judge(&cast);
        let recording = Self { seed, cast, trace, records, root, faults };
        recording.check(&stage.store());
        recording
    }

    /// What was recorded is what is on disk: no write went past the record.
    fn check(&self, store: &Path) {
        let mut disk = Disk::new(&self.trace, self.root, &[]);
        self.records.iter().enumerate().for_each(|(place, record)| disk.replay(place, record));
        let mut replayed = remains::remains(&disk, Cut::Everything, &mut Random::new(0));
        let mut found = Remains::new();
        read(store, "", &mut found);
        for (path, content) in found {
            let same = replayed.remove(&path).is_some_and(|it| it == content);
            assert!(
                same,
                "{path} is not what was recorded: something writes past the C library, where \
                 shim/trace.c does not see it; have it use the C library, or extend the shim"
            );
        }
        assert!(replayed.is_empty(), "recorded, but not on disk: {:?}", replayed.keys());
    }

    /// Cuts the power at `points` places.
    pub fn cut(&self, points: usize, how: &How) -> Report {
        let begin = Instant::now();
        let mut random = Random::new(self.seed ^ 0xC07);
        let chosen = cuts::choose(&self.records, points, &mut random);
        let knowledge = Knowledge::new(&self.cast);
        let mut disk = Disk::new(&self.trace, self.root, &how.deaf);
        let stage = (how.gateway_every > 0).then(Stage::new);
        let mut report = Report {
            seed: self.seed,
            points: chosen.places.len(),
            boundaries: chosen.boundaries,
            boundaries_cut: chosen.boundaries_cut,
            promised: self.promised(),
            faults: self.faults.clone(),
            lossy: 0,
            started: 0,
            unopenable: 0,
            repaired: BTreeMap::new(),
            time: Duration::ZERO,
        };
        let (mut now, mut judged) = (None, 0);
        let mut places = chosen.places.into_iter().peekable();
        for (place, record) in self.records.iter().enumerate() {
            disk.replay(place, record);
            if let Record::Mark(tick) = record {
                now = Some(*tick);
            }
            while let Some(point) = places.next_if(|it| *it == place) {
                let cut = Cut::POWER[usize::try_from(random.below(3)).unwrap_or_default()];
                let left = remains::remains(&disk, cut, &mut random.fork());
                let point = Point { place: point, cut, now };
                report.judge(&point, &left, &knowledge);
                judged += 1;
                if let (Some(stage), Some(now)) = (&stage, now)
                    && judged % how.gateway_every == 0
                {
                    report.started += 1;
                    report.note(&point, self.observed(stage, &left, now, &knowledge));
                }
            }
        }
        report.time = begin.elapsed();
        report
    }

    /// What a gateway and its clients find wrong. On a busy machine they may only have been slow, so they
    /// are given a second chance with more time.
    fn observed(
        &self,
        stage: &Stage,
        left: &Remains,
        now: Tick,
        knowledge: &Knowledge<'_>,
    ) -> Faults {
        let look = |quiet| knowledge.judge(&observe(stage, left, &self.cast, now, quiet), now);
        let faults = look(Duration::from_millis(300));
        if faults.is_empty() { faults } else { look(Duration::from_secs(3)) }
    }

    /// Messages that the gateway had promised to keep.
    pub fn promised(&self) -> usize {
        let sent = self.cast.publishers.iter().flat_map(|it| &it.sent);
        sent.filter(|sent| sent.promised.is_some()).count()
    }
}

/// One power cut.
struct Point {
    place: usize,
    cut: Cut,
    now: Option<Tick>,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, cut, now } = self;
        write!(f, "cut at record {place} ({cut:?}, tick {now:?})")
    }
}

/// How points are looked at.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Syncs of files whose path contains one of these count as not made.
    pub deaf: Vec<String>,
    /// At every so many points a gateway is started as well, and its clients come back; 0 is never.
    pub gateway_every: usize,
}

/// What came of all cuts of a recording.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    points: usize,
    boundaries: usize,
    boundaries_cut: usize,
    promised: usize,
    lossy: usize,
    /// Gateways that were started on what was left.
    started: usize,
    unopenable: usize,
    /// What the store said that it had repaired, how often, and at which cut first.
    repaired: BTreeMap<String, (usize, String)>,
    time: Duration,
    /// Broken promises.
    pub faults: Faults,
}

impl Report {
    fn judge(&mut self, point: &Point, left: &Remains, knowledge: &Knowledge<'_>) {
        let folder = scratch();
        remains::write(left, folder.path());
        let mut faults = Faults::default();
        // The store catches what panics in its engine; nobody needs to read about it.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let read = Stored::read(folder.path());
        panic::set_hook(hook);
        match read {
            Ok(stored) => {
                for repair in &stored.repairs {
                    let first = || (0, point.to_string());
                    self.repaired.entry(repair.clone()).or_insert_with(first).0 += 1;
                }
                // Before the first mark nobody was promised anything.
                if let Some(now) = point.now {
                    faults.extend(knowledge.judge(&stored, now));
                }
            }
            Err(why) => {
                self.unopenable += 1;
                faults.add(Kind::Lost, format!("the store does not open: {why}"));
            }
        }
        self.lossy += usize::from(!faults.is_empty());
        self.note(point, faults);
    }

    fn note(&mut self, point: &Point, faults: Faults) {
        self.faults.extend(faults.noted(&point.to_string()));
    }
}

impl fmt::Display for Report {
    /// Evidence, counts and the verdict, which is the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, points, boundaries, boundaries_cut, promised, .. } = self;
        let Self { lossy, unopenable, started, .. } = self;
        write!(f, "{}", self.faults.evidence(SHOWN))?;
        for (repair, (times, first)) in self.repaired.iter().take(SHOWN) {
            writeln!(f, "repaired {times} times, first at {first}: {repair}")?;
        }
        writeln!(
            f,
            "power-cut seed={seed} points={points} sync_boundaries={boundaries} \
             cut_at={boundaries_cut} promised={promised} points_with_faults={lossy} \
             unopenable={unopenable} gateways_started={started} s={} ms_per_point={}",
            self.time.as_secs(),
            self.time.as_millis() / (*points).max(1) as u128,
        )?;
        write!(f, "{points} power cuts: {}", self.faults)?;
        if !self.faults.is_empty() {
            write!(f, "\nagain: cargo xtask power-cut --points {points} --seed {seed}")?;
        }
        Ok(())
    }
}

fn read(folder: &Path, name: &str, found: &mut Remains) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        if entry.path().is_dir() {
            read(&entry.path(), &name, found);
            found.insert(name, None);
        } else {
            found.insert(name, Some(fs::read(entry.path()).expect("a file")));
        }
    }
}

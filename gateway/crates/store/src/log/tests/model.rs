//! A dull model of the log, and what may be left of it when the power fails.

use std::{path::Path, sync::Arc};

use proptest::prelude::*;

use super::harness::{DIR, Group, contents, group, replay};
use crate::{
    Cut, Failure, Operation, SimulatedFiles, StoreError,
    log::{Log, Position, Settings},
};

const SETTINGS: Settings = Settings { segment_bytes: 1500, reserve_bytes: 600 };
const CUTS: [Cut; 5] = [Cut::Process, Cut::Drop, Cut::Pieces(512), Cut::Pieces(4096), Cut::Torn];

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Sync,
    /// Sync, begin here from now on, and remove what is before.
    Checkpoint,
    /// The process ends and another one starts.
    Restart,
    Cut(u64, usize),
    Fail(Failure),
    /// Leaves so many bytes of room; the next cut or restart gives them back.
    Full(u64),
    Restore,
}

type Contents = Vec<(u8, Vec<u8>)>;

struct Model {
    files: SimulatedFiles,
    log: Option<Log>,
    /// The last checkpoint but one, which must still do, and what was appended from there to the
    /// last one.
    older: Option<Position>,
    before: Vec<Contents>,
    from: Option<Position>,
    /// What was appended at or after `from`, in order.
    groups: Vec<Contents>,
    /// So many of them survive a power cut.
    synced: usize,
    /// Groups whose append failed, and the place that they would have had.
    ghosts: Vec<(usize, Contents)>,
    tag: u8,
}

impl Model {
    fn new(files: SimulatedFiles) -> Self {
        Self {
            files,
            log: None,
            older: None,
            before: Vec::new(),
            from: None,
            groups: Vec::new(),
            synced: 0,
            ghosts: Vec::new(),
            tag: 0,
        }
    }

    /// Takes a step; only what was asked to fail may fail.
    fn step(&mut self, step: &Step) -> Result<(), StoreError> {
        if let Step::Fail(failure) = step {
            self.files.fail(failure.clone());
            return Ok(());
        }
        self.open()?;
        let Some(log) = self.log.as_mut() else { return Ok(()) };
        match step {
            Step::Append(lengths) => {
                self.tag = self.tag.wrapping_add(1);
                let group = group(self.tag, lengths);
                let contents = contents(self.tag, lengths);
                let base = log.prepare(&group);
                match log.append(&group) {
                    Ok(at) => {
                        assert!(base.is_err() || base.is_ok_and(|base| base == at));
                        self.groups.push(contents);
                        if let Some((kind, bytes)) = self.groups.last().and_then(|it| it.first()) {
                            let read = log.read(at);
                            assert!(read.is_err() || read.unwrap() == (*kind, bytes.clone()));
                        }
                    }
                    Err(error) => {
                        self.ghosts.push((self.groups.len(), contents));
                        return Err(error);
                    }
                }
            }
            Step::Sync => {
                log.sync()?;
                self.synced = self.groups.len();
            }
            Step::Checkpoint => {
                log.sync()?;
                let end = log.end();
                self.older = self.from.replace(end);
                self.before = std::mem::take(&mut self.groups);
                self.ghosts.clear();
                self.synced = 0;
                let old: Vec<u32> = log.segments().map(|(segment, _)| segment).collect();
                let needed = self.older.map_or(0, |older| older.segment);
                for segment in old.into_iter().filter(|segment| *segment < needed) {
                    log.remove(segment)?;
                }
            }
            Step::Restart => self.log = None,
            Step::Cut(seed, how) => self.cut(*seed, CUTS[how % CUTS.len()]),
            Step::Full(room) => self.files.leave_room(*room),
            Step::Restore => drop(log.restore_reserve()?),
            Step::Fail(_) => {}
        }
        Ok(())
    }

    fn cut(&mut self, seed: u64, how: Cut) {
        self.log = None;
        self.files = self.files.cut(seed, how);
        if how != Cut::Process {
            self.ghosts.retain(|(place, _)| *place >= self.synced);
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        if self.log.is_some() {
            return Ok(());
        }
        let mut log = Log::open(Arc::new(self.files.clone()), Path::new(DIR), SETTINGS)?;
        let (all, replayed) = replay(&mut log, self.older)?;
        assert_eq!(replayed.holes, [], "nothing was damaged");
        let (before, shown) = all.split_at_checked(self.before.len()).unwrap();
        assert!(before.iter().map(Group::contents).eq(self.before.iter().cloned()));
        self.expect(shown);
        let (again, replayed) = replay(&mut log, self.from)?;
        assert_eq!((again.as_slice(), replayed.holes.as_slice()), (shown, [].as_slice()));
        for (position, kind, bytes) in shown.iter().flat_map(|group| &group.records) {
            if let Ok(read) = log.read(*position) {
                assert_eq!(read, (*kind, bytes.clone()));
            }
        }
        self.groups = shown.iter().map(Group::contents).collect();
        self.synced = self.groups.len();
        self.ghosts.clear();
        self.log = Some(log);
        Ok(())
    }

    /// Synced groups are there; of the others a prefix, which may end in a group that failed.
    fn expect(&self, shown: &[Group]) {
        assert!(shown.len() >= self.synced, "{} of {} synced", shown.len(), self.synced);
        for (place, group) in shown.iter().enumerate() {
            let contents = group.contents();
            let ghost =
                || place + 1 == shown.len() && self.ghosts.contains(&(place, contents.clone()));
            assert!(self.groups.get(place) == Some(&contents) || ghost(), "group {place}");
        }
    }
}

/// Runs `steps` until the machine is off, which is when all fails; then it comes back.
fn run_until(steps: &[Step], stop: u64, seed: u64, how: Cut) -> u64 {
    let files = SimulatedFiles::new();
    files.stop_at(Some(stop));
    let mut model = Model::new(files.clone());
    for step in steps {
        if model.step(step).is_err() && files.operations() >= stop {
            break;
        }
    }
    let operations = files.operations();
    model.cut(seed, how);
    model.open().unwrap();
    model.step(&Step::Append(vec![50])).unwrap();
    model.step(&Step::Sync).unwrap();
    let groups = model.groups.len();
    model.cut(seed, Cut::Drop);
    model.open().unwrap();
    assert_eq!(model.groups.len(), groups);
    operations
}

#[test]
fn the_power_may_fail_at_any_operation() {
    let append = |lengths: &[usize]| Step::Append(lengths.to_vec());
    let lost_sync = Failure { partly: 1, ..Failure::once(Operation::SyncData, 5) };
    let short_write = Failure { partly: 200, ..Failure::once(Operation::Write, 28) };
    let steps = [
        append(&[10]),
        append(&[700, 3]),
        Step::Sync,
        append(&[600, 600]),
        append(&[20]),
        append(&[5000]),
        append(&[300]),
        Step::Fail(lost_sync),
        Step::Sync,
        append(&[400]),
        Step::Sync,
        Step::Checkpoint,
        append(&[100]),
        append(&[90]),
        append(&[80]),
        Step::Fail(short_write),
        append(&[1200]),
        append(&[1000]),
        append(&[70]),
        Step::Sync,
        append(&[60]),
        Step::Restart,
        append(&[55]),
        append(&[1400]),
        append(&[1400]),
    ];
    let all = run_until(&steps, u64::MAX, 0, Cut::Process);
    assert!(all > 60);
    for stop in 0..=all {
        for how in CUTS {
            for seed in 0..if matches!(how, Cut::Pieces(_) | Cut::Torn) { 12 } else { 1 } {
                run_until(&steps, stop, seed, how);
            }
        }
    }
}

fn failures() -> impl Strategy<Value = Failure> {
    use Operation::{Allocate, Create, Remove, Rename, SetLen, SyncData, SyncDir, Write};
    let operation = prop::sample::select(vec![
        Allocate, Create, Remove, Rename, SetLen, SyncData, SyncData, SyncDir, Write, Write,
    ]);
    let errno = prop::sample::select(vec![5, 28, 30]);
    (operation, errno, 0..3_u64, 1..4_u64, any::<u8>()).prop_map(
        |(operation, errno, skip, times, partly)| Failure {
            skip,
            times,
            partly,
            ..Failure::once(operation, errno)
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lengths = prop_oneof![
        6 => prop::collection::vec(0..300_usize, 1..5),
        1 => prop::collection::vec(0..3000_usize, 1..3),
    ];
    let step = prop_oneof![
        10 => lengths.prop_map(Step::Append),
        4 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Restart),
        2 => (any::<u64>(), any::<usize>()).prop_map(|(seed, how)| Step::Cut(seed, how)),
        2 => failures().prop_map(Step::Fail),
        1 => (0..2000_u64).prop_map(Step::Full),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4 * ProptestConfig::default().cases))]

    #[test]
    fn whatever_fails_what_is_synced_stays(steps in steps()) {
        let mut model = Model::new(SimulatedFiles::new());
        for step in &steps {
            drop(model.step(step));
        }
        model.files.heal();
        model.log = None;
        model.open().unwrap();
        model.step(&Step::Append(vec![10])).unwrap();
        model.step(&Step::Sync).unwrap();
    }

    #[test]
    fn the_power_may_fail_whatever_is_done(
        steps in steps(),
        stop in 0..150_u64,
        seed in any::<u64>(),
        how in prop::sample::select(CUTS.to_vec()),
    ) {
        let steps: Vec<Step> =
            steps.into_iter().filter(|step| !matches!(step, Step::Cut(..))).collect();
        run_until(&steps, stop, seed, how);
    }
}

use std::path::Path;

use super::harness::{DIR, Opened, SMALL, contents, group, open, try_open};
use crate::{
    Cut, Failure, Operation, SimulatedFiles, StoreError,
    log::{ReserveState, Settings},
};

/// The ways in which a write can fail: what the system says, and how much of it is done.
fn failing_writes() -> impl Iterator<Item = Failure> {
    let parts = |errno| [0, 20, 128, 255].map(move |partly| (errno, partly));
    [5, 28, 30]
        .into_iter()
        .flat_map(parts)
        .map(|(errno, partly)| Failure { partly, ..Failure::once(Operation::Write, errno) })
}

#[test]
fn nothing_of_a_group_that_failed_is_seen() {
    for failure in failing_writes() {
        for cannot_cut in [false, true] {
            let files = SimulatedFiles::new();
            let mut log = open(&files).log;
            log.append(&group(1, &[30])).unwrap();
            let end = log.end();
            files.fail(failure.clone());
            if cannot_cut {
                files.fail(Failure::once(Operation::SetLen, 5));
            }
            log.append(&group(2, &[200, 40])).unwrap_err();
            assert_eq!(log.end(), end);
            let visible = open(&files.cut(0, Cut::Process)).groups.len();
            assert_eq!(visible, 1, "{failure:?}");
            // The same group once more, or another one: it takes the failed one's place.
            log.append(&group(2, &[20])).unwrap();
            log.append(&group(3, &[10])).unwrap();
            log.sync().unwrap();
            let expected = [contents(1, &[30]), contents(2, &[20]), contents(3, &[10])];
            assert_eq!(open(&files.cut(0, Cut::Drop)).contents(), expected);
        }
    }
}

#[test]
fn a_failed_group_that_cannot_be_removed_is_not_made_durable() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.append(&group(1, &[30])).unwrap();
    let broken = |operation| Failure { partly: 255, times: 9, ..Failure::once(operation, 5) };
    files.fail(broken(Operation::Write));
    files.fail(broken(Operation::SetLen));
    log.append(&group(2, &[2])).unwrap_err();
    log.sync().unwrap_err();
    files.heal();
    log.sync().unwrap();
    assert_eq!(open(&files.cut(0, Cut::Drop)).groups.len(), 1);
}

#[test]
fn a_sync_that_failed_is_made_good() {
    for partly in [0, 1] {
        let files = SimulatedFiles::new();
        let mut log = open(&files).log;
        log.append(&group(1, &[30])).unwrap();
        log.sync().unwrap();
        log.append(&group(2, &[300])).unwrap();
        files.fail(Failure { partly, times: 2, ..Failure::once(Operation::SyncData, 5) });
        log.sync().unwrap_err();
        log.append(&group(3, &[30])).unwrap();
        log.sync().unwrap_err();
        log.append(&group(4, &[30])).unwrap();
        log.sync().unwrap();
        assert_eq!(open(&files.cut(0, Cut::Drop)).groups.len(), 4, "partly {partly}");
    }
}

#[test]
fn what_a_killed_process_failed_to_sync_is_written_again() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.append(&group(1, &[30])).unwrap();
    log.sync().unwrap();
    log.append(&group(2, &[300])).unwrap();
    files.fail(Failure { partly: 1, ..Failure::once(Operation::SyncData, 5) });
    log.sync().unwrap_err();
    drop(log);
    assert_eq!(open(&files).groups.len(), 2);
    assert_eq!(open(&files.cut(0, Cut::Drop)).groups.len(), 2, "what was shown lasts");
}

#[test]
fn a_segment_that_cannot_be_begun_is_begun_later() {
    let operations = [Operation::Create, Operation::Write, Operation::SyncData];
    for (operation, errno) in operations.into_iter().flat_map(|it| [(it, 5), (it, 28), (it, 30)]) {
        let files = SimulatedFiles::new();
        let mut log = open(&files).log;
        log.append(&group(1, &[800])).unwrap();
        files.fail(Failure { partly: 100, ..Failure::once(operation, errno) });
        log.append(&group(2, &[800])).unwrap_err();
        // A shorter one may still fit where the longer one did not.
        log.append(&group(3, &[10])).unwrap();
        log.append(&group(4, &[800])).unwrap();
        log.sync().unwrap();
        let expected = [contents(1, &[800]), contents(3, &[10]), contents(4, &[800])];
        assert_eq!(open(&files.cut(0, Cut::Drop)).contents(), expected);
    }
}

#[test]
fn the_name_of_a_segment_is_synced_before_its_groups_are_believed() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.append(&group(1, &[30])).unwrap();
    files.fail(Failure::once(Operation::SyncDir, 5));
    log.sync().unwrap_err();
    log.sync().unwrap();
    assert_eq!(open(&files.cut(0, Cut::Drop)).groups.len(), 1);
}

const WITH_RESERVE: Settings = Settings { segment_bytes: 4000, reserve_bytes: 3000 };

#[test]
fn the_ballast_is_given_up_when_the_disk_is_full_and_comes_back() {
    let files = SimulatedFiles::new();
    let mut log = try_open(&files, WITH_RESERVE, None).unwrap().log;
    assert_eq!(log.reserve_state(), ReserveState::Held);
    assert_eq!(log.file_bytes(), 3000);
    files.leave_room(1000);
    let mut appended = 0;
    while log.append(&group(1, &[100])).is_ok() {
        appended += 1;
        if appended == 6 {
            assert_eq!(log.reserve_state(), ReserveState::Held);
        }
    }
    assert!(appended >= 20, "{appended} groups in 4,000 bytes");
    assert_eq!(log.reserve_state(), ReserveState::Given);
    assert!(!log.restore_reserve().unwrap(), "no room");
    log.sync().unwrap();
    // Starting does not need it.
    assert_eq!(try_open(&files.clone(), WITH_RESERVE, None).unwrap().groups.len(), appended);
    files.set_capacity(None);
    assert!(log.restore_reserve().unwrap());
    assert_eq!(log.reserve_state(), ReserveState::Held);
    log.append(&group(2, &[100])).unwrap();
}

#[test]
fn a_new_segment_may_need_the_ballast() {
    let files = SimulatedFiles::new();
    let mut log = try_open(&files, WITH_RESERVE, None).unwrap().log;
    files.leave_room(0);
    log.append(&group(1, &[100])).unwrap();
    assert_eq!(log.reserve_state(), ReserveState::Given);
    drop(log);
    assert_eq!(try_open(&files, WITH_RESERVE, None).unwrap().groups.len(), 1);
}

#[test]
fn the_ballast_follows_its_setting() {
    let files = SimulatedFiles::new();
    let other = Settings { reserve_bytes: 500, ..SMALL };
    for settings in [WITH_RESERVE, other, SMALL] {
        let log = try_open(&files, settings, None).unwrap().log;
        assert_eq!(log.file_bytes(), settings.reserve_bytes);
    }
    assert_eq!(open(&files).log.reserve_state(), ReserveState::Off);
}

#[test]
fn errors_say_whether_space_helps() {
    for (errno, no_space) in [(28, true), (5, false), (30, false)] {
        let files = SimulatedFiles::new();
        let mut log = open(&files).log;
        log.append(&group(1, &[30])).unwrap();
        files.fail(Failure::once(Operation::Write, errno));
        let error: StoreError = log.append(&group(2, &[30])).unwrap_err();
        assert_eq!(error.is_no_space(), no_space, "{error}");
    }
}

#[test]
fn a_segment_that_was_not_begun_vouches_for_nothing() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.append(&group(1, &[800])).unwrap();
    files.fail(Failure { partly: 200, ..Failure::once(Operation::Write, 5) });
    files.fail(Failure { skip: 1, ..Failure::once(Operation::Remove, 5) });
    log.append(&group(2, &[800])).unwrap_err();
    // Had the file its name, this would be in a segment that seems to be complete.
    log.append(&group(3, &[10])).unwrap();
    drop(log);
    assert_eq!(open(&files).groups.len(), 2);
    assert_eq!(open(&files.cut(0, Cut::Drop)).groups.len(), 2);
}

#[test]
fn a_segment_may_have_two_names() {
    let mut twice = 0;
    for seed in 0..64 {
        let files = SimulatedFiles::new();
        let mut log = open(&files).log;
        log.append(&group(1, &[800])).unwrap();
        files.fail(Failure::once(Operation::Rename, 5));
        files.fail(Failure { skip: 1, ..Failure::once(Operation::Remove, 5) });
        log.append(&group(2, &[800])).unwrap_err();
        log.sync().unwrap();
        log.append(&group(2, &[800])).unwrap();
        let files = files.cut(seed, Cut::Pieces(512));
        twice += usize::from(files.paths().len() == 3);
        let Opened { mut log, groups, .. } = open(&files);
        log.append(&group(3, &[800])).unwrap();
        log.sync().unwrap();
        assert_eq!(open(&files.cut(0, Cut::Drop)).groups.len(), groups.len() + 1);
    }
    assert!(twice > 0);
}

#[test]
fn a_segment_of_which_only_the_name_is_left_hides_no_loss_and_makes_none_up() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.append(&group(1, &[10])).unwrap();
    log.sync().unwrap();
    let Opened { log, .. } = open(&files);
    let from = log.end();
    files.put(&Path::new(DIR).join("log/00000002.seg"), &[]);
    let mut log = try_open(&files, SMALL, Some(from)).unwrap().log;
    log.append(&group(2, &[10])).unwrap();
    log.sync().unwrap();
    log.remove(1).unwrap();
    let opened = try_open(&files, SMALL, Some(from)).unwrap();
    assert_eq!(opened.contents(), [contents(2, &[10])]);
    assert!(opened.replayed.holes.is_empty(), "{:?}", opened.replayed);
}

#[test]
fn groups_that_were_given_up_never_come_back() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.sync().unwrap();
    let at = log.append(&group(1, &[10])).unwrap().offset as usize;
    log.append(&group(2, &[10])).unwrap();
    let path = files.paths()[0].clone();
    let whole = files.contents(&path).unwrap();
    let mut torn = whole.clone();
    torn[at] ^= 1;
    for cannot_cut in [false, true] {
        let files = SimulatedFiles::new();
        files.put(&path, &torn);
        if cannot_cut {
            files.fail(Failure::once(Operation::SetLen, 5));
        }
        let Opened { mut log, groups, replayed } = open(&files);
        assert!(groups.is_empty() && replayed.torn_bytes > 0);
        let kept = files.contents(&path).unwrap().len();
        assert_eq!(kept, if cannot_cut { whole.len() } else { 32 });
        log.append(&group(3, &[10])).unwrap();
        log.sync().unwrap();
        // Even if the torn one can be read after all.
        files.put(&path, &whole);
        assert_eq!(open(&files).contents(), [contents(3, &[10])]);
    }
}

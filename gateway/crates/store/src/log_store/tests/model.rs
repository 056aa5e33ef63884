use broker::durable::{Op, Urgency};
use mqtt::QoS;
use proptest::prelude::*;

use super::{
    harness::{
        message, put, put_received, put_retained, put_session, put_subscription, release, remove,
        remove_received, remove_retained, remove_session, remove_subscription,
    },
    machine::{Machine, TINY},
};
use crate::{Cut, Failure, Operation, Store};

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Op>, Urgency),
    Sync,
    Maintain,
    Check,
    Restart(u64, Cut),
    /// The machine stops after so many more operations on files.
    Stop(u64, Vec<Op>, u64, Cut),
    Fail(Operation, i32, u8),
    FailEngine(bool),
    /// The process ends, and the engine comes up without its last batch.
    RollBack,
}

fn any_ops() -> impl Strategy<Value = Vec<Op>> {
    let session = 0..3_u32;
    let sequence = 0..300_u64;
    let number = 0..40_u64;
    let op = prop_oneof![
        3 => session.clone().prop_map(put_session),
        1 => session.clone().prop_map(remove_session),
        1 => session.clone().prop_map(|s| put_subscription(s, "a/+", QoS::AtLeastOnce)),
        1 => session.clone().prop_map(|s| remove_subscription(s, "a/+")),
        16 => (session.clone(), sequence.clone(), number).prop_map(|(s, n, m)| {
            put(s, n, m, &message("t/u", [10, 100, 1_000, 6_000][usize::try_from(m % 4).unwrap()]))
        }),
        2 => (session.clone(), sequence.clone()).prop_map(|(s, n)| release(s, n)),
        1 => (session.clone(), 1..4_u16).prop_map(|(s, id)| put_received(s, id)),
        1 => (session.clone(), 1..4_u16).prop_map(|(s, id)| remove_received(s, id)),
        1 => (0..900_usize).prop_map(|len| put_retained("r", len)),
        1 => Just(remove_retained("r")),
    ];
    let single = prop::collection::vec(op, 0..16);
    // Queues are emptied from their front, a stretch at a time.
    let stretch = (session, sequence, 0..100_u64)
        .prop_map(|(s, from, len)| (from..from + len).map(|n| remove(s, n)).collect::<Vec<_>>());
    prop_oneof![3 => single, 1 => stretch]
}

fn any_cut() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::Drop), Just(Cut::Process), Just(Cut::Pieces(512)), Just(Cut::Torn)]
}

fn any_urgency() -> impl Strategy<Value = Urgency> {
    prop_oneof![
        2 => Just(Urgency::Now),
        1 => Just(Urgency::Soon),
        1 => Just(Urgency::Whenever),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let operation = prop_oneof![Just(Operation::Write), Just(Operation::SyncData)];
    let errno = prop::sample::select(vec![5, 28]);
    prop_oneof![
        12 => (any_ops(), any_urgency()).prop_map(|(ops, urgency)| Step::Commit(ops, urgency)),
        1 => Just(Step::Sync),
        6 => Just(Step::Maintain),
        1 => Just(Step::Check),
        1 => (any::<u64>(), any_cut()).prop_map(|(seed, cut)| Step::Restart(seed, cut)),
        2 => (0..30_u64, any_ops(), any::<u64>(), any_cut())
            .prop_map(|(after, ops, seed, cut)| Step::Stop(after, ops, seed, cut)),
        1 => (operation, errno, any::<u8>())
            .prop_map(|(operation, errno, partly)| Step::Fail(operation, errno, partly)),
        1 => any::<bool>().prop_map(Step::FailEngine),
        1 => Just(Step::RollBack),
    ]
}

fn run(steps: Vec<Step>) {
    let mut machine = Machine::new(TINY);
    for step in steps {
        match step {
            Step::Commit(ops, urgency) => {
                let mut tries = 0;
                while machine.commit(&ops, urgency).is_err() {
                    tries += 1;
                    assert!(tries < 5, "it fails for ever");
                }
            }
            Step::Sync => drop(machine.sync()),
            Step::Maintain => drop(machine.maintain()),
            Step::Check => machine.check(),
            Step::Restart(seed, cut) => {
                let loaded = machine.restart(seed, cut);
                assert_eq!(loaded.incidents, []);
            }
            Step::Stop(after, ops, seed, cut) => {
                machine.files.stop_at(Some(machine.files.operations() + after));
                // Until it is off, or there is nothing left to do.
                for _ in 0..4 {
                    let _ = machine.commit(&ops, Urgency::Now).and_then(|()| machine.maintain());
                }
                let loaded = machine.restart(seed, cut);
                assert_eq!(loaded.incidents, []);
            }
            Step::Fail(operation, errno, partly) => {
                let failure = Failure { partly, ..Failure::once(operation, errno) };
                machine.files.fail(failure);
            }
            Step::RollBack => {
                machine.engine = machine.engine.rolled_back();
                let loaded = machine.restart(0, Cut::Process);
                assert_eq!(loaded.incidents, []);
            }
            Step::FailEngine(applied) => machine.engine.fail_next([Some(applied)]),
        }
    }
    machine.files.heal();
    machine.check();
    machine.restart(0, Cut::Process);
    while machine.store.maintain().is_err() {}
    machine.maintain().unwrap();
    machine.check();
    assert_eq!(machine.restart(0, Cut::Drop).incidents, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_was_synced_is_there(steps in prop::collection::vec(any_step(), 1..60)) {
        run(steps);
    }
}

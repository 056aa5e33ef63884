//! A few hundred seeds; `cargo xtask sim` runs more of them, faster.

const SEEDS: u64 = 200;
const STEPS: u32 = 300;

#[test]
fn promises_are_kept_whatever_happens() {
    let outcomes: Vec<_> =
        (1..=SEEDS).map(|seed| portcullis_simulation::run(seed, STEPS)).collect();
    let delivered: usize = outcomes.iter().map(|outcome| outcome.delivered).sum();
    let published: usize = outcomes.iter().map(|outcome| outcome.published).sum();
    assert!(
        delivered > published && published > 10_000,
        "a simulation in which little happens proves little: {published} sent, {delivered} came"
    );
}

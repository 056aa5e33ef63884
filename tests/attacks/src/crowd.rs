//! Some clients, each busy until the end.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::field::Field;
use crate::tally::Tally;

/// How long clients may take to end when the time is over.
const END: Duration = Duration::from_secs(2);

/// Has so many clients do something, and adds up what they counted.
pub(crate) fn crowd<F>(field: &Field, count: usize, one: impl Fn(usize) -> F) -> Tally
where
    F: Future<Output = Tally> + Send + 'static,
{
    field.runtime().block_on(async {
        let mut clients: JoinSet<Tally> = (0..count).map(one).collect();
        let mut tally = Tally::default();
        while let Ok(Some(done)) = timeout_at(field.until() + END, clients.join_next()).await {
            match done {
                Ok(counted) => tally.join(&counted),
                Err(_) => tally.note("the attacker failed"),
            }
        }
        tally.add("still under way", clients.len() as u64);
        tally
    })
}

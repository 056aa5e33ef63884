//! Many short encounters, or long ones that are begun one after the other.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::field::Field;
use crate::pace::Pace;
use crate::tally::Tally;

/// How long encounters may take to end when the time is over.
const END: Duration = Duration::from_secs(2);

/// How large a storm is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Encounters that are begun each second.
    pub(crate) rate: u32,
    /// Encounters that are under way, at most. No more are begun then.
    pub(crate) at_once: usize,
}

/// Begins encounters until the field's time is over, and counts what each says of its outcome.
pub(crate) fn storm<F>(field: &Field, size: Size, one: impl Fn(u64) -> F) -> Tally
where
    F: Future<Output = String> + Send + 'static,
{
    field.runtime().block_on(async {
        let (mut tally, mut pace) = (Tally::default(), Pace::new(size.rate));
        let mut under_way = JoinSet::new();
        for number in 0.. {
            pace.next().await;
            while let Some(done) = under_way.try_join_next() {
                tally.note(done.as_deref().unwrap_or("the attacker failed"));
            }
            if field.is_over() {
                break;
            }
            if under_way.len() < size.at_once {
                tally.note("begun");
                under_way.spawn(one(number));
            }
        }
        while let Ok(Some(done)) = timeout(END, under_way.join_next()).await {
            tally.note(done.as_deref().unwrap_or("the attacker failed"));
        }
        tally.add("still under way", under_way.len() as u64);
        tally
    })
}

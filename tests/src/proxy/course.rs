use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{OneWay, Way, Weather};

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;

/// How often bytes are passed on where there may be only so many a second.
const DRIP: Duration = Duration::from_millis(20);

/// One direction of one connection.
pub(super) struct Course<'a> {
    way: Way,
    orders: &'a watch::Sender<Weather>,
    weather: watch::Receiver<Weather>,
    passed: &'a AtomicU64,
    /// What was done before it began does not concern it.
    resets: u64,
    half_closes: u64,
    /// The order to cut that was carried out last, or was there before without an end.
    cut: u64,
    /// Bytes until it is cut.
    left: Option<u64>,
    /// Bytes were swallowed.
    has_hole: bool,
}

/// The connection is to be reset.
pub(super) struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// Whether a direction goes on.
enum Flow {
    On,
    Ended,
}

impl<'a> Course<'a> {
    pub(super) fn new(way: Way, orders: &'a watch::Sender<Weather>, passed: &'a AtomicU64) -> Self {
        let weather = orders.subscribe();
        let seen = *weather.borrow();
        let one = seen.ways[way.index()];
        Self {
            way,
            orders,
            weather,
            passed,
            resets: seen.resets,
            half_closes: one.half_closes,
            cut: 0,
            left: None,
            has_hole: false,
        }
    }

    /// Passes bytes on until the direction ends, which is no error, or the connection is to be reset.
    pub(super) async fn run(
        mut self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> Result<(), Broken> {
        let mut piece = vec![0; PIECE];
        loop {
            if let Flow::Ended = self.look()? {
                to.shutdown().await?;
                return Ok(());
            }
            let count = tokio::select! {
                changed = self.weather.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err(Broken),
                },
                read = from.read(&mut piece) => read?,
            };
            if count == 0 {
                to.shutdown().await?;
                return Ok(());
            }
            if let Flow::Ended = self.pass(&piece[..count], &mut to).await? {
                to.shutdown().await?;
                return Ok(());
            }
        }
    }

    /// Takes notice of what is done to connections.
    fn look(&mut self) -> Result<Flow, Broken> {
        let weather = *self.weather.borrow_and_update();
        let one = weather.ways[self.way.index()];
        if weather.resets != self.resets || self.has_hole && !one.swallows {
            return Err(Broken);
        }
        if one.cut.0 != self.cut {
            (self.cut, self.left) = one.cut;
        } else if one.cut.1.is_none() {
            self.left = None;
        }
        Ok(if one.half_closes == self.half_closes { Flow::On } else { Flow::Ended })
    }

    /// Passes a piece on, or does not.
    async fn pass(&mut self, mut piece: &[u8], to: &mut WriteHalf<'_>) -> Result<Flow, Broken> {
        // What was ordered just now is not to end the wait that it orders.
        if let Flow::Ended = self.look()? {
            return Ok(Flow::Ended);
        }
        let delay = self.one().delay;
        if !delay.is_zero() {
            self.wait(delay).await?;
        }
        while !piece.is_empty() {
            if let Flow::Ended = self.look()? {
                return Ok(Flow::Ended);
            }
            let one = self.one();
            if one.swallows {
                self.has_hole = true;
                return Ok(Flow::On);
            }
            let most = one.bytes_per_second.map_or(piece.len(), per_drip).min(piece.len());
            let most =
                self.left.map_or(most, |left| most.min(usize::try_from(left).unwrap_or(most)));
            let now = &piece[..most];
            let count = tokio::select! {
                // Whoever does not read is cut off all the same.
                changed = self.weather.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err(Broken),
                },
                written = to.write(now) => written?,
            };
            self.passed.fetch_add(count as u64, Ordering::Relaxed);
            piece = &piece[count..];
            self.count_down(count as u64)?;
            if one.bytes_per_second.is_some() {
                self.wait(DRIP).await?;
            }
        }
        Ok(Flow::On)
    }

    fn count_down(&mut self, passed: u64) -> Result<(), Broken> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left = left.saturating_sub(passed);
        if *left > 0 {
            return Ok(());
        }
        // The order is carried out, and not for the next connection too.
        let (at, number) = (self.way.index(), self.cut);
        self.orders.send_if_modified(|weather| {
            let cut = &mut weather.ways[at].cut;
            if cut.0 == number {
                cut.1 = None;
            }
            false
        });
        Err(Broken)
    }

    /// Waits, and no longer than until something else is the case.
    async fn wait(&mut self, time: Duration) -> Result<(), Broken> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            changed = self.weather.changed() => changed.map_err(|_| Broken),
        }
    }

    fn one(&self) -> OneWay {
        self.weather.borrow().ways[self.way.index()]
    }
}

fn per_drip(bytes_per_second: u32) -> usize {
    let drips = 1000 / DRIP.as_millis() as usize;
    (bytes_per_second as usize / drips).max(1)
}

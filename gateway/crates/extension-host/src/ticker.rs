//! The clock hand that lets a running guest be stopped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// How often a running guest is looked at, and so the error of a deadline.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Ticks without a guest inside after which the thread sleeps until the next call: a gateway at rest
/// must not wake its processor 500 times a second.
const IDLE_TICKS: u32 = 50;

/// Moves the engine's epoch while guests run. Its thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    /// Starts the thread; `tick` moves the epoch.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let handle = thread::Builder::new().name("extension-ticker".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&tick)
        })?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Says that a guest is about to run; it counts as running until the guard is dropped.
    pub(crate) fn enter(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

impl Ticker {
    /// As [`enter`](Self::enter), with a guard that stands for itself.
    pub(crate) fn stay(&self) -> Presence {
        std::mem::forget(self.enter());
        Presence(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // The thread runs nothing that panics, and at exit there is nobody to tell.
            let _ = handle.join();
        }
    }
}

pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A guest that may run.
pub(crate) struct Presence(Arc<Shared>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, tick: &impl Fn()) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else if idle < IDLE_TICKS {
                idle += 1;
            } else {
                self.rest();
                idle = 0;
                continue;
            }
            thread::sleep(TICK);
            tick();
        }
    }

    /// Sleeps until a guest runs. `parked` is set before `running` is read and `enter` does the reverse,
    /// so one of the two sees the other; an `unpark` that comes first makes `park` return at once.
    fn rest(&self) {
        self.parked.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_while_something_runs_rests_after_it_and_wakes_again() {
        let ticks = Arc::new(AtomicUsize::new(0));
        let ticker = Ticker::start({
            let ticks = Arc::clone(&ticks);
            move || {
                ticks.fetch_add(1, Ordering::SeqCst);
            }
        })
        .unwrap();
        let wait_for = |what: &dyn Fn() -> bool| {
            for _ in 0..2_000 {
                if what() {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
            panic!("did not happen in 10 s");
        };

        let running = ticker.enter();
        wait_for(&|| ticks.load(Ordering::SeqCst) > IDLE_TICKS as usize * 2);
        drop(running);
        wait_for(&|| ticker.shared.parked.load(Ordering::SeqCst));
        let rested = ticks.load(Ordering::SeqCst);
        thread::sleep(TICK * 20);
        assert_eq!(ticks.load(Ordering::SeqCst), rested, "no tick at rest");

        let _running = ticker.enter();
        wait_for(&|| ticks.load(Ordering::SeqCst) > rested);
    }
}

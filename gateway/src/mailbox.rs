use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use atomic_waker::AtomicWaker;
use broker::Outbox;

/// How the hub reaches the task of one connection.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waker: AtomicWaker,
    /// Something is to be fetched from the hub.
    rung: AtomicBool,
    /// The broker has let go of the connection.
    closed: AtomicBool,
    /// What to write last.
    last: Mutex<Option<Outbox>>,
}

impl Mailbox {
    /// Tells the link to look at the hub.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Leaves the last bytes of the connection.
    pub(crate) fn close(&self, outbox: Outbox) {
        if let Ok(mut last) = self.last.lock() {
            *last = Some(outbox);
        }
        self.closed.store(true, Ordering::Release);
        self.ring();
    }

    /// Has the link's task woken by the next ring.
    pub(crate) fn listen(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// Whether the bell was rung since the last call.
    pub(crate) fn take_ring(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::Acquire)
    }

    /// Whether the broker has let go of the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The last bytes, once.
    pub(crate) fn take_last(&self) -> Option<Outbox> {
        self.last.lock().ok()?.take()
    }
}

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use transport::{Incoming, Listener};

use crate::chain::Chain;
use crate::greeting::{self, Greeting};
use crate::hub::Hub;
use crate::judge::Judge;
use crate::link::{Link, Step};
use crate::report::Reporter;
use crate::screen::Screen;
use crate::sentry::{Sentry, Visit};

/// A listener with all that its connections need.
pub(crate) struct Door {
    pub(crate) name: Arc<str>,
    pub(crate) chain: Chain,
    /// The extensions of the chain that look at messages.
    pub(crate) screen: Arc<Screen>,
    /// The number by which the broker knows what they want to see.
    pub(crate) number: u16,
    pub(crate) hub: Arc<Hub>,
    pub(crate) reporter: Arc<Reporter>,
    /// Who may knock.
    pub(crate) sentry: Arc<Sentry>,
    pub(crate) max_packet_size: u32,
    /// Whether MQTT 3.1 is spoken here too.
    pub(crate) mqtt_3_1: bool,
    /// What acknowledgements wait for, where topics say nothing else.
    pub(crate) durability: broker::Durability,
    /// Time for handshake, CONNECT and decision.
    pub(crate) connect_timeout: Duration,
    /// Time for a packet of a client that is in, once it has begun.
    pub(crate) packet_timeout: Duration,
    /// A place per connection that may be between its first byte and its CONNECT.
    pub(crate) handshakes: Semaphore,
    /// Places for questions of connected clients.
    pub(crate) bench: Arc<Semaphore>,
    /// A place per connection that there may be.
    pub(crate) places: Arc<Semaphore>,
    /// Becomes true when the gateway stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Door {
    /// Accepts connections until it is dropped. At the limit none is accepted: more wait in the
    /// kernel, which refuses them when its own queue is full.
    pub(crate) async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok(incoming) => {
                    self.hub.sockets.increment();
                    let Some((incoming, visit)) = self.sentry.screen(&self.name, incoming) else {
                        continue;
                    };
                    let door = Arc::clone(&self);
                    tokio::spawn(async move {
                        door.serve(incoming, visit).await;
                        drop(place);
                    });
                }
                Err(error) => tracing::warn!(
                    listener = &*self.name,
                    error = %error,
                    "connection not accepted; the system is short of something"
                ),
            }
        }
    }

    /// One connection from its first byte to its last.
    async fn serve(self: Arc<Self>, incoming: Incoming, mut visit: Visit) {
        let mut stopping = self.stopping.clone();
        // Boxed, so that a connection that is in does not go on paying for the way in.
        let greeting = Box::pin(greeting::greet(&self, incoming, &mut visit));
        let greeting = tokio::select! {
            greeting = greeting => greeting,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let Some(mut greeting) = greeting else { return };
        drop(self);
        let Greeting { link, judge } = &mut *greeting;
        run(link, judge).await;
        drop(visit);
    }
}

/// Runs a link to its end. What is waited for seldom is boxed: a connection that has nothing to ask does not pay for the room that
/// asking takes.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, judge: &mut Judge) {
    loop {
        match link.run(judge).await {
            Step::Ask(question) => link.answer(Box::pin(judge.answer(question)).await),
            Step::Review(deliveries) => link.reviewed(Box::pin(judge.review(deliveries)).await),
            Step::Yield => tokio::task::yield_now().await,
            Step::Done => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each connection has one of these for as long as it lasts.
    #[test]
    fn the_task_of_a_connection_is_small() {
        fn size<Future>(_: fn(Arc<Door>, Incoming, Visit) -> Future) -> usize {
            size_of::<Future>()
        }
        let bytes = size(Door::serve);
        assert!(bytes <= 1024, "{bytes} bytes");
    }
}

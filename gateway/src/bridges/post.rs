use std::sync::Arc;

use config::Bridge;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::agent::Agent;
use super::review::Review;
use super::status::Status;
use super::wish::Wish;

/// A bridge that is kept connected, and the way to have its agent do something else.
pub(super) struct Post {
    pub(super) bridge: Bridge,
    pub(super) status: Arc<Status>,
    /// Who sees what is sent; `None` if nobody does.
    pub(super) review: Option<Arc<Review>>,
    wishes: watch::Sender<Wish>,
    /// Until it begins.
    agent: Option<Agent>,
    task: Option<JoinHandle<bool>>,
}

impl Post {
    pub(super) fn new(bridge: Bridge, agent: Agent, wish: Wish) -> Self {
        let (status, review, agent) = (agent.status(), agent.review(), Some(agent));
        Self { bridge, status, review, wishes: watch::Sender::new(wish), agent, task: None }
    }

    pub(super) fn begin(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.task = Some(tokio::spawn(agent.run(self.wishes.subscribe())));
        }
    }

    /// Has it do something else.
    pub(super) fn wishes(&self, wish: Wish) {
        self.wishes.send_if_modified(|present| std::mem::replace(present, wish) != wish);
    }

    pub(super) fn wish(&self) -> Wish {
        *self.wishes.borrow()
    }

    /// Has it end, and waits for that; answers whether upstream was told what it had to be.
    pub(super) async fn end(&mut self, wish: Wish) -> bool {
        self.wishes(wish);
        match self.task.take() {
            Some(task) => task.await.unwrap_or(false),
            None => false,
        }
    }

    pub(super) fn abort(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Whether a bridge that is stated so goes on with the session that this one has at upstream.
    pub(super) fn meets_again(&self, stated: &Bridge) -> bool {
        let url = self.status.view().url;
        stated.client_id == self.bridge.client_id
            && stated.upstreams.iter().any(|upstream| upstream.url == url)
    }
}

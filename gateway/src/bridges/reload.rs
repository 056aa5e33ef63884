use std::collections::BTreeSet;
use std::sync::Arc;

use config::{Bridge, Checked};
use extension_host::Extension;

use super::agent::Agent;
use super::session::Session;
use super::sessions::Sessions;
use super::wish::Wish;
use super::{Bridges, CLIENT_ID_PREFIX, Post, identity, review, settings};

/// Sessions that are looked at for those of bridges that are gone, at a time: how long the hub is held.
const PAGE: usize = 1000;

/// What is to be done with a bridge.
struct Change {
    /// What it becomes; `None` for one that goes.
    stated: Option<Bridge>,
    /// What it was; `None` for one that is new.
    before: Option<Post>,
    /// Whether it waits for the operator.
    pauses: bool,
}

impl Bridges {
    /// Takes over what has changed of the bridges: new ones begin, changed ones connect again by their new rules, those that
    /// are gone end. The first two have what they ask for before anything is taken from anybody, so that a topic that goes
    /// from one bridge to another is missed by none.
    pub(crate) async fn reload(self: &Arc<Self>, fresh: &Arc<Checked>) {
        let changes = self.changes(fresh);
        if changes.is_empty() {
            tracing::debug!("bridges are as they were");
            return;
        }
        let stopping = changes.into_iter().map(|change| tokio::spawn(change.stop()));
        let mut stopped = Vec::new();
        for stopping in stopping.collect::<Vec<_>>() {
            // One that panicked had said so; its bridge begins anew with the next start.
            if let Ok(change) = stopping.await {
                stopped.push(change);
            }
        }
        let bridges = Arc::clone(self);
        let built = tokio::task::spawn_blocking(move || bridges.build(stopped)).await;
        let Ok(posts) = built else {
            tracing::error!(
                "reload did not end in order; changed bridges begin with the next start"
            );
            return;
        };
        let mut all = self.lock();
        for mut post in posts {
            post.begin();
            all.insert(post.bridge.name.clone(), post);
        }
        let bridges = all.len();
        drop(all);
        // What extensions want to see may have changed while nobody could be told.
        self.look(&self.extensions.message_grants());
        tracing::info!(bridges, "bridges reloaded");
    }

    /// What is to be done; bridges that end or change are taken out.
    fn changes(&self, fresh: &Checked) -> Vec<Change> {
        let mut all = self.lock();
        let names: BTreeSet<String> = fresh.bridges.iter().map(|it| it.name.clone()).collect();
        let gone: Vec<String> = all.keys().filter(|name| !names.contains(*name)).cloned().collect();
        let gone = gone.iter().map(|name| Change {
            stated: None,
            before: all.remove(name),
            pauses: false,
        });
        let mut changes: Vec<_> = gone.collect();
        for stated in fresh.bridges.iter().filter(|stated| self.has_extensions_of(stated)) {
            if all.get(&stated.name).is_none_or(|post| post.bridge != *stated) {
                let before = all.remove(&stated.name);
                let pauses = before.as_ref().is_some_and(|post| post.wish() == Wish::Pause);
                changes.push(Change { stated: Some(stated.clone()), before, pauses });
            }
        }
        changes
    }

    /// Whether those are loaded that are to see what it sends, and can. Without them it would send what nobody has seen.
    fn has_extensions_of(&self, stated: &Bridge) -> bool {
        let is_loaded = |name: &String| {
            let sees = |it: &Extension| it.name() == *name && it.hooks().publish_interceptor;
            self.extensions.all().any(sees)
        };
        let lacks = stated.extensions.iter().find(|name| !is_loaded(name));
        if let Some(extension) = lacks {
            tracing::error!(
                bridge = stated.name,
                extension,
                "bridge not taken over from the configuration; its extension is not loaded, or does not look at messages"
            );
        }
        lacks.is_none()
    }

    /// Sees to the sessions of bridges that have stopped, and makes agents of those that go on. Blocks.
    fn build(&self, changes: Vec<Change>) -> Vec<Post> {
        let sessions = |bridge: &Bridge| Sessions::new(bridge, &self.running, &self.hub);
        let (stay, go): (Vec<_>, Vec<_>) = changes.into_iter().partition(|it| it.stated.is_some());
        let mut staying = Vec::new();
        for change in stay {
            let Some(stated) = change.stated else { continue };
            let sessions = sessions(&stated);
            sessions.widen();
            let wish = if change.pauses { Wish::Pause } else { Wish::Run };
            staying.push((stated, sessions, change.before, wish));
        }
        for change in go {
            if let Some(post) = change.before {
                sessions(&post.bridge).retire();
            }
        }
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => identity::open(&self.running.data).unwrap_or_else(|failure| {
                tracing::error!(%failure, "this gateway has no identity for others; its bridges have none");
                String::new()
            }),
        };
        let post =
            |(stated, mut sessions, before, wish): (Bridge, Sessions, Option<Post>, Wish)| {
                sessions.prepare();
                let settings = Arc::new(settings(&stated, &self.running, &identity));
                let data = &self.running.data;
                let review = review(&stated, &self.extensions);
                let agent =
                    Agent::new(stated.clone(), settings, sessions, review, self.clock, data);
                let agent = match &before {
                    Some(before) => agent.with_status(&before.status),
                    None => agent,
                };
                let is_new = before.is_none();
                tracing::info!(
                    bridge = stated.name,
                    is_new,
                    "bridge taken over from the configuration"
                );
                Post::new(stated, agent, wish)
            };
        staying.into_iter().map(post).collect()
    }

    /// Ends sessions of bridges that no configuration has any more: nothing more waits in them. Blocks.
    pub(super) fn retire_others(&self) {
        let names: BTreeSet<String> = self.lock().keys().cloned().collect();
        let (mut from, mut others) = (Some(0), Vec::new());
        while let Some(place) = from {
            let page = self.hub.guests(place, PAGE).page;
            for session in page.sessions {
                let name = session.client_id.strip_prefix(CLIENT_ID_PREFIX);
                // Behind it stands the priority, which is for the bridge to know.
                let name = name.map(|name| name.split_once('/').map_or(name, |(name, _)| name));
                let is_other = name.is_some_and(|name| !names.contains(name));
                // One without subscriptions was seen to before, and is to come to its end.
                if is_other && session.subscriptions > 0 {
                    others.push(session.client_id);
                }
            }
            from = page.next;
        }
        for client_id in others {
            Session::of(client_id, None, Vec::new(), &self.running, Arc::clone(&self.hub)).retire();
        }
    }
}

impl Change {
    /// Ends the agent, if there is one.
    async fn stop(mut self) -> Self {
        if let Some(post) = &mut self.before {
            let stays = self.stated.as_ref().is_some_and(|stated| post.meets_again(stated));
            let told = post.end(if stays { Wish::Stop } else { Wish::Withdraw }).await;
            if !stays && !told {
                tracing::warn!(
                    bridge = post.bridge.name,
                    url = post.status.view().url,
                    "upstream was not told that this bridge does not come back; it may keep its session and subscriptions"
                );
            }
        }
        self
    }
}

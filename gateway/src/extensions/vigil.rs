use std::path::PathBuf;
use std::sync::Arc;

use transport::Stamp;

use super::loaded::lock;
use super::{Attempt, Extensions};
use crate::package;
use crate::watched::{LOOK_EVERY, Watched};

/// The files of an extension that is to be loaded whenever they change.
#[derive(Debug)]
pub(super) struct Vigil {
    files: Vec<PathBuf>,
    watched: Watched,
}

impl Vigil {
    /// Over the component, its signature and each of `files`, if that is wanted. To be begun before they are read.
    pub(super) fn over(stated: &config::Extension) -> Option<Self> {
        if !stated.watch {
            return None;
        }
        let component = package::files_of(&stated.component);
        let files: Vec<_> = component.into_iter().chain(stated.files.values().cloned()).collect();
        let watched = Watched::new(look(&files));
        Some(Self { files, watched })
    }

    /// Whether the files have changed, and look since the last time as they do now.
    fn is_due(&mut self) -> bool {
        let due = self.watched.changed_since(look(&self.files)).is_some();
        if due {
            self.watched.settle();
        }
        due
    }
}

fn look(files: &[PathBuf]) -> Stamp {
    Stamp::of_files(files.iter().map(PathBuf::as_path))
}

impl Extensions {
    /// Looks at the files of extensions that are to follow them, for ever. Wakes nobody while there are none.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let extensions = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || extensions.look()).await {
                Ok(0) => self.followed.notified().await,
                Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => {
                    tracing::error!(
                        "look at extensions did not end in order; they stay as they are"
                    );
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Loads what is due; answers how many extensions follow their files.
    fn look(&self) -> usize {
        for (extension, last) in &self.loaded {
            let due = lock(last).vigil.as_mut().is_some_and(Vigil::is_due);
            if due {
                self.follow(extension.name());
            }
        }
        self.loaded.iter().filter(|(_, last)| lock(last).vigil.is_some()).count()
    }

    /// Loads what the files of an extension have become, as a reload does. What an operator tries beside is left alone.
    fn follow(&self, name: &str) {
        if self.is_tried_aside(name) {
            tracing::warn!(
                extension = name,
                "files of the extension have changed and are not loaded, because a version is tried beside it; \
                 promote, abandon or reload that first"
            );
            return;
        }
        match self.attempt(name, Attempt::Trial) {
            Ok(report) => tracing::info!(
                extension = &*report.after,
                before = &*report.before,
                outcome = report.outcome.name(),
                "files of the extension have changed"
            ),
            Err(error) => tracing::error!(
                extension = name,
                %error,
                "files of the extension have changed and cannot be loaded; it goes on as it is"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file that is still being written is left alone; one that is gone and comes back is loaded again.
    #[test]
    fn files_are_loaded_when_they_have_come_to_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules");
        fs::write(&file, "one").unwrap();
        let files = vec![file.clone()];
        let mut vigil = Vigil { watched: Watched::new(look(&files)), files };
        assert!(!vigil.is_due());
        fs::write(&file, "one and").unwrap();
        assert!(!vigil.is_due(), "it has only just changed");
        fs::write(&file, "one and two").unwrap();
        assert!(!vigil.is_due(), "it is still being written");
        assert!(vigil.is_due());
        assert!(!vigil.is_due(), "once");
        fs::remove_file(&file).unwrap();
        assert!(!vigil.is_due());
        fs::write(&file, "three").unwrap();
        assert!(!vigil.is_due());
        assert!(vigil.is_due());
    }
}

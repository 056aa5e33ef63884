use std::time::Duration;

use portcullis_session::{KeepAlive, Timestamp};

use super::{Reached, Source};

pub(crate) const ALL: &[&str] = &["unwatched", "heard", "end of time"];

/// The deadline is one and a half times the Keep Alive after the client was heard last.
pub(crate) fn check(source: &mut Source<'_>, reached: &mut Reached) {
    let seconds = source.short();
    let mut now = match source.flag() {
        true => Timestamp::from_unix_ms(u64::MAX - 50_000),
        false => Timestamp::from_unix_ms(source.short().into()),
    };
    let mut watch = KeepAlive::new(seconds, now);
    loop {
        let limit = u64::from(seconds) * 1500;
        let deadline = now.as_unix_ms().checked_add(limit);
        let expected = (seconds > 0).then(|| deadline.unwrap_or(u64::MAX));
        assert_eq!(watch.deadline().map(Timestamp::as_unix_ms), expected);
        reached.insert(match (expected, deadline) {
            (None, _) => "unwatched",
            (Some(_), Some(_)) => "heard",
            (Some(_), None) => "end of time",
        });
        if source.is_empty() {
            return;
        }
        now = now.after(Duration::from_millis(source.short().into()));
        watch.heard(now);
    }
}

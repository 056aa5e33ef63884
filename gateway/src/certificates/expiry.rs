use std::time::{SystemTime, UNIX_EPOCH};

use transport::{Credential, CredentialKind, utc};

const DAY_S: i64 = 24 * 60 * 60;

/// From so long before the end on it is worth a warning: time for an order, an approval and a visit.
const WARN_S: i64 = 30 * DAY_S;

/// From so long before the end on it is an error: a long weekend.
const ERROR_S: i64 = 3 * DAY_S;

/// How urgent an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    None,
    Warn,
    Error,
}

/// How many seconds are left of a credential; negative when it has ended, `None` if it never does.
pub(crate) fn seconds_left(credential: &Credential, now: SystemTime) -> Option<i64> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    credential.not_after_unix_s.map(|end| end.saturating_sub(now))
}

/// Says that a credential ends soon, or has ended.
pub(super) fn remind(listener: &str, credential: &Credential, now: SystemTime) {
    let Some(left) = seconds_left(credential, now) else { return };
    let (kind, file) = (credential.kind.as_str(), credential.path.display());
    let setting = &credential.setting;
    let subject = &credential.subject;
    let ends = credential.not_after_unix_s.map(utc).unwrap_or_default();
    let (days_left, fix) = (left / DAY_S, fix(credential.kind));
    match urgency(left, lasts(credential)) {
        Urgency::None => {}
        Urgency::Warn => tracing::warn!(
            listener, kind, setting, %file, subject, ends, days_left, fix, "certificate or list ends soon"
        ),
        Urgency::Error if left < 0 => tracing::error!(
            listener, kind, setting, %file, subject, ends, days_left, fix, "certificate or list has ended"
        ),
        Urgency::Error => tracing::error!(
            listener, kind, setting, %file, subject, ends, days_left, fix, "certificate or list ends soon"
        ),
    }
}

/// For how long a list was made: one that is replaced every week is always within a month of its end.
/// Certificates are held to the same days however short they live.
fn lasts(credential: &Credential) -> Option<i64> {
    let end = credential.not_after_unix_s?;
    (credential.kind == CredentialKind::ClientCrl)
        .then(|| end.saturating_sub(credential.not_before_unix_s))
}

fn urgency(left: i64, lasts: Option<i64>) -> Urgency {
    let within = |limit: i64, part: i64| lasts.map_or(limit, |lasts| limit.min(lasts / part));
    if left < within(ERROR_S, 30) {
        Urgency::Error
    } else if left < within(WARN_S, 3) {
        Urgency::Warn
    } else {
        Urgency::None
    }
}

fn fix(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ServerCertificate => {
            "renew the certificate (`portcullis cert renew FILE` with the private authority); it is taken over while the gateway runs"
        }
        CredentialKind::ServerIssuer => {
            "have the certificate issued by an authority that lasts longer, and give clients that one's certificate in time"
        }
        CredentialKind::ClientCa => {
            "add the certificate of the authority that follows to the file, and issue clients new certificates by it"
        }
        CredentialKind::ClientCrl => {
            "fetch or make the next list (`portcullis cert crl` with the private authority); it is taken over while the gateway runs"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_announced_in_two_steps() {
        for (days, expected) in [
            (31, Urgency::None),
            (30, Urgency::None),
            (29, Urgency::Warn),
            (3, Urgency::Warn),
            (2, Urgency::Error),
            (-1, Urgency::Error),
        ] {
            assert_eq!(urgency(days * DAY_S, None), expected, "{days}");
        }
    }

    #[test]
    fn a_list_of_a_week_is_announced_in_its_last_days() {
        let of_a_week = |days: i64| urgency(days * DAY_S, Some(7 * DAY_S));
        assert_eq!(of_a_week(6), Urgency::None);
        assert_eq!(of_a_week(2), Urgency::Warn);
        assert_eq!(of_a_week(0), Urgency::Error);
        assert_eq!(urgency(-1, Some(7 * DAY_S)), Urgency::Error);
        assert_eq!(urgency(29 * DAY_S, Some(400 * DAY_S)), Urgency::Warn);
    }
}

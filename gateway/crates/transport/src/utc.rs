//! Moments as people read them.

use time::OffsetDateTime;

/// A moment in seconds since 1970 as `2027-03-01T12:00:00Z` (RFC 3339); the number itself where no
/// calendar has it.
#[must_use]
pub fn utc(unix_s: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(unix_s) else {
        return unix_s.to_string();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second()
    )
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_793_491_261), "2026-11-01T00:01:01Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
        assert_eq!(utc(i64::MAX), i64::MAX.to_string());
    }
}

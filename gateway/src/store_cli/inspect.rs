use std::cmp::Reverse;
use std::io::Write;
use std::time::{Duration, SystemTime};

use broker::durable::{SessionKey, StoredSession};
use serde_json::{Value, json};
use store::{Overview, Survey};

use super::text::{grouped, name, rough};
use super::{output, unwritten};
use crate::failure::Failure;

/// A session as it is shown.
struct Row {
    key: SessionKey,
    client_id: String,
    principal: String,
    version: &'static str,
    /// Milliseconds since 1970; `None` while it is connected.
    away_since: Option<u64>,
    /// `None` for ever.
    expiry_seconds: Option<u32>,
    ended: bool,
    subscriptions: usize,
    queued: usize,
    bytes: usize,
    first_expiry: Option<u64>,
    oldest_before: Option<SystemTime>,
}

/// `portcullis store inspect`
pub(super) fn run(mut survey: Survey, limit: usize, as_json: bool) -> Result<(), Failure> {
    let overview = survey.overview();
    let rows = rows(&mut survey, limit)?;
    let mut out = output();
    let written = match as_json {
        true => writeln!(out, "{}", whole(&overview, &rows)),
        false => sums(&overview, &mut out).and_then(|()| table(&rows, &overview, &mut out)),
    };
    written.and_then(|()| out.flush()).map_err(unwritten)
}

/// The sessions with the most bytes.
fn rows(survey: &mut Survey, limit: usize) -> Result<Vec<Row>, Failure> {
    let mut sessions: Vec<&StoredSession> = survey.sessions().iter().collect();
    sessions.sort_by_key(|it| (Reverse(it.queue.weight), Reverse(it.queue.count), it.key));
    sessions.truncate(limit);
    let sessions: Vec<StoredSession> = sessions.into_iter().cloned().collect();
    let row = |session: StoredSession| {
        let oldest_before = survey.oldest_before(&session).map_err(Failure::Store)?;
        let StoredSession { key, record, subscriptions, queue, .. } = session;
        Ok(Row {
            key,
            client_id: record.client_id.to_string(),
            principal: record.principal.to_string(),
            version: super::export::version(record.version),
            away_since: record.disconnected_at.map(broker::Timestamp::as_unix_ms),
            expiry_seconds: (record.expiry_seconds < u32::MAX).then_some(record.expiry_seconds),
            ended: record.ended,
            subscriptions: subscriptions.len(),
            queued: queue.count,
            bytes: queue.weight,
            first_expiry: queue.first_expiry.map(broker::Timestamp::as_unix_ms),
            oldest_before,
        })
    };
    sessions.into_iter().map(row).collect()
}

fn whole(overview: &Overview, rows: &[Row]) -> Value {
    let segment = |it: &store::Segment| {
        json!({
            "number": it.number,
            "bytes": it.bytes,
            "live_bytes": it.live_bytes,
            "entries": it.entries,
        })
    };
    let session = |row: &Row| {
        json!({
            "session": row.key.0,
            "client_id": row.client_id,
            "principal": row.principal,
            "version": row.version,
            "connected": row.away_since.is_none() && !row.ended,
            "away_since_ms": row.away_since,
            "expiry_seconds": row.expiry_seconds,
            "ended": row.ended,
            "subscriptions": row.subscriptions,
            "queued": row.queued,
            "queued_bytes": row.bytes,
            "first_expiry_ms": row.first_expiry,
            "oldest_before_ms": row.oldest_before.map(unix_ms),
        })
    };
    let checkpoint = overview.checkpoint_at.map(|(segment, offset)| {
        json!({ "segment": segment, "offset": offset, "groups_since": overview.groups_since })
    });
    json!({
        "format": overview.format,
        "checkpoints": overview.checkpoints,
        "checkpoint": checkpoint,
        "database_bytes": overview.engine_bytes,
        "log_bytes": log_bytes(overview),
        "reserve_bytes": overview.reserve_bytes,
        "set_aside_bytes": overview.aside_bytes,
        "quarantined_records": overview.quarantined,
        "segments": overview.segments.iter().map(segment).collect::<Vec<_>>(),
        "sessions": overview.sessions,
        "subscriptions": overview.subscriptions,
        "retained": overview.retained,
        "retained_bytes": overview.retained_bytes,
        "queued": overview.queued,
        "queued_bytes": overview.queued_bytes,
        "largest_sessions": rows.iter().map(session).collect::<Vec<_>>(),
    })
}

fn sums(overview: &Overview, out: &mut impl Write) -> std::io::Result<()> {
    let n = grouped;
    writeln!(out, "format         {}", overview.format)?;
    if let Some((segment, offset)) = overview.checkpoint_at {
        let (made, since) = (n(overview.checkpoints), n(overview.groups_since));
        writeln!(
            out,
            "checkpoint     number {made}, at {offset} of log file {segment:08}; {since} groups since"
        )?;
    }
    writeln!(out, "database       {} bytes", n(overview.engine_bytes))?;
    let live: u64 = overview.segments.iter().map(|it| it.live_bytes).sum();
    let (bytes, files) = (n(log_bytes(overview)), overview.segments.len());
    writeln!(out, "log            {bytes} bytes in {files} files, about {} alive", n(live))?;
    writeln!(out, "reserve        {} bytes for a full disk", n(overview.reserve_bytes))?;
    if overview.aside_bytes > 0 || overview.quarantined > 0 {
        let (aside, records) = (n(overview.aside_bytes), n(overview.quarantined));
        writeln!(out, "set aside      {aside} bytes of databases, {records} records: damaged")?;
    }
    writeln!(out, "sessions       {}", n(overview.sessions))?;
    writeln!(out, "subscriptions  {}", n(overview.subscriptions))?;
    let (count, bytes) = (n(overview.retained), n(overview.retained_bytes));
    writeln!(out, "retained       {count} messages, {bytes} bytes of payload")?;
    writeln!(
        out,
        "queued         {} messages, {} bytes",
        n(overview.queued),
        n(overview.queued_bytes)
    )?;
    if !overview.segments.is_empty() {
        writeln!(out, "\n{:<10}{:>14}{:>14}{:>12}", "LOG FILE", "BYTES", "ALIVE", "MESSAGES")?;
    }
    for it in &overview.segments {
        let (bytes, live, entries) = (n(it.bytes), n(it.live_bytes), n(it.entries));
        writeln!(out, "{:08}  {bytes:>14}{live:>14}{entries:>12}", it.number)?;
    }
    Ok(())
}

fn table(rows: &[Row], overview: &Overview, out: &mut impl Write) -> std::io::Result<()> {
    const WIDTH: usize = 28;
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<WIDTH$} {:<16} {:<15} {:<9} {:>11} {:>15}  OLDER THAN",
        "CLIENT", "PRINCIPAL", "STATE", "EXPIRY", "QUEUED", "BYTES"
    )?;
    let now = SystemTime::now();
    for row in rows {
        let oldest = row.oldest_before.and_then(|then| now.duration_since(then).ok());
        let expiry = row.expiry_seconds.map(|seconds| rough(Duration::from_secs(seconds.into())));
        writeln!(
            out,
            "{:<WIDTH$} {:<16} {:<15} {:<9} {:>11} {:>15}  {}",
            name(&row.client_id, WIDTH),
            name(&row.principal, 16),
            state(row, now),
            expiry.as_deref().unwrap_or("never"),
            grouped(row.queued as u64),
            grouped(row.bytes as u64),
            oldest.map_or("-".to_owned(), rough),
        )?;
    }
    let more = overview.sessions - rows.len() as u64;
    if more > 0 {
        writeln!(out, "and {} more; --limit N shows N", grouped(more))?;
    }
    Ok(())
}

fn state(row: &Row, now: SystemTime) -> String {
    if row.ended {
        return "ended".to_owned();
    }
    let Some(since) = row.away_since else { return "connected".to_owned() };
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(since);
    format!("away {}", rough(now.duration_since(then).unwrap_or_default()))
}

fn log_bytes(overview: &Overview) -> u64 {
    overview.segments.iter().map(|segment| segment.bytes).sum()
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

use std::fmt::Write as _;

use serde_json::Value;

use super::Order;

/// An answer for people. What clients have chosen is shown so that it cannot play tricks on a terminal.
pub(super) fn of(order: &Order, answer: &Value) -> String {
    match order {
        Order::Status { name: None } => {
            let all = list(&answer["extensions"]).iter().map(extension).collect::<Vec<_>>();
            all.join("\n")
        }
        Order::Status { name: Some(_) } => extension(answer),
        Order::Reload { .. } => match answer["outcome"].as_str() {
            Some("unchanged") => format!("{}: nothing has changed", shown(&answer["after"])),
            Some("reconfigured") => {
                format!(
                    "{} has a new configuration; before {}",
                    shown(&answer["after"]),
                    shown(&answer["before"])
                )
            }
            _ => format!(
                "{} is being tried; before {}",
                shown(&answer["after"]),
                shown(&answer["before"])
            ),
        },
        Order::Promote { .. } => {
            format!("{} runs; before {}", shown(&answer["after"]), shown(&answer["before"]))
        }
        Order::Abandon { .. } => {
            format!("{} was given up; {} runs", shown(&answer["before"]), shown(&answer["after"]))
        }
        Order::Explain { .. } => explanation(answer),
        Order::Clients { .. } => clients(answer),
        Order::Client { .. } => client(answer),
        Order::Disconnect { .. } => format!(
            "{} was disconnected with {} ({})",
            shown(&answer["client"]),
            code(&answer["code"]),
            shown(&answer["meaning"])
        ),
        Order::Bridges => bridges(answer),
        Order::Pause { .. } => {
            let does = if answer["paused"] == true { "waits" } else { "goes on" };
            format!("bridge {} {does}", shown(&answer["bridge"]))
        }
        Order::Metrics { .. } => metrics(answer),
        Order::Bans => bans(answer),
        Order::Ban { .. } => {
            let words = format!("{} sent away", answer["disconnected"]);
            format!("banned {}; {words}{}", whom(answer), kept(answer))
        }
        Order::Unban { .. } => {
            format!("the ban of {} was lifted{}", shown(&answer["lifted"]), kept(answer))
        }
    }
}

fn extension(status: &Value) -> String {
    let hooks: Vec<String> = list(&status["hooks"]).iter().map(shown).collect();
    let mut text = format!("{}  {}\n", shown(&status["name"]), hooks.join(", "));
    version(&mut text, "runs", &status["running"]);
    let candidate = &status["candidate"];
    if candidate.is_object() {
        version(&mut text, "tried", candidate);
        line(&mut text, &trial(candidate));
        for difference in list(&candidate["latest_differences"]) {
            let what = shown(&difference["what"]);
            line(
                &mut text,
                &format!(
                    "  {} {}{}{what}: runs: {}; tried: {}",
                    shown(&difference["client"]),
                    shown(&difference["hook"]),
                    if what.is_empty() { "" } else { " " },
                    shown(&difference["running"]),
                    shown(&difference["candidate"])
                ),
            );
        }
    }
    let counters: Vec<String> = status["counters"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.as_u64() != Some(0))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    line(&mut text, &format!("counters  {}", counters.join(", ")));
    text
}

fn version(text: &mut String, verb: &str, version: &Value) {
    line(
        text,
        &format!("{verb}  {}  sha256 {}", shown(&version["version"]), shown(&version["sha256"])),
    );
    for resting in list(&version["resting"]) {
        let (hook, ms) = (shown(&resting["hook"]), &resting["next_attempt_in_ms"]);
        line(text, &format!("  {hook} failed too often and is not called for another {ms} ms"));
    }
}

/// How a version is tried, and what came of it so far.
fn trial(candidate: &Value) -> String {
    let age = candidate["age_ms"].as_u64().map(age).unwrap_or_default();
    let mode = match (candidate["share"].as_u64(), candidate["takes_over_in_ms"].as_u64()) {
        (Some(share), _) => format!("canary for {share} % of the clients"),
        (None, Some(left)) => format!("trial for all clients, for good in {}", self::age(left)),
        (None, None) => shown(&candidate["mode"]),
    };
    let count = |name: &str| candidate[name].as_u64().unwrap_or(0);
    format!(
        "  {mode}, since {age}: {} decisions, {} differences, {} skipped, {} faults",
        count("decisions"),
        count("differences"),
        count("skipped"),
        count("faults")
    )
}

fn explanation(answer: &Value) -> String {
    let mut text = String::new();
    let connect = &answer["connect"];
    if connect.is_object() {
        let by = decider(connect);
        let took = &connect["took_us"];
        let words = match connect["outcome"].as_str() {
            Some("accepted") => format!(
                "connect {}: accepted as {} by {by}, permissions of {} ({} rules), {took} us",
                shown(&connect["client"]),
                shown(&connect["principal"]),
                shown(&connect["permissions_by"]),
                connect["rules"]
            ),
            _ => format!(
                "connect {}: refused with {} by {by}: {}, {took} us",
                shown(&connect["client"]),
                code(&connect["code"]),
                shown(&connect["reason"])
            ),
        };
        let _ = writeln!(text, "{words}");
    }
    for limits in [&connect["limits"], &answer["limits"]] {
        if limits.is_object() {
            let _ = writeln!(text, "    limited to {}", self::limits(limits));
        }
    }
    for decision in list(&answer["decisions"]) {
        let outcome = match decision["outcome"].as_str() {
            Some("allowed") => format!("allowed, QoS {}", decision["granted_qos"]),
            _ => format!("denied with {}", code(&decision["code"])),
        };
        let how = match (
            decision["rule"]["number"].as_u64(),
            decision["cached"].as_bool(),
            decision["asked"].as_bool(),
        ) {
            (Some(number), ..) => format!("rule {number} of {}", decider(decision)),
            (None, Some(true), _) => format!("remembered answer of {}", decider(decision)),
            (None, _, Some(true)) => format!("asked {}", decider(decision)),
            _ => decider(decision),
        };
        let _ = writeln!(
            text,
            "{} {}: {outcome}\n    {how}, {} us\n    {}",
            shown(&decision["action"]),
            shown(&decision["topic"]),
            decision["took_us"],
            shown(&decision["reason"])
        );
        let interceptors: Vec<_> = list(&decision["interceptors"]).iter().map(shown).collect();
        if !interceptors.is_empty() {
            let who = interceptors.join(", ");
            let _ = writeln!(text, "    then shown to {who}, whose answer depends on the message");
        }
    }
    text
}

/// What was set for a client, in a line.
fn limits(limits: &Value) -> String {
    let rate = |what: &str| {
        let rate = limits[what].as_object()?;
        let (mean, burst) = (rate.get("per_second")?, rate.get("burst")?);
        Some(format!("{mean} {what} a second, {burst} at once"))
    };
    let number =
        |name: &str, what: &str| limits[name].as_u64().map(|most| format!("{most} {what}"));
    let parts = [
        rate("messages"),
        rate("bytes"),
        limits["on_excess"].as_str().map(|what| format!("on excess {what}")),
        number("max_inflight", "deliveries in flight"),
        number("max_subscriptions", "subscriptions"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn decider(decision: &Value) -> String {
    match decision["version"].as_str() {
        Some(version) => version.to_owned(),
        None => "the gateway".to_owned(),
    }
}

fn clients(answer: &Value) -> String {
    let header =
        ["CLIENT", "PRINCIPAL", "LISTENER", "ADDRESS", "CONNECTED", "SUBS", "QUEUED", "IN FLIGHT"];
    let mut rows = vec![header.map(str::to_owned)];
    let now = now_ms();
    for client in list(&answer["clients"]) {
        let since = client["connected_since_ms"].as_u64();
        let connected = match (client["connected"].as_bool(), since) {
            (Some(true), Some(since)) => age(now.saturating_sub(since)),
            (Some(true), None) => "now".to_owned(),
            _ => "no".to_owned(),
        };
        rows.push([
            shown(&client["client"]),
            shown(&client["principal"]),
            shown(&client["listener"]),
            shown(&client["address"]),
            connected,
            client["subscriptions"].to_string(),
            client["queued"].to_string(),
            client["in_flight"].to_string(),
        ]);
    }
    let mut text = table(&rows);
    if let Some(next) = answer["next"].as_u64() {
        let _ = writeln!(text, "there are more: --from {next}");
    }
    text
}

fn client(client: &Value) -> String {
    let mut text = String::new();
    for (name, value) in client.as_object().into_iter().flatten() {
        let words = if name == "limits" { limits(value) } else { shown(value) };
        if !value.is_null() && !value.is_array() {
            let _ = writeln!(text, "{name:<22}{words}");
        }
    }
    for subscription in list(&client["subscription_list"]) {
        let _ =
            writeln!(text, "  {} at QoS {}", shown(&subscription["filter"]), subscription["qos"]);
    }
    text
}

fn bans(answer: &Value) -> String {
    let header = ["WHOM", "BY", "SINCE", "ENDS IN", "REASON"];
    let mut rows = vec![header.map(str::to_owned)];
    let now = now_ms();
    for ban in list(&answer["bans"]) {
        let by = match ban["user"].as_u64() {
            Some(user) => format!("{} uid={user}", shown(&ban["by"])),
            None => shown(&ban["by"]),
        };
        let since = ban["since_ms"].as_u64().unwrap_or(now);
        let ends = ban["until_ms"].as_u64().map(|until| age(until.saturating_sub(now)));
        rows.push([
            whom(ban),
            by,
            format!("{} ago", age(now.saturating_sub(since))),
            ends.unwrap_or_else(|| "never".to_owned()),
            shown(&ban["reason"]),
        ]);
    }
    table(&rows)
}

/// Whom a ban names, as options name it.
fn whom(ban: &Value) -> String {
    let named = ["network", "identity", "client"].into_iter().filter(|name| ban[name].is_string());
    let parts: Vec<_> = named.map(|name| format!("{name} {}", shown(&ban[name]))).collect();
    parts.join(", ")
}

fn kept(answer: &Value) -> &'static str {
    match answer["kept"].as_bool() {
        Some(true) => "",
        _ => "; it is not on disk yet, the gateway's log says why",
    }
}

fn bridges(answer: &Value) -> String {
    let header = [
        "BRIDGE", "STATE", "SINCE", "HEALTH", "URL", "MQTT", "QUEUED", "SENT", "RECEIVED",
        "REFUSED",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    let mut causes = String::new();
    for bridge in list(&answer["bridges"]) {
        let counters = &bridge["counters"];
        rows.push([
            shown(&bridge["name"]),
            shown(&bridge["state"]),
            age(bridge["since_ms"].as_u64().unwrap_or(0)),
            health(bridge),
            shown(&bridge["url"]),
            shown(&bridge["version"]),
            bridge["queued"].to_string(),
            counters["sent"].to_string(),
            counters["received"].to_string(),
            counters["refused"].to_string(),
        ]);
        if bridge["cause"].is_string() {
            let _ = writeln!(causes, "{}: {}", shown(&bridge["name"]), shown(&bridge["cause"]));
        }
        for resting in list(&bridge["resting"]) {
            let (name, priority) = (shown(&bridge["name"]), shown(&resting["priority"]));
            let opens = resting["opens_at_s"].as_i64().map(transport::utc);
            let opens = opens.map(|at| format!(", which opens at {at}")).unwrap_or_default();
            let _ = writeln!(
                causes,
                "{name}: what has priority {priority} waits for its window{opens}"
            );
        }
    }
    table(&rows) + &causes
}

/// `healthy 12 ms`, and nothing where nobody probes.
fn health(bridge: &Value) -> String {
    match (bridge["health"].as_str(), bridge["round_trip_ms"].as_u64()) {
        (Some(word), Some(ms)) => format!("{word} {ms} ms"),
        (None | Some("unwatched"), _) => "-".to_owned(),
        (Some(word), None) => word.to_owned(),
    }
}

fn metrics(answer: &Value) -> String {
    let mut text = String::new();
    for (name, value) in answer["gateway"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{name} {value}");
    }
    for extension in list(&answer["extensions"]) {
        let own = list(&extension["own"]).iter().map(|metric| {
            let labels = metric["labels"].as_object().into_iter().flatten();
            let labels: String =
                labels.map(|(name, value)| format!(" {name}={}", shown(value))).collect();
            (format!("own.{}{labels}", shown(&metric["name"])), metric["value"].clone())
        });
        let counters = extension["counters"].as_object().into_iter().flatten();
        let counters = counters.map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in counters.chain(own) {
            let _ = writeln!(text, "{} {name} {value}", shown(&extension["name"]));
        }
    }
    for bridge in list(&answer["bridges"]) {
        for (name, value) in bridge["counters"].as_object().into_iter().flatten() {
            let _ = writeln!(text, "bridge {} {name} {value}", shown(&bridge["name"]));
        }
    }
    text
}

/// Columns as wide as their widest entry.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// A text without anything that a terminal would take for an order; a number as it is; nothing for what is not there.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text
            .chars()
            .flat_map(|c| match c {
                '"' | '\'' | '\\' => vec![c],
                c => c.escape_debug().collect(),
            })
            .collect(),
        other => other.to_string(),
    }
}

fn code(value: &Value) -> String {
    value.as_u64().map_or_else(|| "no code".to_owned(), |code| format!("0x{code:02x}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn line(text: &mut String, words: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "  {words}");
}

fn now_ms() -> u64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A time in the largest unit of which it has two or more.
fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_cannot_order_the_terminal() {
        assert_eq!(shown(&json!("a\u{1b}[2Jb\n\"ä\"")), "a\\u{1b}[2Jb\\n\"ä\"");
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["A", "BB"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A    BB\nccc  d\n");
        assert_eq!(
            [119_000, 120_000, 7_200_000, 172_800_000].map(age),
            ["119 s", "2 min", "2 h", "2 d"]
        );
    }

    #[test]
    fn a_ban_is_shown_with_whom_it_names() {
        let now = now_ms();
        let answer = json!({ "bans": [
            {"network": "192.0.2.0/24", "identity": null, "client": null, "by": "rule", "user": null,
             "reason": "20 failed authentications", "since_ms": now, "until_ms": now + 900_500},
            {"network": null, "identity": "a\u{1b}b", "client": "c", "by": "operator", "user": 0, "reason": "stolen",
             "since_ms": now, "until_ms": null},
        ]});
        assert_eq!(
            bans(&answer),
            "WHOM                         BY              SINCE    ENDS IN  REASON\n\
             network 192.0.2.0/24         rule            0 s ago  15 min   20 failed authentications\n\
             identity a\\u{1b}b, client c  operator uid=0  0 s ago  never    stolen\n"
        );
    }

    #[test]
    fn an_explanation_names_who_decided_and_why() {
        let answer = json!({
            "connect": {"client": "c", "outcome": "accepted", "principal": "demo", "version": "password@1",
                "permissions_by": "acl@2", "rules": 3, "took_us": 9,
                "limits": {"messages": {"per_second": 5, "burst": 9}, "bytes": null, "on_excess": "delay", "max_subscriptions": 2}},
            "decisions": [
                {"action": "publish", "topic": "a", "outcome": "allowed", "granted_qos": 1, "version": "acl@2",
                 "interceptors": ["i@1", "j@2"], "rule": {"number": 2, "name": "line 2"}, "reason": "acl@2: line 2", "took_us": 1},
                {"action": "publish", "topic": "b", "outcome": "denied", "code": 135, "version": "acl@2",
                 "rule": null, "asked": true, "reason": "no", "took_us": 4},
            ],
        });
        assert_eq!(
            explanation(&answer),
            "connect c: accepted as demo by password@1, permissions of acl@2 (3 rules), 9 us\n\
             \x20   limited to 5 messages a second, 9 at once; on excess delay; 2 subscriptions\n\
             publish a: allowed, QoS 1\n    rule 2 of acl@2, 1 us\n    acl@2: line 2\n\
             \x20   then shown to i@1, j@2, whose answer depends on the message\n\
             publish b: denied with 0x87\n    asked acl@2, 4 us\n    no\n"
        );
    }
}

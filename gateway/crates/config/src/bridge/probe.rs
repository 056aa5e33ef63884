use std::time::Duration;

use crate::section::Section;

/// How upstream is asked whether it routes messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeProbe {
    /// The topic; one that is made of the client identifier if `None`.
    pub topic: Option<mqtt::TopicNameBuf>,
    /// The time between two probes.
    pub interval: Duration,
    /// Probes in a row that may be missing before the connection is given up; 0 never gives up.
    pub missing: u32,
}

/// Probes that may be missing, at most.
const MISSING_MAX: u32 = 100;

pub(super) fn read(section: &Section<'_>) -> Option<BridgeProbe> {
    let probe = section.part("probe");
    let day = Duration::from_secs(24 * 3600);
    let interval = probe.duration("interval", Duration::ZERO, Duration::ZERO..=day);
    let missing = probe.number("missing", 3, 0..=MISSING_MAX);
    let stated = probe.text("topic");
    let topic = stated.as_ref().and_then(|text| {
        let topic = mqtt::TopicName::new(text.value).ok();
        if topic.is_none_or(|topic| topic.as_str().starts_with('$')) {
            let why = format!("\"{}\" is no topic that can be published to upstream; it has no wildcards and does not begin with $", text.value);
            probe.fault(text.line, "topic", &why);
        }
        topic.map(mqtt::TopicName::to_owned)
    });
    if !probe.has("interval") {
        let why = "without probe.interval; say how often upstream is asked, such as \"30s\"";
        probe.meaningless(&["topic", "missing"], why);
    }
    probe.finish();
    (!interval.is_zero()).then_some(BridgeProbe { topic, interval, missing })
}

use std::time::Duration;

use bridge::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, Batch, Packing};

use super::BridgeVersion;
use crate::section::Section;

/// How the messages of a rule of `out` are packed.
pub(super) fn outward(section: &Section<'_>, version: BridgeVersion) -> Packing {
    let words = [("none", false), ("deflate", true)];
    let compresses = section.choice("compress", false, &words);
    let from = section.size("compress-from", 256, 1..=1 << 20);
    if !compresses {
        section.meaningless(&["compress-from"], "without compress = \"deflate\"");
    }
    let batch = batch(section);
    not_in_3_1_1(section, version, &["compress", "batch"]);
    let compress_from = compresses.then(|| usize::try_from(from).unwrap_or(usize::MAX));
    Packing { compress_from, batch, unbatch: false }
}

/// How those of a rule of `in` are unpacked. What is compressed is known without that.
pub(super) fn inward(section: &Section<'_>, version: BridgeVersion) -> Packing {
    let unbatch = section.flag("unbatch", false);
    not_in_3_1_1(section, version, &["unbatch"]);
    Packing { unbatch, ..Packing::default() }
}

fn batch(section: &Section<'_>) -> Option<Batch> {
    let part = section.part("batch");
    let stated = part.text("topic");
    let max_messages = part.number("max-messages", 100, 1..=BATCH_MESSAGES_MAX);
    let most = BATCH_BYTES_MAX as u64;
    let max_bytes = part.size("max-bytes", 64 << 10, 64..=most);
    let max_delay = part.duration(
        "max-delay",
        Duration::from_millis(100),
        Duration::ZERO..=Duration::from_secs(60),
    );
    let topic = stated.as_ref().and_then(|text| {
        let topic = mqtt::TopicName::new(text.value).ok();
        if topic.is_none_or(|topic| topic.as_str().starts_with('$')) {
            let why = format!(
                "\"{}\" is no topic that can be published to upstream; it has no wildcards and does not begin with $",
                text.value
            );
            part.fault(text.line, "topic", &why);
        }
        topic.map(mqtt::TopicName::to_owned)
    });
    if stated.is_none() {
        let why = "without batch.topic; say where batches are published, such as \"sites/7/batch\"";
        part.meaningless(&["max-messages", "max-bytes", "max-delay"], why);
    }
    part.finish();
    let max_bytes = usize::try_from(max_bytes).unwrap_or(BATCH_BYTES_MAX);
    topic.map(|topic| Batch { topic, max_messages, max_bytes, max_delay })
}

/// 3.1.1 has no property that could say what a payload is.
fn not_in_3_1_1(section: &Section<'_>, version: BridgeVersion, keys: &[&'static str]) {
    if version == BridgeVersion::V3_1_1 {
        section.meaningless(
            keys,
            "with version = \"3.1.1\", which has no properties to say so; remove it",
        );
    }
}

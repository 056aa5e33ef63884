use std::time::Duration;

use bridge::{Packing, Priority, Rule, RuleFault, Timetable, Windows, loops};
use mqtt::QoS;

use super::budget::{self, Budget};
use super::profile::{Profile, Retain};
use super::windows::{self, Hours};
use super::{BridgeVersion, packing};
use crate::section::{Located, Section};

/// Rules of a bridge in each direction, at most.
const MOST: usize = 100;

const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

/// The longest interval that a message can carry (MQTT 5, 3.3.2.3.3), in whole days.
const MOST_EXPIRY: Duration = Duration::from_secs(49_710 * 86_400);

/// What passes.
pub(super) struct Rules {
    pub(super) outward: Vec<Rule>,
    /// What may wait of each of them.
    pub(super) budgets: Vec<Budget>,
    pub(super) inward: Vec<Rule>,
    /// When they may be used.
    pub(super) timetable: Timetable,
}

/// A rule, and what the file says of it besides.
pub(super) struct Passage {
    pub(super) rule: Rule,
    budget: Budget,
    pub(super) windows: Option<Windows>,
    /// Where the file says so, or would.
    pub(super) windows_line: usize,
    /// Where it is in the file.
    line: usize,
}

/// Outward and inward rules; `None` if one is faulty.
pub(super) fn read(
    section: &Section<'_>,
    version: BridgeVersion,
    profile: &Profile,
) -> Option<Rules> {
    let hours = windows::read(section);
    let (outward, inward) = (
        direction(section, "out", profile, Some(&hours), |rule| packing::outward(rule, version)),
        direction(section, "in", profile, None, |rule| packing::inward(rule, version)),
    );
    let (outward, inward) = outward.zip(inward)?;
    let timetable = hours.timetable(section, &outward);
    let lines = |all: &[Passage]| all.iter().map(|it| it.line).collect::<Vec<_>>();
    let (out_lines, in_lines) = (lines(&outward), lines(&inward));
    let (outward, budgets): (Vec<Rule>, Vec<Budget>) =
        outward.into_iter().map(|it| (it.rule, it.budget)).unzip();
    let inward: Vec<Rule> = inward.into_iter().map(|it| it.rule).collect();
    if outward.is_empty() && inward.is_empty() {
        section.fault_of_all(
            "nothing would pass; add [[bridges.NAME.out]] or [[bridges.NAME.in]] with a filter",
        );
    }
    if version == BridgeVersion::V3_1_1
        && let Some((at, back)) = loops(&outward, &inward)
        && let (Some(out), Some(inn)) = (outward.get(at), inward.get(back))
    {
        let message = format!(
            "is fed by out {} in line {}: {} goes out as {}, and comes back in by {} as {}; MQTT 3.1.1 has no \
             word against that, so keep the filters apart, or use version = \"5.0\"",
            at + 1,
            out_lines.get(at).copied().unwrap_or_default(),
            out.filter().as_str(),
            out.target(),
            inn.filter().as_str(),
            inn.target(),
        );
        let line = in_lines.get(back).copied().unwrap_or_default();
        section.fault(line, &format!("in {}", back + 1), &message);
    }
    Some(Rules { outward, budgets, inward, timetable })
}

fn direction(
    section: &Section<'_>,
    key: &'static str,
    profile: &Profile,
    hours: Option<&Hours>,
    packing: impl Fn(&Section<'_>) -> Packing,
) -> Option<Vec<Passage>> {
    let sections = section.list(key, key);
    if let (Some(line), true) = (section.line_of(key), sections.len() > MOST) {
        section.fault(line, key, &format!("has {} rules, the most is {MOST}", sections.len()));
    }
    // All of them are read, for the faults of each.
    let rules: Vec<_> =
        sections.iter().map(|rule| one(rule, hours, profile, packing(rule))).collect();
    rules.into_iter().collect()
}

/// One rule; of `out` if there are `hours`.
fn one(
    section: &Section<'_>,
    hours: Option<&Hours>,
    profile: &Profile,
    packing: Packing,
) -> Option<Passage> {
    let filter =
        section.required("filter", "say which topics pass, such as filter = \"sensors/#\"");
    let qos = section.number("qos", profile.bounds.qos.as_u8(), 0..=2);
    let retain = section.flag("retain", profile.retain == Retain::Usual);
    let named = named(section, filter, QoS::from_u8(qos).unwrap_or(QoS::ExactlyOnce), retain);
    let payload_max = section.size("payload-max", 1 << 20, 0..=256 << 20);
    let seconds = Duration::from_secs;
    let expiry = section.duration("expiry", seconds(86_400), seconds(1)..=MOST_EXPIRY);
    // What is fetched waits upstream.
    let (mut priority, mut budget, mut windows) = (Priority::Normal, Budget::default(), None);
    if let Some(hours) = hours {
        priority = section.choice("priority", priority, &PRIORITIES);
        budget = budget::read(section);
        windows = hours.windows(section);
    }
    section.finish();
    let mut rule = named?;
    if packing.unbatch {
        // A batch is one of QoS 0 or 1.
        rule.qos = rule.qos.min(QoS::AtLeastOnce);
    }
    rule.packing = packing;
    rule.priority = priority;
    let most = u32::try_from(payload_max).unwrap_or(u32::MAX);
    rule.payload_max = section.has("payload-max").then_some(most);
    let expiry = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
    rule.expiry = section.has("expiry").then_some(expiry);
    let line = section.line();
    let windows_line = section.line_of("windows").unwrap_or(line);
    Some(Passage { rule, budget, windows, windows_line, line })
}

/// The rule by the names that it gives topics.
fn named(
    section: &Section<'_>,
    filter: Option<Located<&str>>,
    qos: QoS,
    retain: bool,
) -> Option<Rule> {
    let (strip, prefix) = (section.text("strip"), section.text("prefix"));
    let template = section.text("template");
    if template.is_some() {
        section.meaningless(&["strip", "prefix"], "beside template, which says it all; remove it");
    }
    let filter = filter?;
    let levels = |text: &Option<Located<&str>>| {
        text.as_ref().map_or(String::new(), |text| text.value.to_owned())
    };
    let rule = match &template {
        Some(template) => Rule::with_template(filter.value, template.value, qos, retain),
        None => Rule::new(filter.value, &levels(&strip), &levels(&prefix), qos, retain),
    };
    match rule {
        Ok(rule) => Some(rule),
        Err(fault) => {
            let at = match fault {
                RuleFault::Levels("strip") | RuleFault::Strip => strip.as_ref(),
                RuleFault::Levels(_) => prefix.as_ref(),
                RuleFault::Template(_) => template.as_ref(),
                RuleFault::Filter | RuleFault::Nothing => None,
            };
            let line = at.map_or(filter.line, |text| text.line);
            section.reader.fault(Some(line), section.about(&fault.to_string()));
            None
        }
    }
}

use bridge::{Packing, Rule, RuleFault, loops};
use mqtt::QoS;

use super::profile::{Profile, Retain};
use super::{BridgeVersion, packing};
use crate::section::Section;

/// Rules of a bridge in each direction, at most.
const MOST: usize = 100;

/// Outward and inward rules; `None` if one is faulty.
pub(super) fn read(
    section: &Section<'_>,
    version: BridgeVersion,
    profile: &Profile,
) -> Option<(Vec<Rule>, Vec<Rule>)> {
    let (outward, inward) = (
        direction(section, "out", profile, |rule| packing::outward(rule, version)),
        direction(section, "in", profile, |rule| packing::inward(rule, version)),
    );
    let ((outward, out_lines), (inward, in_lines)) = outward.zip(inward)?;
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
    Some((outward, inward))
}

fn direction(
    section: &Section<'_>,
    key: &'static str,
    profile: &Profile,
    packing: impl Fn(&Section<'_>) -> Packing,
) -> Option<(Vec<Rule>, Vec<usize>)> {
    let sections = section.list(key, key);
    if let (Some(line), true) = (section.line_of(key), sections.len() > MOST) {
        section.fault(line, key, &format!("has {} rules, the most is {MOST}", sections.len()));
    }
    let lines = sections.iter().map(Section::line).collect();
    let rules: Vec<_> = sections.iter().map(|rule| one(rule, profile, packing(rule))).collect();
    let rules: Option<Vec<Rule>> = rules.into_iter().collect();
    rules.map(|rules| (rules, lines))
}

fn one(section: &Section<'_>, profile: &Profile, packing: Packing) -> Option<Rule> {
    let filter =
        section.required("filter", "say which topics pass, such as filter = \"sensors/#\"");
    let strip = section.text("strip");
    let prefix = section.text("prefix");
    let qos = section.number("qos", profile.bounds.qos.as_u8(), 0..=2);
    let retain = section.flag("retain", profile.retain == Retain::Usual);
    section.finish();
    let filter = filter?;
    let levels = |text: &Option<crate::section::Located<&str>>| {
        text.as_ref().map_or(String::new(), |text| text.value.to_owned())
    };
    let qos = QoS::from_u8(qos).unwrap_or(QoS::ExactlyOnce);
    match Rule::new(filter.value, &levels(&strip), &levels(&prefix), qos, retain) {
        Ok(mut rule) => {
            if packing.unbatch {
                // A batch is one of QoS 0 or 1.
                rule.qos = rule.qos.min(QoS::AtLeastOnce);
            }
            rule.packing = packing;
            Some(rule)
        }
        Err(fault) => {
            let at = match fault {
                RuleFault::Levels("strip") | RuleFault::Strip => strip.as_ref(),
                RuleFault::Levels(_) => prefix.as_ref(),
                RuleFault::Filter | RuleFault::Nothing => None,
            };
            let line = at.map_or(filter.line, |text| text.line);
            section.reader.fault(Some(line), section.about(&fault.to_string()));
            None
        }
    }
}

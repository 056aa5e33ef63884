use std::fmt;

use portcullis_attacks::Attack;

use crate::trial::Trial;

/// A table in Markdown with a row for each attack.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<String>);

const HEAD: &str = "\
| attack | what it does | what came of it for the attacker | p99 ms before | during | after | max ms during | lost, failed | newcomers in, turned away (slowest ms) | RSS MiB before | peak | after | CPU gateway, attackers (cores) | counters and log of the gateway |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl Report {
    pub(crate) fn add(&mut self, attack: &Attack, trial: &Trial) {
        let [before, during, after] = &trial.phases;
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let mib = trial.resident.map(|kib| format!("{:.1}", kib as f64 / 1024.0));
        let lost: usize = trial.phases.iter().map(|phase| phase.lost).sum();
        let failed: usize = trial.phases.iter().map(|phase| phase.failed.len()).sum();
        let (deeds, cpu) = match &trial.deeds {
            Ok(deeds) => (deeds.tally.to_string(), format!("{:.2}", deeds.cpu)),
            Err(why) => (why.clone(), "-".to_owned()),
        };
        let counted = trial.counted.iter().map(|(name, by)| format!("{name} {by:+}"));
        let cells = [
            attack.name.to_owned(),
            attack.does.to_owned(),
            deeds,
            ms(before.percentile(99)),
            ms(during.percentile(99)),
            ms(after.percentile(99)),
            ms(during.percentile(100)),
            format!("{lost}, {failed}"),
            format!(
                "{}, {} ({})",
                during.newcomers.len(),
                during.turned_away.len(),
                ms(during.slowest_newcomer())
            ),
            mib[0].clone(),
            mib[1].clone(),
            mib[2].clone(),
            format!("{:.2}, {cpu}", trial.cpu),
            counted.collect::<Vec<_>>().join(", "),
        ];
        self.0.push(format!("| {} |", cells.join(" | ")));
        println!(
            "{}: {} messages before, {} during, {} after; p99 {} / {} / {} ms",
            attack.name,
            before.count(),
            during.count(),
            after.count(),
            cells[3],
            cells[4],
            cells[5]
        );
        let told =
            trial.phases.iter().flat_map(|phase| phase.failed.iter().chain(&phase.turned_away));
        told.take(5).for_each(|what| println!("    {what}"));
    }

    /// What was not measured to its end, as where the gateway died.
    pub(crate) fn fail(&mut self, attack: &Attack) {
        self.0.push(format!("| {} | {} | failed: see above |", attack.name, attack.does));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

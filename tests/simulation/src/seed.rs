use crate::simulation::{Outcome, Simulation};

/// Runs one seed for `steps` steps. A failure is a panic, behind which the command is written
/// that replays it, and the last things that were done.
pub fn run(seed: u64, steps: u32) -> Outcome {
    let mut teller = Teller { seed, steps, simulation: Simulation::new(seed) };
    teller.simulation.run(steps)
}

struct Teller {
    seed: u64,
    steps: u32,
    simulation: Simulation,
}

impl Drop for Teller {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.simulation.plan());
            self.simulation.trace().for_each(|line| eprintln!("  {line}"));
            eprintln!("replay: cargo xtask sim --seed {} --steps {}", self.seed, self.steps);
        }
    }
}

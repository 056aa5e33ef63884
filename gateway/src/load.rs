use std::time::Duration;

/// The times over which an average forgets all but a part (1/e) of what it was.
const WINDOWS: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];

/// What the averages are called, in the order of [`Load::per_minute`].
pub(crate) const NAMES: [&str; 3] = ["1min", "5min", "15min"];

/// How often something happens per minute, averaged as a Unix load average is: what was long ago
/// counts exponentially less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    averages: [f64; 3],
}

impl Load {
    /// It happened `times` in the last `over`.
    pub(crate) fn update(&mut self, times: u64, over: Duration) {
        if over.is_zero() {
            return;
        }
        // Above 2^53 a number loses its last digits, which nobody reads off an average.
        let rate = times as f64 * 60.0 / over.as_secs_f64();
        for (average, window) in self.averages.iter_mut().zip(WINDOWS) {
            let kept = (-over.as_secs_f64() / window.as_secs_f64()).exp();
            *average = rate + kept * (*average - rate);
        }
    }

    /// Averages over about one, five and fifteen minutes.
    pub(crate) fn per_minute(&self) -> [f64; 3] {
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn close(averages: [f64; 3], expected: [f64; 3]) {
        for (average, expected) in averages.iter().zip(expected) {
            assert!((average - expected).abs() < 1e-6, "{averages:?} is not {expected}");
        }
    }

    #[test]
    fn a_window_of_time_takes_an_average_to_all_but_a_part_of_the_rate() {
        let mut load = Load::default();
        for _ in 0..60 {
            load.update(2, SECOND);
        }
        let after = |minutes: f64| 120.0 * (1.0 - (-minutes).exp());
        close(load.per_minute(), [after(1.0), after(1.0 / 5.0), after(1.0 / 15.0)]);
        for _ in 0..3600 * 3 {
            load.update(2, SECOND);
        }
        assert!(load.per_minute().iter().all(|average| (average - 120.0).abs() < 0.01));
    }

    #[test]
    fn how_often_one_looks_makes_no_difference() {
        let (mut often, mut seldom) = (Load::default(), Load::default());
        for _ in 0..10 {
            often.update(3, SECOND);
        }
        seldom.update(30, 10 * SECOND);
        close(often.per_minute(), seldom.per_minute());
    }

    #[test]
    fn silence_is_forgotten_slowly_and_no_time_changes_nothing() {
        let mut load = Load::default();
        load.update(600, 60 * SECOND);
        let before = load.per_minute();
        load.update(1000, Duration::ZERO);
        assert_eq!(load.per_minute(), before);
        load.update(0, 60 * SECOND);
        let decayed = [(-1.0_f64).exp(), (-0.2_f64).exp(), (-1.0_f64 / 15.0).exp()];
        let expected = [0, 1, 2].map(|i: usize| before[i] * decayed[i]);
        close(load.per_minute(), expected);
    }
}

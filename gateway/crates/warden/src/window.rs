/// How often something happened since it happened first, for as long as a window lasts; then it begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Milliseconds.
    since: u64,
    count: u32,
}

impl Window {
    /// It happened once more: how often by now.
    pub(crate) fn add(&mut self, now: u64, length: u64) -> u32 {
        if self.count(now, length) == 0 {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// How often by now.
    pub(crate) fn count(&self, now: u64, length: u64) -> u32 {
        if now.saturating_sub(self.since) < length { self.count } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_and_begins_anew() {
        let mut window = Window::default();
        assert_eq!([0, 5, 9].map(|now| window.add(now, 10)), [1, 2, 3]);
        assert_eq!((window.count(9, 10), window.count(10, 10)), (3, 0));
        assert_eq!(window.add(30, 10), 1);
    }
}

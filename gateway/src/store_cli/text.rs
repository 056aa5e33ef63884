use std::time::Duration;

/// A number with its digits in groups.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in its two largest units.
pub(super) fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// What others chose as a name, fit for a terminal, in `width` columns.
pub(super) fn name(text: &str, width: usize) -> String {
    let shown: String = text.escape_debug().collect();
    if shown.chars().count() <= width {
        return shown;
    }
    let begin: String = shown.chars().take(width.saturating_sub(1)).collect();
    begin + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (seconds, text) in
            [(0, "0s"), (61, "1m01s"), (3_600, "1h00m"), (90_000, "1d01h"), (8_640_000, "100d00h")]
        {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_name_cannot_steer_a_terminal() {
        assert_eq!(name("a\u{1b}[2Jb\n", 20), "a\\u{1b}[2Jb\\n");
        assert_eq!(name("abcdef", 4), "abc…");
        assert_eq!(name("zähler", 6), "zähler");
    }
}

//! Two lists beside each other.

/// Each line of both, in order: with `-` what is only expected, with `+` what is only there, with a blank what is both.
pub(crate) fn lines(expected: &[String], got: &[String]) -> Vec<String> {
    let longest = longest_common(expected, got);
    let common = |i: usize, j: usize| longest.get(i).and_then(|row| row.get(j)).copied();
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    loop {
        match (expected.get(i), got.get(j)) {
            (Some(one), Some(other)) if one == other => {
                lines.push(format!("  {one}"));
                (i, j) = (i + 1, j + 1);
            }
            (Some(one), other) if other.is_none() || common(i + 1, j) >= common(i, j + 1) => {
                lines.push(format!("- {one}"));
                i += 1;
            }
            (_, Some(other)) => {
                lines.push(format!("+ {other}"));
                j += 1;
            }
            (_, None) => return lines,
        }
    }
}

/// How many lines both have in common, in order, from each pair of places on.
fn longest_common(expected: &[String], got: &[String]) -> Vec<Vec<usize>> {
    let mut rows = vec![vec![0; got.len() + 1]];
    for one in expected.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0];
        for (other, pair) in got.iter().rev().zip(below.windows(2).rev()) {
            let (here, right) = match pair {
                [here, right] => (*here, *right),
                _ => (0, 0),
            };
            let behind = row.last().copied().unwrap_or_default();
            row.push(if one == other { right + 1 } else { here.max(behind) });
        }
        row.reverse();
        rows.push(row);
    }
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_common_stays_and_the_rest_is_marked() {
        for (expected, got, shown) in [
            ("a b c", "a b c", "  a|  b|  c"),
            ("a b c", "a c d", "  a|- b|  c|+ d"),
            ("", "a", "+ a"),
            ("a", "", "- a"),
            ("a b", "c d", "- a|- b|+ c|+ d"),
            ("x a b c", "a b c", "- x|  a|  b|  c"),
        ] {
            assert_eq!(lines(&texts(expected), &texts(got)).join("|"), shown, "{expected} {got}");
        }
    }
}

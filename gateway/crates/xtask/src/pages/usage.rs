use std::collections::{BTreeMap, BTreeSet};

/// How the lines of a usage begin.
const PROGRAM: &str = "  portcullis ";

/// Blanks between a usage and what it does, where both are on one line.
const GAP: &str = "  ";

/// The command line, as the help tells it.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) entries: Vec<Entry>,
    /// What is said beside the commands, a paragraph each.
    pub(crate) remarks: Vec<String>,
}

/// Ways to call a command, and what they do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) calls: Vec<String>,
    pub(crate) about: String,
}

/// What may follow the words of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) words: BTreeSet<String>,
    pub(crate) options: BTreeSet<String>,
}

impl Usage {
    /// Reads texts of help. Where one refers to another for more, both have the command.
    pub(crate) fn read(texts: &[String]) -> Self {
        let mut usage = Self::default();
        for text in texts {
            for block in text.split("\n\n") {
                usage.block(block);
            }
        }
        usage
    }

    fn block(&mut self, block: &str) {
        if !block.lines().any(|line| line.starts_with(PROGRAM)) {
            self.remarks.push(words(block));
            return;
        }
        let mut open = None;
        for line in block.lines() {
            if let Some(call) = line.strip_prefix("  ").filter(|_| line.starts_with(PROGRAM)) {
                let (call, about) = call.split_once(GAP).unwrap_or((call, ""));
                let entry: &mut Entry = match open.take() {
                    Some(Entry { calls, about }) if about.is_empty() => {
                        open = Some(Entry { calls, about });
                        open.get_or_insert_default()
                    }
                    done => {
                        self.entries.extend(done);
                        open.get_or_insert_default()
                    }
                };
                entry.calls.push(call.to_owned());
                about.trim().clone_into(&mut entry.about);
            } else if let Some(entry) = &mut open {
                entry.about = words(&format!("{} {line}", entry.about));
            } else {
                self.remarks.push(words(line));
            }
        }
        self.entries.extend(open);
    }

    /// What may come next, by the words before.
    pub(crate) fn tree(&self) -> BTreeMap<Vec<String>, Next> {
        let mut tree: BTreeMap<Vec<String>, Next> = BTreeMap::new();
        for call in self.entries.iter().flat_map(|entry| &entry.calls) {
            let parts: Vec<&str> = call.split_whitespace().skip(1).collect();
            let verbs = parts.iter().take_while(|part| is_verb(part)).count();
            let (verbs, rest) = parts.split_at(verbs);
            let mut paths = vec![Vec::new()];
            for verb in verbs {
                let all: Vec<&str> = verb.split('|').collect();
                for path in &paths {
                    let next = tree.entry(path.clone()).or_default();
                    next.words.extend(all.iter().map(|verb| (*verb).to_owned()));
                }
                let longer = |path: Vec<String>| {
                    all.iter()
                        .map(move |verb| [&path[..], &[(*verb).to_owned()]].concat())
                        .collect::<Vec<_>>()
                };
                paths = paths.into_iter().flat_map(longer).collect();
            }
            for path in paths {
                tree.entry(path).or_default().options.extend(options(rest));
            }
        }
        tree
    }

    /// The words that an option takes, where they are few and known.
    pub(crate) fn choices(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut choices: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for call in self.entries.iter().flat_map(|entry| &entry.calls) {
            let parts: Vec<&str> = call.split_whitespace().map(bare).collect();
            for pair in parts.windows(2) {
                let [option, value] = pair else { continue };
                if option.starts_with("--") && value.contains('|') && is_verb(value) {
                    let known = choices.entry((*option).to_owned()).or_default();
                    known.extend(value.split('|').map(str::to_owned));
                }
            }
        }
        choices
    }
}

/// What `explain` is asked about.
const ACT: [&str; 5] = ["--publish", "--qos", "--receive", "--retain", "--subscribe"];

/// Options in the rest of a call; some names stand for options that the help tells of below.
fn options(rest: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in rest.iter().flat_map(|part| part.split('|')).map(bare) {
        match part {
            "GATEWAY" => found.extend(["--config", "--socket", "--json"].map(str::to_owned)),
            "STORE" => found.extend(["--config", "--dir"].map(str::to_owned)),
            "ACT" => found.extend(ACT.map(str::to_owned)),
            "WHOM" => found.extend(["--client", "--identity", "--network"].map(str::to_owned)),
            option if option.starts_with("--") => drop(found.insert(option.to_owned())),
            _ => {}
        }
    }
    found
}

/// Without what says that it may be left out or come again.
fn bare(part: &str) -> &str {
    part.trim_matches(|c| "[]().".contains(c))
}

fn is_verb(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'|' || byte == b'-')
        && !part.starts_with('-')
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const SAMPLE: &str = "\
A gateway.

  portcullis run --config FILE      run it
  portcullis cert ca|client more
                                    certificates; `portcullis cert help`
  portcullis explain --client ID ACT GATEWAY
  portcullis explain --connect FILE [ACT...] GATEWAY
                                    why a client may
                                    do something
  portcullis reload NAME [--mode trial|shadow] [--share N]|--now
                                    load it

Signals are
for others.";

    pub(crate) fn sample() -> Usage {
        Usage::read(&[SAMPLE.to_owned()])
    }

    #[test]
    fn help_is_understood() {
        let usage = sample();
        assert_eq!(usage.remarks, ["A gateway.", "Signals are for others."]);
        let abouts: Vec<_> = usage.entries.iter().map(|entry| &*entry.about).collect();
        let cert = "certificates; `portcullis cert help`";
        assert_eq!(abouts, ["run it", cert, "why a client may do something", "load it"]);
        assert_eq!(usage.entries[2].calls.len(), 2);
        let tree = usage.tree();
        let next = |path: &str| {
            let next = &tree[&path.split_whitespace().map(str::to_owned).collect::<Vec<_>>()];
            let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
            (join(&next.words), join(&next.options))
        };
        let known = |words: &str, options: &str| (words.to_owned(), options.to_owned());
        assert_eq!(next(""), known("cert explain reload run", ""));
        assert_eq!(next("cert"), known("ca client", ""));
        assert_eq!(
            next("explain"),
            known(
                "",
                "--client --config --connect --json --publish --qos --receive --retain --socket --subscribe"
            )
        );
        assert_eq!(next("reload"), known("", "--mode --now --share"));
        let choices = usage.choices();
        assert_eq!(choices.len(), 1, "{choices:?}");
        assert!(choices["--mode"].iter().eq(["shadow", "trial"]));
    }
}

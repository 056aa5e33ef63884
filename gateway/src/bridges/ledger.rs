use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bridge::Rule;
use serde_json::{Value, json};

const DIR_MODE: u32 = 0o700;

/// Bytes of the file that are read at most: more than the filters of all rules have.
const BYTES_MAX: u64 = 16 << 20;

/// What a bridge has asked its upstreams for and not given up: their sessions outlive its rules. It is on disk before it is
/// asked for, in `bridges/NAME.json` in the data directory.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    /// Whose session it is about: another client identifier has another one.
    client_id: String,
    /// The filters at each address.
    filters: BTreeMap<String, BTreeSet<String>>,
    /// Whether the file says so.
    is_written: bool,
}

impl Ledger {
    /// As it was kept. One that makes no sense is begun anew, and says so in the log: a bridge does not depend on it. Blocks.
    pub(super) fn open(data: &Path, bridge: &str, client_id: &str) -> Self {
        let path = data.join("bridges").join(format!("{bridge}.json"));
        let filters = match read(&path, client_id) {
            Ok(filters) => filters,
            Err(error) => {
                tracing::warn!(
                    bridge,
                    file = %path.display(),
                    %error,
                    "what was asked of upstream is not known; its session may keep subscriptions that no rule is for"
                );
                BTreeMap::new()
            }
        };
        Self { path, client_id: client_id.to_owned(), filters, is_written: true }
    }

    /// The filters at this address that no rule is for any more.
    pub(super) fn former(&self, url: &str, rules: &[Rule]) -> Vec<String> {
        let is_wanted = |filter: &str| rules.iter().any(|rule| rule.filter().as_str() == filter);
        let kept = self.filters.get(url).into_iter().flatten();
        kept.filter(|filter| !is_wanted(filter)).cloned().collect()
    }

    /// These rules are going to be asked for at this address.
    pub(super) fn asks(&mut self, url: &str, rules: &[Rule]) {
        if rules.is_empty() {
            return;
        }
        let kept = self.filters.entry(url.to_owned()).or_default();
        for rule in rules {
            self.is_written &= !kept.insert(rule.filter().as_str().to_owned());
        }
    }

    /// These filters were given up at this address.
    pub(super) fn left(&mut self, url: &str, filters: &[String]) {
        let Some(kept) = self.filters.get_mut(url) else { return };
        for filter in filters {
            self.is_written &= !kept.remove(filter);
        }
        if kept.is_empty() {
            self.filters.remove(url);
        }
    }

    /// What is to be written, if anything is.
    pub(super) fn unwritten(&mut self) -> Option<Page> {
        if std::mem::replace(&mut self.is_written, true) {
            return None;
        }
        let document =
            json!({ "version": 1, "client_id": self.client_id, "upstreams": self.filters });
        let text = (!self.filters.is_empty()).then(|| document.to_string());
        Some(Page { path: self.path.clone(), text })
    }
}

/// A ledger on its way to disk.
#[derive(Debug)]
pub(super) struct Page {
    path: PathBuf,
    /// `None` where there is nothing to remember.
    text: Option<String>,
}

impl Page {
    /// Replaces the file as a whole: a power cut leaves the old one or the new one. Blocks.
    pub(super) fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let Some(text) = &self.text else {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(directory)?;
        let aside = self.path.with_extension("json.new");
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)?;
        File::open(directory)?.sync_all()
    }
}

fn read(path: &Path, client_id: &str) -> io::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
        Ok(found) if found.len() > BYTES_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read_to_string(path)?,
    };
    let document: Value = serde_json::from_str(&text)?;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if document["version"] != 1 {
        return Err(wrong("it is of another version of the gateway"));
    }
    if document["client_id"].as_str() != Some(client_id) {
        return Ok(BTreeMap::new());
    }
    let upstreams =
        document["upstreams"].as_object().ok_or_else(|| wrong("it has no upstreams"))?;
    let filters = |list: &Value| -> Option<BTreeSet<String>> {
        list.as_array()?.iter().map(|filter| filter.as_str().map(str::to_owned)).collect()
    };
    let one = |(url, list): (&String, &Value)| {
        filters(list)
            .map(|filters| (url.clone(), filters))
            .ok_or_else(|| wrong("a filter is no text"))
    };
    upstreams.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use mqtt::QoS;

    use super::*;

    fn rules(filters: &[&str]) -> Vec<Rule> {
        filters
            .iter()
            .map(|filter| Rule::new(filter, "", "", QoS::AtLeastOnce, false).unwrap())
            .collect()
    }

    fn write(ledger: &mut Ledger) {
        ledger.unwritten().unwrap().write().unwrap();
    }

    #[test]
    fn what_was_asked_for_is_former_when_its_rule_is_gone_until_it_was_given_up() {
        let data = tempfile::tempdir().unwrap();
        let open = || Ledger::open(data.path(), "cloud", "me");
        let mut ledger = open();
        ledger.asks("a", &rules(&["x/#", "y"]));
        ledger.asks("b", &rules(&["x/#"]));
        write(&mut ledger);
        let mut ledger = open();
        ledger.asks("a", &rules(&["y"]));
        assert!(ledger.unwritten().is_none(), "it is known");
        assert_eq!(ledger.former("a", &rules(&["y", "z"])), ["x/#"]);
        assert!(ledger.former("c", &[]).is_empty());
        ledger.left("a", &["x/#".to_owned()]);
        write(&mut ledger);
        let mut ledger = open();
        assert!(ledger.former("a", &rules(&["y"])).is_empty());
        assert_eq!(ledger.former("b", &rules(&["y"])), ["x/#"]);
        ledger.left("a", &["y".to_owned()]);
        ledger.left("b", &["x/#".to_owned(), "never".to_owned()]);
        write(&mut ledger);
        assert!(!ledger.path.exists(), "there is nothing to remember");
        assert!(open().unwritten().is_none());
    }

    #[test]
    fn another_session_and_a_damaged_file_begin_anew() {
        let data = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(data.path(), "cloud", "me");
        ledger.asks("a", &rules(&["x"]));
        write(&mut ledger);
        assert_eq!(Ledger::open(data.path(), "cloud", "me").former("a", &[]), ["x"]);
        assert!(Ledger::open(data.path(), "cloud", "you").filters.is_empty());
        let whole = fs::read_to_string(&ledger.path).unwrap();
        for text in
            ["", "[]", &whole[..20], &whole.replace("\"x\"", "1"), &whole.replace(":1", ":2")]
        {
            fs::write(&ledger.path, text).unwrap();
            assert!(Ledger::open(data.path(), "cloud", "me").filters.is_empty(), "{text}");
        }
    }
}

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use warden::{Ban, By, Whom};

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Bytes of the file that are read at most: more than as many bans as there may be have.
const BYTES_MAX: u64 = 64 << 20;

/// The file in which bans outlive the gateway: `bans.json` in the data directory.
#[derive(Debug)]
pub(crate) struct BanFile {
    path: PathBuf,
}

impl BanFile {
    pub(crate) fn of(data: &Path) -> Self {
        Self { path: data.join("bans.json") }
    }

    /// The bans that it has. One that makes no sense is put aside, and says so in the log: a start does not depend on it.
    pub(crate) fn read(&self) -> Vec<Ban> {
        let found = self.text().and_then(|text| match text {
            Some(text) => {
                bans(&text).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
            }
            None => Ok(Vec::new()),
        });
        found.unwrap_or_else(|error| {
            let aside = self.path.with_extension("json.damaged");
            let put_aside = fs::rename(&self.path, &aside).is_ok();
            tracing::error!(
                file = %self.path.display(),
                %error,
                put_aside,
                "bans cannot be read; the gateway starts without them"
            );
            Vec::new()
        })
    }

    /// Replaces the file as a whole: a power cut leaves the old one or the new one.
    pub(crate) fn write(&self, bans: &[Ban]) -> io::Result<()> {
        let bans: Vec<Value> = bans.iter().map(document).collect();
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(directory)?;
        let aside = self.path.with_extension("json.new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&aside)?;
        file.write_all(json!({ "version": 1, "bans": bans }).to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)?;
        File::open(directory)?.sync_all()
    }

    fn text(&self) -> io::Result<Option<String>> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(found) if found.len() > BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => fs::read_to_string(&self.path).map(Some),
        }
    }
}

/// A ban as the file and the admin socket have it.
pub(crate) fn document(ban: &Ban) -> Value {
    let (by, user) = match ban.by {
        By::Rule => ("rule", None),
        By::Operator(user) => ("operator", user),
    };
    json!({
        "network": ban.whom.network.map(|network| network.to_string()),
        "identity": ban.whom.identity,
        "client": ban.whom.client,
        "by": by,
        "user": user,
        "reason": ban.reason,
        "since_ms": ban.since_unix_ms,
        "until_ms": ban.until_unix_ms,
    })
}

fn bans(text: &str) -> Result<Vec<Ban>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if document["version"] != 1 {
        return Err("it is of another version of the gateway".to_owned());
    }
    let bans = document["bans"].as_array().ok_or("it has no list of bans")?;
    let numbered = bans.iter().enumerate();
    numbered.map(|(at, value)| ban(value).ok_or(format!("ban {at} makes no sense"))).collect()
}

fn ban(value: &Value) -> Option<Ban> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let network = match text("network") {
        Some(network) => Some(network.parse().ok()?),
        None => None,
    };
    let user = value["user"].as_u64().and_then(|user| u32::try_from(user).ok());
    let by = match value["by"].as_str()? {
        "rule" => By::Rule,
        "operator" => By::Operator(user),
        _ => return None,
    };
    Some(Ban {
        whom: Whom { network, identity: text("identity"), client: text("client") },
        by,
        reason: text("reason")?,
        since_unix_ms: value["since_ms"].as_u64()?,
        until_unix_ms: value["until_ms"].as_u64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Ban> {
        let rule = Ban {
            whom: Whom::network("2001:db8::/48".parse().unwrap()),
            by: By::Rule,
            reason: "20 failed authentications".to_owned(),
            since_unix_ms: 1,
            until_unix_ms: Some(900_001),
        };
        let whom =
            Whom {
                network: None, identity: Some("a\"b".to_owned()), client: Some("ä".to_owned())
            };
        let by = By::Operator(Some(1000));
        let operator = Ban { whom, by, until_unix_ms: None, ..rule.clone() };
        vec![rule, operator]
    }

    #[test]
    fn what_was_written_is_read() {
        let data = tempfile::tempdir().unwrap();
        let file = BanFile::of(&data.path().join("not/yet"));
        assert_eq!(file.read(), []);
        file.write(&some()).unwrap();
        assert_eq!(file.read(), some());
        file.write(&[]).unwrap();
        assert_eq!(file.read(), []);
        let left = fs::read_dir(file.path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing is left aside");
    }

    #[test]
    fn what_makes_no_sense_is_put_aside() {
        let data = tempfile::tempdir().unwrap();
        let file = BanFile::of(data.path());
        let whole =
            json!({ "version": 1, "bans": some().iter().map(document).collect::<Vec<_>>() });
        let whole = whole.to_string();
        let (half, newer) =
            (&whole[..whole.len() / 2], whole.replace("\"version\":1", "\"version\":2"));
        for text in [half, "", "[]", &newer, &whole.replace("rule", "king")] {
            fs::write(&file.path, text).unwrap();
            assert_eq!(file.read(), [], "{text}");
            assert!(!file.path.exists() && data.path().join("bans.json.damaged").exists());
        }
    }
}

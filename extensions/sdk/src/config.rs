use crate::bindings::portcullis::host::config as host;

/// The operator's settings for this extension: `[extensions.NAME.config]`, and the text of each file
/// in `[extensions.NAME.files]` under its key. Reading it needs the grant `config`.
#[derive(Debug)]
pub struct Config(());

impl Config {
    pub(crate) const fn of_host() -> Self {
        Self(())
    }

    /// The value of `key`; none when the operator did not set it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        host::get(key)
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// A sentence for the operator when `key` is not set.
    pub fn require(&self, key: &str) -> Result<String, String> {
        self.get(key).ok_or_else(|| {
            format!(
                "\"{key}\" is not set; put it under [extensions.NAME.config], or name a file for it \
                 under [extensions.NAME.files]"
            )
        })
    }

    /// The value of `key`, which is `true` or `false`; `default` when the operator did not set it.
    ///
    /// # Errors
    /// A sentence for the operator when the value is neither.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(format!("\"{key}\" is \"{other}\"; it is true or false")),
        }
    }

    /// Makes sure that the operator set no key but `known` ones, so that no misspelt one goes unnoticed.
    ///
    /// # Errors
    /// A sentence for the operator that names each other key.
    pub fn allow_only(&self, known: &[&str]) -> Result<(), String> {
        let keys = self.keys();
        let unknown: Vec<_> =
            keys.iter().map(String::as_str).filter(|key| !known.contains(key)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(format!(
            "\"{}\" is not a setting of this extension; there are: {}",
            unknown.join("\", \""),
            known.join(", ")
        ))
    }

    /// All keys that have a value, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        host::keys()
    }
}

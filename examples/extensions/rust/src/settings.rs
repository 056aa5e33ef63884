//! What the operator says in `[extensions.NAME.config]`.

use portcullis_extension::Config;

const KEYS: [&str; 3] = ["admin-claim", "key-set", "tenant-claim"];

/// The settings, read and checked.
pub(crate) struct Settings {
    /// Name of the key set that verifies the tokens.
    pub(crate) key_set: String,
    /// Claim that names the tenant.
    pub(crate) tenant_claim: String,
    /// Claim, and the value of it that makes an administrator.
    pub(crate) admin: Option<(String, String)>,
}

impl Settings {
    /// Reads the settings; all faults are told at once.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        let mut faults = Vec::new();
        faults.extend(config.allow_only(&KEYS).err());
        let key_set = config.get("key-set").unwrap_or_default();
        if key_set.is_empty() {
            faults
                .push("\"key-set\" is not set; name one of [extensions.NAME.key-sets]".to_owned());
        }
        let admin = config.get("admin-claim").and_then(|text| match text.split_once('=') {
            Some((claim, value)) if !claim.is_empty() && !value.is_empty() => {
                Some((claim.to_owned(), value.to_owned()))
            }
            _ => {
                faults.push(format!(
                    "\"admin-claim\" is \"{text}\"; write CLAIM=VALUE, such as roles=site-admin"
                ));
                None
            }
        });
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let tenant_claim = config.get("tenant-claim").unwrap_or_else(|| "tenant".to_owned());
        Ok(Self { key_set, tenant_claim, admin })
    }
}

//! The extension `jwt` in a real gateway: tokens as passwords and in AUTH, and what becomes of keys that change.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod exchange;
mod issuer;
#[path = "../../../gateway/crates/auth/tests/jwt/keys.rs"]
#[allow(dead_code, reason = "one key is enough here")]
mod keys;
mod password;
mod rotation;

use std::fs;

use portcullis_tests::{Site, program};

/// A site whose clients come with tokens, with this about the key set and about the extension.
fn site(key_set: &str, config: &str) -> Site {
    let site = Site::new();
    let component = program().extensions.join("jwt.wasm");
    site.configure_with(
        &["jwt"],
        &format!(
            r#"
[extensions.jwt]
component = "{}"
grants = ["config", "credentials", "log"]
[extensions.jwt.key-sets.plant]
algorithms = ["EdDSA", "RS256"]
issuer = "plant"
audience = "mqtt"
leeway = "0s"
{key_set}
[extensions.jwt.config]
key-set = "plant"
{config}
"#,
            component.display()
        ),
    );
    site
}

/// The same with the keys in a file.
fn site_with(keys: &str, config: &str) -> Site {
    let site = site("file = \"keys.json\"", config);
    fs::write(site.path("keys.json"), keys).expect("the keys are written");
    site
}

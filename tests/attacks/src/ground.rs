use std::fs;
use std::io;
use std::time::Duration;

use portcullis_tests::{Gateway, Site, free_port};

use crate::field::{Doors, Field};
use crate::witness::Witness;

/// The client that means well.
pub const WITNESS: &str = "witness";

/// The client that is let in and means harm.
pub const MALLORY: &str = "mallory";

/// The password of both.
pub const PASSWORD: &str = "let me in";

/// The configuration of the gateway that is attacked, and its rules.
const CONFIGURATION: &str = include_str!("../gateway.toml");
const RULES: &str = include_str!("../acl.txt");

/// Listeners of that configuration.
const LISTENERS: usize = 4;

/// A site whose gateway is attacked.
#[derive(Debug)]
pub struct Ground {
    /// Certificates, users, configuration.
    pub site: Site,
    /// Its ports.
    pub doors: Doors,
}

impl Ground {
    /// With both users, and free ports.
    #[must_use]
    pub fn new() -> Self {
        let site = Site::as_made();
        let doors = Doors { plain: site.plain, tls: site.tls, web: free_port(), quic: free_port() };
        let mut text = CONFIGURATION.to_owned();
        for (word, port) in [
            ("{plain}", doors.plain),
            ("{tls}", doors.tls),
            ("{web}", doors.web),
            ("{quic}", doors.quic),
        ] {
            text = text.replace(word, &port.to_string());
        }
        fs::write(site.config(), text).expect("the configuration is written");
        site.rules(RULES);
        for user in [WITNESS, MALLORY] {
            site.user(user, PASSWORD);
        }
        Self { site, doors }
    }

    /// A gateway that knows nothing of those before it but the code of its extensions.
    #[must_use]
    pub fn fresh_gateway(&self) -> Gateway<'_> {
        let (store, bans) = (self.site.path("data/store"), self.site.path("data/bans.json"));
        if store.exists() {
            fs::remove_dir_all(&store).expect("the store of the gateway before is removed");
        }
        if bans.exists() {
            fs::remove_file(&bans).expect("the bans of the gateway before are removed");
        }
        Gateway::start_with(&self.site, LISTENERS)
    }

    /// The client that means well.
    #[must_use]
    pub fn witness(&self) -> Witness {
        Witness {
            doors: self.doors,
            ca: self.site.ca(),
            user: WITNESS.to_owned(),
            password: PASSWORD.to_owned(),
        }
    }

    /// A field for an attack of this length.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn field(&self, length: Duration) -> io::Result<Field> {
        Field::new(self.doors, self.site.ca(), (MALLORY, PASSWORD), length)
    }
}

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}

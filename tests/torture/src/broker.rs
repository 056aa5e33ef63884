use std::fs;

use portcullis_tests::{Gateway, Site, free_port};

use crate::guest::{Fallback, Guest};

/// One end of a bridge: a program that can be killed and started again on what it has on disk.
pub(crate) trait Broker {
    /// `kill -9`. Fails where it had ended by itself, or had said that something in it panicked.
    fn kill(&mut self);

    /// Starts it and waits until it listens.
    fn start(&mut self);
}

/// A gateway that lets everybody in to do anything, on one plain port of loopback.
pub(crate) struct Portcullis<'s> {
    site: &'s Site,
    running: Option<Gateway<'s>>,
}

/// Sets a site up for a [`Portcullis`] with these bridges; answers its port. Mosquitto sends more at once after a restart than the
/// usual Receive Maximum allows, for which upstream would disconnect it again and again: so that is as large as can be.
pub(crate) fn furnish(site: &Site, bridges: &str) -> u16 {
    let port = free_port();
    let guest = Guest::authenticator("").accepting(&[], Fallback::Allow);
    let component = guest.granting(&[], Fallback::Allow).build();
    fs::write(site.path("everybody.wasm"), component).expect("the component is written");
    let text = format!(
        r#"data = "data"
[log]
format = "json"
[listeners.everybody]
bind = "127.0.0.1:{port}"
transport = "tcp"
chain = ["everybody"]
[extensions.everybody]
component = "everybody.wasm"
[sessions]
max-queued-messages = 10000000
max-queued-bytes = "2 GiB"
receive-maximum = 65535
[broker]
max-queued-bytes-total = "2 GiB"
sys-interval = "0s"
{bridges}
"#
    );
    fs::write(site.config(), text).expect("the configuration is written");
    port
}

/// A bridge to a plain port of loopback for everything that devices publish.
pub(crate) fn bridge_to(port: u16) -> String {
    format!(
        "[bridges.torture]\nurl = \"mqtt://127.0.0.1:{port}\"\nretry-min = \"100ms\"\nretry-max = \"1s\"\n\
         connect-timeout = \"5s\"\nkeep-alive = \"5s\"\n[[bridges.torture.out]]\nfilter = \"torture/#\"\n"
    )
}

impl<'s> Portcullis<'s> {
    pub(crate) fn on(site: &'s Site) -> Self {
        Self { site, running: None }
    }
}

impl Broker for Portcullis<'_> {
    fn kill(&mut self) {
        let mut gateway = self.running.take().expect("it runs");
        gateway.assert_sound();
        gateway.kill();
    }

    fn start(&mut self) {
        self.running = Some(Gateway::start_with(self.site, 1));
    }
}

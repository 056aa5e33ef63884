//! What extensions reach beyond their instances, through a real gateway: the extension `probe` does what the user names of
//! its clients say, and the log says what came of it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod broker;
mod counted;
mod http;
mod key_value;
mod load;
mod recording;

use std::sync::atomic::{AtomicUsize, Ordering};

use mqtt::ReasonCode;
use portcullis_tests::{Gateway, PATIENCE, Received, Site, free_port, program};

/// What the probe asks for; without all of it, it does not load. What it may do is said further in tables.
const GRANTS: [&str; 4] = ["broker", "http", "key-value", "log"];

/// A site with one more listener, whose clients the probe obeys.
struct Stage {
    site: Site,
    port: u16,
}

impl Stage {
    /// The probe has these grants, and `more` about it.
    fn new(grants: &[&str], more: &str) -> Self {
        let stage = Self { site: Site::new(), port: free_port() };
        stage.configure(grants, more);
        stage
    }

    fn configure(&self, grants: &[&str], more: &str) {
        let (port, component) = (self.port, program().extensions.join("probe.wasm"));
        self.site.configure(&format!(
            "[listeners.probe]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"probe\"]\n\
             [extensions.probe]\ncomponent = \"{}\"\ngrants = {grants:?}\n{more}\n",
            component.display()
        ));
    }

    fn start(&self) -> Gateway<'_> {
        Gateway::start_with(&self.site, 3)
    }

    /// Has the probe do what `line` says. What came of it, or which error it was.
    fn ask(&self, gateway: &Gateway<'_>, line: &str) -> Result<String, String> {
        // Each is somebody else: a session belongs to one principal.
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let client_id = format!("asking-{}", ASKED.fetch_add(1, Ordering::Relaxed));
        let mark = gateway.log.mark();
        let options = gateway.options(&client_id).user(line, "").plain_at(self.port);
        let (client, answer) = options.try_connect().expect("the gateway accepts connections");
        drop(client);
        let (message, field) = match answer {
            Received::ConnAck(ReasonCode::Success, _) => ("client accepted", "principal"),
            Received::ConnAck(..) => ("client refused", "why"),
            other => panic!("{line}: {other:?}"),
        };
        let event = gateway.log.wait(mark, PATIENCE, |event| {
            event["message"] == message && event["client"] == client_id.as_str()
        });
        let event =
            event.unwrap_or_else(|| panic!("{line}: no {message}:\n{}", gateway.log.text()));
        let said = event[field].as_str().unwrap_or_default().to_owned();
        if message == "client accepted" { Ok(said) } else { Err(said) }
    }

    /// The same where it must succeed.
    fn done(&self, gateway: &Gateway<'_>, line: &str) -> String {
        self.ask(gateway, line).unwrap_or_else(|why| panic!("{line}: {why}"))
    }

    /// The same where it must fail with an error that begins so.
    fn refused(&self, gateway: &Gateway<'_>, line: &str, error: &str) -> String {
        match self.ask(gateway, line) {
            Err(why) if why.contains(error) => why,
            other => panic!("{line}: {other:?} is not {error}"),
        }
    }
}

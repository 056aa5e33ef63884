//! What an extension was asked and said, and what it got from the gateway for it, as lines of JSON.

mod forms;
mod read;
mod stand_in;
mod veil;
mod write;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::extension::Extension;
use crate::said::Said;
use crate::tape::{HostCall, Tape};

pub(crate) use stand_in::StandIn;
pub(crate) use write::effective;

/// The form of recordings; another number is another form.
const FORM: u64 = 1;

/// The first line of a recording: of what it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingHeader {
    /// Name of the extension.
    pub extension: String,
    /// The version that decided when it began.
    pub version: String,
    /// Milliseconds since 1970 at its beginning.
    pub began_ms: u64,
    /// Whether passwords, tokens and what is in messages are in it as they were, and not their stand-ins.
    pub secrets: bool,
}

/// One call of a hook.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// The version that answered.
    pub(crate) by: Arc<str>,
    pub(crate) asked: Asked,
    pub(crate) said: Said,
    pub(crate) calls: Vec<HostCall>,
    /// What is in messages has stand-ins.
    pub(crate) is_veiled: bool,
}

/// What came of a call that was made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The client that it is about.
    pub client_id: String,
    /// The hook.
    pub hook: &'static str,
    /// What it was about, such as a topic; empty where the client is all.
    pub what: String,
    /// What was said when it was recorded.
    pub before: String,
    /// What is said now.
    pub now: String,
    /// Whether both have the same effect, as far as the recording says, and nothing is in `outside`. A recording without secrets
    /// has no such calls of a hook that is shown messages: there those in `outside` do not count.
    pub same: bool,
    /// Calls of `key-value`, `http` and `broker` that are not in the recording, and were not made; and changes and orders
    /// that are in it and were not asked for. Each is a sentence.
    pub outside: Vec<String>,
    /// Calls of other capabilities that are not in the recording, and were made in fact.
    pub improvised: u32,
}

impl RecordingHeader {
    /// The line, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        json!({
            "recording": FORM,
            "extension": self.extension,
            "version": self.version,
            "began_ms": self.began_ms,
            "secrets": self.secrets,
        })
        .to_string()
    }

    /// Reads the line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        match value["recording"].as_u64() {
            Some(FORM) => {}
            Some(other) => {
                return Err(format!("a recording of form {other}; this gateway reads form {FORM}"));
            }
            None => return Err("not the first line of a recording".to_owned()),
        }
        Ok(Self {
            extension: read::text(&value, "extension")?,
            version: read::text(&value, "version")?,
            began_ms: read::number(&value, "began_ms")?,
            secrets: value["secrets"] == true,
        })
    }
}

impl RecordedCall {
    /// Reads a line of a recording behind the first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        read::call(&value)
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// The line, without its end; secrets of the call have their stand-ins' places, if there are to be any.
    pub(crate) fn line(&self, stand_in: Option<&StandIn>) -> String {
        let Some(stand_in) = stand_in else { return write::call(self).to_string() };
        if self.is_about_message() {
            return write::call(&self.veiled(stand_in)).to_string();
        }
        let connection = &self.asked.connection;
        let users = connection.username.as_deref().into_iter().chain([&*connection.client_id]);
        let client_secret = self.asked.secret().map(|secret| stand_in.forms(secret, users));
        let mut calls = stand_in.hide(&self.calls);
        // Before digests are made of them: a candidate makes those of stand-ins.
        if let Some(forms) = &client_secret {
            for call in &mut calls {
                forms.replace(&mut call.arguments);
                forms.replace(&mut call.result);
            }
        }
        let mut value = write::call(&Self { calls, ..self.clone() });
        if let Some(forms) = &client_secret {
            forms.replace(&mut value);
        }
        value.to_string()
    }
}

impl Extension {
    /// Asks the running generation what was asked in a recording, and gives it what the capabilities answered then.
    #[must_use]
    pub fn replay(&self, call: &RecordedCall) -> Replayed {
        let tape = Tape::playing(&call.calls);
        let said = call.asked.ask(&self.generation(), Some(&tape));
        let outside = tape.differences();
        let agrees = match call.is_veiled {
            true => said.agrees_with_veiled(&call.said),
            false => said.agrees(&call.said),
        };
        Replayed {
            client_id: call.asked.client_id().to_owned(),
            hook: call.asked.hook(),
            what: call.asked.what().to_owned(),
            before: call.said.to_string(),
            now: match agrees {
                true => said.to_string(),
                false => said.told_apart_from(&call.said),
            },
            same: agrees && (call.is_veiled || outside.is_empty()),
            outside,
            improvised: tape.improvised(),
        }
    }
}

//! What is answered.

use serde_json::{Value, json};

/// An answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Status of HTTP; one that does not exist is sent as 500.
    pub status: u16,
    /// What is said.
    pub body: Body,
}

/// What is said in an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A document.
    Json(Value),
    /// Something for a reader who does not expect JSON.
    Text {
        /// Media type of the text, as in the header `content-type`.
        kind: &'static str,
        /// The text.
        text: String,
    },
}

impl Answer {
    /// It has been done, and this came of it.
    pub fn ok(document: Value) -> Self {
        Self { status: 200, body: Body::Json(document) }
    }

    /// It has not been done: `{"error": sentence}`. The sentence is for people.
    pub fn error(status: u16, sentence: impl Into<String>) -> Self {
        Self { status, body: Body::Json(json!({ "error": sentence.into() })) }
    }
}

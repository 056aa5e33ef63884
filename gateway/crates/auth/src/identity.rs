//! Who a client is.

use std::sync::Arc;

/// Who the client is, once authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The MQTT client identifier, as sent or as assigned by the gateway.
    pub client_id: Arc<str>,
    /// The name under which the authenticator knows the client.
    pub principal: Arc<str>,
    /// Further facts that the authenticator states, in its order. Of two with one name the first
    /// counts.
    pub attributes: Vec<(String, String)>,
}

impl Identity {
    /// The value of an attribute, if the authenticator stated it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

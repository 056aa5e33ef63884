//! Whose a client is, going by its token, and whose a topic is, going by its first level.

use portcullis_extension::VerifiedToken;

use crate::settings::Settings;

/// Names of the attributes that the authenticator gives a client and the authorizer reads again: an instance keeps
/// nothing about a client.
pub(crate) const TENANT: &str = "tenant";
pub(crate) const ROLE: &str = "role";
/// The value of the role that reaches all tenants.
pub(crate) const ADMIN: &str = "admin";

/// First level of the topics that all tenants may read.
pub(crate) const NOTICES: &str = "notices";

/// Bytes of a tenant's name, and of a principal as the gateway takes it.
const TENANT_BYTES_MAX: usize = 64;
const SUBJECT_BYTES_MAX: usize = 1024;

/// Whom a token is about.
pub(crate) struct Member {
    pub(crate) subject: String,
    pub(crate) tenant: String,
    pub(crate) is_admin: bool,
}

/// Reads the claims; the error is a sentence for the log.
pub(crate) fn member(settings: &Settings, token: &VerifiedToken) -> Result<Member, String> {
    let subject = token.subject.as_deref().unwrap_or_default();
    if !is_name(subject, SUBJECT_BYTES_MAX) {
        return Err(format!(
            "\"sub\" of the token is no name: one has 1 to {SUBJECT_BYTES_MAX} bytes without control characters"
        ));
    }
    let claim = &settings.tenant_claim;
    let tenant = token
        .value(claim)
        .ok_or_else(|| format!("the token has not exactly one value of \"{claim}\""))?;
    if !is_tenant(tenant) {
        return Err(format!(
            "\"{claim}\" of the token is no tenant: one has 1 to {TENANT_BYTES_MAX} bytes without /, +, # and control \
             characters, does not begin with $, and is not \"{NOTICES}\""
        ));
    }
    let is_admin = settings.admin.as_ref().is_some_and(|(claim, wanted)| {
        token.values(claim).unwrap_or_default().iter().any(|value| value == wanted)
    });
    Ok(Member { subject: subject.to_owned(), tenant: tenant.to_owned(), is_admin })
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.contains(char::is_control)
}

/// Whether a name can be the first level of topics, and nothing else.
fn is_tenant(name: &str) -> bool {
    is_name(name, TENANT_BYTES_MAX)
        && !name.contains(['/', '+', '#'])
        && !name.starts_with('$')
        && name != NOTICES
}

/// The first level of a topic or filter.
pub(crate) fn owner(topic: &str) -> &str {
    topic.split('/').next().unwrap_or_default()
}

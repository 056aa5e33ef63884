//! Whether a verified token lets a client in, and with what.

use portcullis_extension::{Client, PermissionSet, VerifiedToken};

use crate::permissions;
use crate::settings::{ClientIdRule, Settings};

/// What the gateway takes of attributes and in a principal: more would be an invalid answer.
const ATTRIBUTES_MAX: usize = 64;
const ATTRIBUTE_BYTES_MAX: usize = 16 * 1024;
const PRINCIPAL_BYTES_MAX: usize = 1024;

/// What a client is let in with.
#[derive(Debug, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) principal: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) permissions: Option<PermissionSet>,
    pub(crate) valid_for_ms: Option<u64>,
}

/// Holds the client to its token. The error is a sentence for the log; claims are not in it.
pub(crate) fn judge(
    settings: &Settings,
    client: &Client,
    token: &VerifiedToken,
) -> Result<Accepted, String> {
    let principal = principal(token, &settings.principal_claim)?;
    check_username(settings, client, token)?;
    check_client_id(settings, client, token)?;
    let attributes = attributes(settings, token)?;
    let permissions = permissions::of(settings, &principal, token)?;
    let valid_for_ms = token.valid_for_ms;
    Ok(Accepted { principal, attributes, permissions, valid_for_ms })
}

fn one<'a>(token: &'a VerifiedToken, claim: &str) -> Result<&'a str, String> {
    token.value(claim).ok_or_else(|| format!("the token has not exactly one value of \"{claim}\""))
}

fn principal(token: &VerifiedToken, claim: &str) -> Result<String, String> {
    let name = one(token, claim)?;
    if name.is_empty() || name.len() > PRINCIPAL_BYTES_MAX || name.contains(char::is_control) {
        return Err(format!(
            "\"{claim}\" is no name: one has 1 to {PRINCIPAL_BYTES_MAX} bytes and no control characters"
        ));
    }
    Ok(name.to_owned())
}

fn check_username(
    settings: &Settings,
    client: &Client,
    token: &VerifiedToken,
) -> Result<(), String> {
    let (Some(claim), Some(username)) = (&settings.username_claim, &client.username) else {
        return Ok(());
    };
    if one(token, claim)? == username {
        return Ok(());
    }
    Err(format!("the user name is another than \"{claim}\" of the token"))
}

fn check_client_id(
    settings: &Settings,
    client: &Client,
    token: &VerifiedToken,
) -> Result<(), String> {
    let (claim, fits) = match &settings.client_id {
        ClientIdRule::Any => return Ok(()),
        ClientIdRule::Equals(claim) => (claim, client.client_id == one(token, claim)?),
        ClientIdRule::Prefix(claim) => {
            let rest = client.client_id.strip_prefix(one(token, claim)?);
            (claim, rest.is_some_and(|r| r.is_empty() || r.starts_with(&settings.separator)))
        }
    };
    // An empty value is the beginning of everything.
    if fits && !one(token, claim)?.is_empty() {
        return Ok(());
    }
    Err(format!("the client identifier is not that of \"{claim}\" of the token"))
}

/// A claim that the token has not gives no attribute, and a rule with `${attr.NAME}` then matches nothing.
fn attributes(settings: &Settings, token: &VerifiedToken) -> Result<Vec<(String, String)>, String> {
    let mut attributes = Vec::new();
    for (name, claim) in &settings.attributes {
        for value in token.values(claim).unwrap_or_default() {
            attributes.push((name.clone(), value.clone()));
        }
    }
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    if attributes.len() > ATTRIBUTES_MAX || bytes > ATTRIBUTE_BYTES_MAX {
        return Err(format!(
            "the token gives {} attributes of {bytes} bytes; there can be {ATTRIBUTES_MAX} of \
             {ATTRIBUTE_BYTES_MAX}",
            attributes.len()
        ));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::read;

    fn token(claims: &[(&str, &[&str])]) -> VerifiedToken {
        let mut flattened: Vec<_> = claims
            .iter()
            .map(|(path, values)| {
                ((*path).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        flattened.sort();
        VerifiedToken { claims: String::new(), flattened, subject: None, valid_for_ms: Some(5) }
    }

    fn client(client_id: &str, username: Option<&str>) -> Client {
        Client {
            connection_id: 1,
            client_id: client_id.to_owned(),
            username: username.map(str::to_owned),
            principal: None,
        }
    }

    fn settings(more: &[(&str, &str)]) -> Settings {
        read(&[&[("key-set", "plant")], more].concat()).unwrap()
    }

    #[test]
    fn a_token_gives_name_attributes_and_an_end() {
        let settings = settings(&[("attributes", "tenant,roles,none")]);
        let token = token(&[("sub", &["meter-7"]), ("tenant", &["north"]), ("roles", &["a", "b"])]);
        let accepted = judge(&settings, &client("c", None), &token).unwrap();
        assert_eq!((&*accepted.principal, accepted.valid_for_ms), ("meter-7", Some(5)));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("tenant", "north"), pair("roles", "a"), pair("roles", "b")];
        assert_eq!(accepted.attributes, expected);
        assert_eq!(accepted.permissions, None, "the authorizers of the chain say");
    }

    #[test]
    fn a_principal_is_one_name() {
        let settings = settings(&[("principal-claim", "who")]);
        let long = "x".repeat(PRINCIPAL_BYTES_MAX + 1);
        for values in [&[][..], &[""], &["a", "b"], &["a\nb"], &[&*long]] {
            assert!(judge(&settings, &client("c", None), &token(&[("who", values)])).is_err());
        }
        assert!(judge(&settings, &client("c", None), &token(&[("sub", &["a"])])).is_err());
        assert!(judge(&settings, &client("c", None), &token(&[("who", &["a"])])).is_ok());
    }

    #[test]
    fn a_user_name_may_have_to_be_that_of_the_token() {
        let settings = settings(&[("username-claim", "name")]);
        let judge = |username, token: &VerifiedToken| {
            judge(&settings, &client("c", username), token).is_ok()
        };
        let named = token(&[("sub", &["s"]), ("name", &["ann"])]);
        assert!(judge(None, &named) && judge(Some("ann"), &named));
        assert!(!judge(Some("bob"), &named) && !judge(Some(""), &named));
        assert!(!judge(Some("ann"), &token(&[("sub", &["s"])])));
    }

    #[test]
    fn a_client_identifier_may_be_bound_to_a_claim() {
        let token = token(&[("sub", &["meter-1"]), ("empty", &[""])]);
        for (rule, client_id, fits) in [
            ("any", "x", true),
            ("equals:sub", "meter-1", true),
            ("equals:sub", "meter-10", false),
            ("equals:sub", "Meter-1", false),
            ("equals:none", "meter-1", false),
            ("prefix:sub", "meter-1", true),
            ("prefix:sub", "meter-1-b", true),
            ("prefix:sub", "meter-10", false),
            ("prefix:sub", "x-meter-1", false),
            ("prefix:empty", "-x", false),
        ] {
            let settings = settings(&[("client-id", rule)]);
            let found = judge(&settings, &client(client_id, None), &token);
            assert_eq!(found.is_ok(), fits, "{rule} {client_id}: {found:?}");
        }
    }

    #[test]
    fn attributes_are_no_more_than_the_gateway_takes() {
        let many = ["x"; ATTRIBUTES_MAX + 1];
        let settings = settings(&[("attributes", "a")]);
        let judge = |values: &[&str]| {
            judge(&settings, &client("c", None), &token(&[("sub", &["s"]), ("a", values)]))
        };
        assert!(judge(&many[1..]).is_ok());
        assert!(judge(&many).is_err());
        assert!(judge(&["x".repeat(ATTRIBUTE_BYTES_MAX).as_str()]).is_err());
    }
}

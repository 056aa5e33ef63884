//! What a token lets its client do.

use portcullis_extension::{Actions, PermissionSet, Rule, VerifiedToken};
use portcullis_rules::check_filter;

use crate::settings::Settings;

/// The rules of the operator, then what the claim allows, and nothing else; none where neither is asked for.
pub(crate) fn of(
    settings: &Settings,
    principal: &str,
    token: &VerifiedToken,
) -> Result<Option<PermissionSet>, String> {
    if settings.rules.is_none() && settings.permissions_claim.is_none() {
        return Ok(None);
    }
    let stated = settings.rules.as_ref();
    let mut rules = stated.map(|rules| rules.granted_to(principal)).unwrap_or_default();
    if let Some(claim) = &settings.permissions_claim {
        let both = Actions::PUBLISH | Actions::SUBSCRIBE;
        let parts =
            [("", both), (".publish", Actions::PUBLISH), (".subscribe", Actions::SUBSCRIBE)];
        for (part, actions) in parts {
            let path = format!("{claim}{part}");
            for filter in token.values(&path).unwrap_or_default() {
                rules.push(allow(actions, filter, &path)?);
            }
        }
    }
    Ok(Some(PermissionSet::first_match(rules)))
}

fn allow(actions: Actions, filter: &str, path: &str) -> Result<Rule, String> {
    let valid = match filter {
        "" => Err("is empty".to_owned()),
        filter => check_filter(filter).map_err(|fault| fault.to_string()),
    };
    valid.map_err(|fault| format!("\"{path}\" of the token holds a filter that {fault}"))?;
    let label = Some(format!("claim {path}: {filter}"));
    Ok(Rule { label, ..Rule::allow(actions, filter) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::read;

    fn granted(
        values: &[(&str, &str)],
        claims: &[(&str, &[&str])],
    ) -> Result<Option<Vec<String>>, String> {
        let settings = read(&[&[("key-set", "plant")], values].concat()).unwrap();
        let flattened = claims
            .iter()
            .map(|(path, values)| {
                ((*path).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        let token =
            VerifiedToken { claims: String::new(), flattened, subject: None, valid_for_ms: None };
        let set = of(&settings, "meter-7", &token)?;
        let shown = |rule: &Rule| {
            let publish = if rule.actions.contains(Actions::PUBLISH) { "p" } else { "" };
            let subscribe = if rule.actions.contains(Actions::SUBSCRIBE) { "s" } else { "" };
            format!("{publish}{subscribe} {}", rule.filter)
        };
        Ok(set.map(|set| set.rules.iter().map(shown).collect()))
    }

    #[test]
    fn rules_come_before_what_the_claim_allows() {
        let rules = (
            "rules",
            "deny * * secret/#\nallow publish user:meter-7 up/${attr.site}\nallow * user:x #",
        );
        let claim = ("permissions-claim", "acl");
        let claims: &[(&str, &[&str])] =
            &[("acl", &["a/#"]), ("acl.publish", &["b"]), ("acl.subscribe", &["c/+", "d"])];
        assert_eq!(granted(&[], claims), Ok(None));
        let own = ["ps secret/#", "p up/${attr.site}"].map(str::to_owned).to_vec();
        assert_eq!(granted(&[rules], claims), Ok(Some(own.clone())));
        let claimed = ["ps a/#", "p b", "s c/+", "s d"].map(str::to_owned).to_vec();
        assert_eq!(granted(&[claim], claims), Ok(Some(claimed.clone())));
        assert_eq!(granted(&[rules, claim], claims), Ok(Some([own, claimed].concat())));
        assert_eq!(granted(&[claim], &[]), Ok(Some(Vec::new())), "nothing is allowed");
    }

    #[test]
    fn a_filter_that_is_none_refuses_the_token() {
        for filter in ["", "a/#/b", "$share/g/a", "${nobody}"] {
            let found = granted(&[("permissions-claim", "acl")], &[("acl", &[filter])]);
            assert!(found.is_err_and(|why| why.contains("\"acl\"")), "{filter}");
        }
    }
}

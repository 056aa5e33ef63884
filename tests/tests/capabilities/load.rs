use crate::{GRANTS, Stage};

/// What `portcullis check` says.
fn said(stage: &Stage) -> String {
    let out = stage.site.check();
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn what_is_asked_for_and_not_granted_is_refused_with_the_line_to_add() {
    // One is enough to refuse it; which comes first is the component's affair.
    let stage = Stage::new(&["key-value", "http", "log"], "");
    let why = said(&stage);
    assert!(why.contains("portcullis:gateway/broker") && why.contains("add \"broker\""), "{why}");
    let stage = Stage::new(&["broker", "http", "log"], "");
    let why = said(&stage);
    assert!(
        why.contains("portcullis:host/key-value") && why.contains("add \"key-value\""),
        "{why}"
    );
    let stage = Stage::new(&["broker", "key-value", "log"], "");
    let why = said(&stage);
    assert!(why.contains("portcullis:host/http") && why.contains("add \"http\""), "{why}");
}

#[test]
fn a_connection_of_a_kind_that_is_not_built_in_is_refused_by_name() {
    for kind in ["sql", "redis", "ldap"] {
        let more = format!("[extensions.probe.connections.db]\nkind = \"{kind}\"\nurl = \"x\"\n");
        let why = said(&Stage::new(&GRANTS, &more));
        let expected = format!("{kind} connections are not built into this gateway");
        assert!(why.contains(&expected) && why.contains("connection \"db\""), "{why}");
    }
}

#[test]
fn a_configuration_is_checked_beside_a_gateway_that_runs() {
    let stage = Stage::new(&GRANTS, "");
    let gateway = stage.start();
    stage.done(&gateway, "set a 1");
    let out = stage.site.check();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(stage.done(&gateway, "get a"), "value 1");
}

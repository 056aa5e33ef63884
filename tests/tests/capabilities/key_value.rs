use std::time::{Duration, Instant};

use crate::{GRANTS, Stage};

#[test]
fn what_is_kept_is_there_after_kill_9() {
    let stage = Stage::new(&GRANTS, "");
    let mut counted = 0;
    for cycle in 1..=3 {
        let gateway = stage.start();
        if cycle > 1 {
            assert_eq!(stage.done(&gateway, "get last"), format!("value cycle-{}", cycle - 1));
            assert_eq!(stage.done(&gateway, "get counter"), format!("value {counted}"));
        }
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            counted += 1;
            assert_eq!(stage.done(&gateway, "add counter 1"), counted.to_string());
        }
        stage.done(&gateway, &format!("set last cycle-{cycle}"));
        // The answer has been read, and nothing else is waited for.
        gateway.kill();
    }
    println!("3 kills, {counted} changes told, 0 lost");
}

#[test]
fn keys_are_compared_counted_listed_and_deleted_and_a_new_version_finds_them() {
    let stage = Stage::new(&GRANTS, "");
    let gateway = stage.start();
    assert_eq!(stage.done(&gateway, "swap lock - mine"), "true");
    assert_eq!(stage.done(&gateway, "swap lock - yours"), "false");
    assert_eq!(stage.done(&gateway, "swap lock mine -"), "true");
    assert_eq!(stage.done(&gateway, "get lock"), "no value");
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        stage.done(&gateway, &format!("set {key} x"));
    }
    assert_eq!(stage.done(&gateway, "keys a/ 2"), "a/1 a/2 more=true");
    assert_eq!(stage.done(&gateway, "keys a/ 2 a/2"), "a/3 more=false");
    assert_eq!(stage.done(&gateway, "delete a/1"), "true");
    assert_eq!(stage.done(&gateway, "delete a/1"), "false");
    stage.refused(&gateway, "add b/1 1", "StoreError::Invalid");
    stage.configure(&GRANTS, "memory = \"8 MiB\"");
    assert_eq!(gateway.reload().len(), 1, "another version");
    assert_eq!(stage.done(&gateway, "get b/1"), "value x");
    let (status, log) = gateway.stop();
    assert!(status.success(), "{}", log.text());
}

#[test]
fn a_quota_is_the_operators_and_changes_while_the_gateway_runs() {
    let quota = |keys: u32| format!("key-value = {{ max-keys = {keys}, max-bytes = \"100 B\" }}");
    let stage = Stage::new(&GRANTS, &quota(2));
    let gateway = stage.start();
    stage.done(&gateway, "set a 1");
    stage.done(&gateway, "set b 1");
    let why = stage.refused(&gateway, "set c 1", "StoreError::QuotaExceeded");
    assert!(why.contains("2 keys"), "{why}");
    stage.refused(&gateway, &format!("set a {}", "x".repeat(200)), "StoreError::QuotaExceeded");
    assert_eq!(stage.done(&gateway, "get a"), "value 1");
    stage.configure(&GRANTS, &quota(3));
    gateway.reload();
    stage.done(&gateway, "set c 1");
}

//! `cargo xtask test --target TARGET`: the core of the black-box tests, on the gateway as it is shipped for a target.
//!
//! The tests are programs of this machine; the gateway is one of the target, and runs under an emulator of its processor.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::command::{cargo, watch};
use crate::dist::build::{self, Build};
use crate::dist::target::Target;
use crate::emulator::Start;
use crate::extensions;
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::root::Root;
use crate::run::PROGRAM;
use crate::test;

/// How many times as long the tests wait as on a machine of the target's own kind.
const PATIENCE: (&str, &str) = ("PORTCULLIS_PATIENCE", "4");

/// What they take of the system.
const PACKAGES: [Package; 3] = [
    Package { name: "mosquitto", brings: "mosquitto" },
    Package { name: "mosquitto-clients", brings: "mosquitto_sub" },
    Package { name: "openssl", brings: "openssl" },
];

/// Tests of one program of them.
struct Group {
    /// The program.
    of: &'static str,
    /// What of it depends on the processor, the system's library for it, or the width of an address.
    names: &'static [&'static str],
}

/// What the gateway is for, and what is most likely to be another on another machine: cryptography written in assembler, code
/// that the engine makes or interprets, signals and threads, files that are synced and mapped, sockets with options.
/// What is left out measures times, needs a process of the gateway's own beside it, or looks into the machine.
const CORE: [Group; 14] = [
    // From nothing to a message over TLS; argon2 and rules, in guests.
    Group {
        of: "first_start",
        names: &[
            "the_printed_commands_pass_a_message_as_printed",
            "strangers_are_refused_and_the_log_says_why",
            "a_forbidden_topic_is_refused_and_the_log_names_the_rule",
            "a_user_who_is_added_gets_in_after_sighup",
            "check_reports_all_faults_at_once_with_file_and_line",
        ],
    },
    // TLS, beside an implementation of others.
    Group {
        of: "tls",
        names: &[
            "openssl::the_certificate_of_the_name_is_shown",
            "openssl::only_tls_1_3_is_spoken_and_nothing_before_the_end_of_the_handshake",
            "openssl::who_is_revoked_cannot_resume_an_earlier_session",
            "authority::what_the_authority_issues_is_what_openssl_verifies",
        ],
    },
    Group { of: "certificates", names: &["a_certificate_names_its_client"] },
    // UDP with its options; a session that goes on over another transport.
    Group {
        of: "quic",
        names: &[
            "clients_of_all_transports_meet_and_a_session_follows_its_client",
            "a_client_that_is_gone_leaves_its_will",
            "a_refused_client_hears_why_before_the_connection_ends",
            "a_stop_of_the_gateway_is_told",
        ],
    },
    Group {
        of: "streams",
        names: &[
            "answers_and_deliveries_come_where_they_belong",
            "nothing_is_lost_when_a_stream_goes_and_qos_2_comes_once",
        ],
    },
    // Signatures of tokens; times as numbers.
    Group {
        of: "tokens",
        names: &[
            "password::only_what_the_issuer_signed_for_this_gateway_is_let_in",
            "password::claims_say_what_a_client_may_do",
            "password::keys_in_a_file_come_and_go",
        ],
    },
    // Guests that are asked much, replaced while they answer, and that keep something.
    Group {
        of: "extensions",
        names: &[
            "each_publish_of_a_batch_gets_its_own_answer_however_it_was_asked",
            "components_are_replaced_and_no_client_notices",
        ],
    },
    Group { of: "enhanced", names: &["a_client_is_let_in_after_its_answer_to_a_challenge"] },
    Group { of: "capabilities", names: &["key_value::what_is_kept_is_there_after_kill_9"] },
    // Code that an earlier start has kept is code for the next one.
    Group { of: "trust", names: &["code::the_second_start_has_the_code_of_the_first"] },
    // What was acknowledged is there after `kill -9`.
    Group {
        of: "crash",
        names: &[
            "at_qos_1_nothing_acknowledged_is_lost",
            "at_qos_2_everything_arrives_exactly_once",
            "a_subscriber_that_is_there_gets_everything_exactly_once",
            "retained_messages_survive",
            "sessions_and_subscriptions_survive",
        ],
    },
    // A panic of the database is caught.
    Group {
        of: "durability",
        names: &["sigterm_loses_nothing", "a_damaged_store_is_reported_and_the_gateway_starts"],
    },
    Group {
        of: "bridge",
        names: &[
            "mosquitto::messages_pass_both_ways_in_mqtt_5",
            "mosquitto::messages_pass_both_ways_in_mqtt_3_1_1",
            "outages::both_directions_survive_an_outage",
            "killed::at_qos_1_nothing_acknowledged_is_lost",
            "killed::at_qos_2_everything_arrives_exactly_once",
        ],
    },
    Group { of: "doors", names: &["websocket::a_client_is_let_in_and_known_by_how_it_came"] },
];

/// What of them is about the process of its own in which the gateway compiles.
const STARTS_ITSELF: [&str; 1] = ["code::the_second_start_has_the_code_of_the_first"];

/// The names of the tests that mean something where programs are started this way.
fn wanted(starts_itself: bool) -> Vec<&'static str> {
    let names = CORE.iter().flat_map(|group| group.names).copied();
    names.filter(|name| starts_itself || !STARTS_ITSELF.contains(name)).collect()
}

/// Builds the gateway for the target and runs the core of the tests on it.
pub(crate) fn run(root: &Root, triple: &str) -> Result<(), Failure> {
    let begin = Instant::now();
    let target = Target::named(triple)?;
    packages::ensure(&PACKAGES, "interoperability tests")?;
    let components = extensions::build(root)?;
    let built = build::gateway(root, Build { target, runtime_only: false })?;
    let start = Start::find(root, target)?;
    let program = start.file(&built.program)?;

    let mut tests = start.command(cargo().get_program());
    tests.current_dir(root.path()).args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    tests.args(CORE.iter().flat_map(|group| ["--test", group.of])).args(["--", "--exact"]);
    let wanted = wanted(start.starts_itself());
    for name in STARTS_ITSELF.iter().filter(|name| !wanted.contains(name)) {
        println!("{name} is left out: under this emulator a program cannot start itself");
    }
    tests.args(&wanted).env(PROGRAM, &program).env(test::EXTENSIONS, components);
    let (patience, times) = PATIENCE;
    tests.env(patience, times);
    let mut passed = Vec::new();
    let all_passed = watch(&mut tests, |line| passed.extend(name_of_passed(line)))?;

    let passed: BTreeSet<_> = passed.iter().map(String::as_str).collect();
    let missing: Vec<_> = wanted.into_iter().filter(|name| !passed.contains(name)).collect();
    let all = passed.len() + missing.len();
    println!("{triple}: {} of {all} passed in {} s", passed.len(), begin.elapsed().as_secs());
    if all_passed && missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("failed, or not there any more: {}", missing.join(", "))))
}

/// The name in a line about a test that passed.
fn name_of_passed(line: &str) -> Option<String> {
    line.strip_prefix("test ")?.strip_suffix(" ... ok").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passed_counts() {
        assert_eq!(name_of_passed("test a::b ... ok").as_deref(), Some("a::b"));
        for line in ["test a::b ... FAILED", "test result: ok. 1 passed", "a ... ok"] {
            assert_eq!(name_of_passed(line), None, "{line}");
        }
    }

    #[test]
    fn the_core_is_large_enough_and_names_nothing_twice() {
        let names: Vec<_> = CORE.iter().flat_map(|group| group.names).collect();
        assert!(names.len() >= 25, "{}", names.len());
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(wanted(true).len(), names.len());
        assert_eq!(wanted(false).len(), names.len() - STARTS_ITSELF.len());
    }
}

//! What the options of Mosquitto's programs ask for: properties, request and response, sessions, shares, wills.

use portcullis_tests::tools::{mosquitto_pub, mosquitto_rr, mosquitto_sub};
use portcullis_tests::{Gateway, Site};

use crate::mosquitto::{expect, gone};

/// One publish by `mosquitto_pub`, and what `mosquitto_sub` prints of it.
struct Exchange {
    subscribe: &'static [&'static str],
    format: &'static str,
    publish: &'static [&'static str],
    printed: &'static str,
}

const EXCHANGES: &[Exchange] = &[
    Exchange {
        subscribe: &["-t", "demo/x", "-q", "1", "-C", "1"],
        format: "%C|%F|%R|%D|%P|%p",
        publish: &[
            "-t",
            "demo/x",
            "-q",
            "1",
            "-m",
            "all",
            "-D",
            "publish",
            "content-type",
            "text/plain",
            "-D",
            "publish",
            "payload-format-indicator",
            "1",
            "-D",
            "publish",
            "response-topic",
            "demo/answers",
            "-D",
            "publish",
            "correlation-data",
            "c-7",
            "-D",
            "publish",
            "user-property",
            "z",
            "1",
            "-D",
            "publish",
            "user-property",
            "a",
            "2",
            "-D",
            "publish",
            "user-property",
            "z",
            "3",
        ],
        printed: "text/plain|1|demo/answers|c-7|z:1 a:2 z:3|all\n",
    },
    Exchange {
        subscribe: &["-t", "demo/x", "-C", "1", "-D", "subscribe", "subscription-identifier", "77"],
        format: "%S %p",
        publish: &["-t", "demo/x", "-m", "numbered"],
        printed: "77 numbered\n",
    },
    Exchange {
        subscribe: &["-t", "demo/x", "-q", "1", "-C", "3"],
        format: "%t %p",
        publish: &[
            "-t",
            "demo/x",
            "-q",
            "1",
            "-m",
            "again",
            "--repeat",
            "3",
            "-D",
            "publish",
            "topic-alias",
            "5",
        ],
        printed: "demo/x again\ndemo/x again\ndemo/x again\n",
    },
    Exchange {
        subscribe: &[
            "-t",
            "demo/x",
            "-q",
            "2",
            "-C",
            "1",
            "-k",
            "5",
            "-D",
            "connect",
            "receive-maximum",
            "1",
            "-D",
            "connect",
            "maximum-packet-size",
            "64",
            "-D",
            "connect",
            "request-problem-information",
            "0",
            "-D",
            "connect",
            "user-property",
            "line",
            "4",
            "-D",
            "subscribe",
            "user-property",
            "line",
            "4",
        ],
        format: "%q %p",
        publish: &["-t", "demo/x", "-q", "2", "-m", "small"],
        printed: "2 small\n",
    },
];

#[test]
fn properties_arrive_as_they_were_sent() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    for exchange in EXCHANGES {
        let format = ["-V", "mqttv5", "-F", exchange.format];
        let subscriber = mosquitto_sub(&site, &[&format, exchange.subscribe].concat());
        gateway.wait_for("subscriptions", 1);
        let arguments = [&["-V", "mqttv5"], exchange.publish].concat();
        expect(&mosquitto_pub(&site, &arguments), "");
        expect(&subscriber.finish(), exchange.printed);
        gone(&gateway);
    }
    gateway.assert_sound();
}

#[test]
fn a_request_gets_its_response() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let wanted = ["-V", "mqttv5", "-t", "demo/request", "-C", "1", "-F", "%R %D %p"];
    let responder = mosquitto_sub(&site, &wanted);
    gateway.wait_for("subscriptions", 1);
    let question = ["-t", "demo/request", "-e", "demo/answers/1", "-q", "1", "-m", "question"];
    let question = [&question[..], &["-D", "publish", "correlation-data", "c-8"]].concat();
    let requester = mosquitto_rr(&site, &question);
    expect(&responder.finish(), "demo/answers/1 c-8 question\n");
    let answer = ["-V", "mqttv5", "-t", "demo/answers/1", "-q", "1", "-m", "answer"];
    expect(&mosquitto_pub(&site, &answer), "");
    expect(&requester.finish(), "answer\n");
    gateway.assert_sound();
}

#[test]
fn a_session_is_kept_as_long_as_was_asked_for() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    for (version, id, expiry) in [
        ("mqttv311", "old", &[][..]),
        ("mqttv5", "new", &["-x", "60"]),
        ("mqttv5", "ever", &["-x", "-1"]),
    ] {
        let client = ["-V", version, "-c", "-i", id, "-q", "1", "-t", "demo/session"];
        let client = [&client[..], expiry].concat();
        expect(&mosquitto_sub(&site, &[&client[..], &["-E"]].concat()).finish(), "");
        let message = ["-V", version, "-q", "1", "-t", "demo/session", "-m", "meanwhile"];
        expect(&mosquitto_pub(&site, &message), "");
        let back = [&client[..], &["-C", "1"]].concat();
        expect(&mosquitto_sub(&site, &back).finish(), "meanwhile\n");
        // Ends the session that it finds.
        let end = ["-V", version, "-i", id, "-t", "demo/other", "-E"];
        expect(&mosquitto_sub(&site, &end).finish(), "");
        gone(&gateway);
    }
    gateway.assert_sound();
}

/// Each member ends when it has its half, so all end only if the halves are even.
#[test]
fn members_of_a_share_get_the_same_number_of_messages() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    for version in ["mqttv311", "mqttv5"] {
        let member = ["-V", version, "-q", "1", "-t", "$share/crew/demo/work", "-C", "10"];
        let crew = [mosquitto_sub(&site, &member), mosquitto_sub(&site, &member)];
        gateway.wait_for("subscriptions", 2);
        let work = ["-V", version, "-q", "1", "-t", "demo/work", "-m", "piece", "--repeat", "20"];
        expect(&mosquitto_pub(&site, &work), "");
        for member in crew {
            expect(&member.finish(), &"piece\n".repeat(10));
        }
        gone(&gateway);
    }
    gateway.assert_sound();
}

#[test]
fn a_will_waits_and_has_properties() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let witness = ["-V", "mqttv5", "-t", "demo/will", "-q", "2", "-C", "1", "-F", "%q %r %C %P %p"];
    let witness = mosquitto_sub(&site, &witness);
    let mortal = [
        "-V",
        "mqttv5",
        "-x",
        "60",
        "-t",
        "demo/other",
        "--will-topic",
        "demo/will",
        "--will-payload",
        "gone",
        "--will-qos",
        "2",
        "--will-retain",
        "-D",
        "will",
        "will-delay-interval",
        "1",
        "-D",
        "will",
        "content-type",
        "text/plain",
        "-D",
        "will",
        "user-property",
        "why",
        "power",
    ];
    let mortal = mosquitto_sub(&site, &mortal);
    gateway.wait_for("subscriptions", 2);
    mortal.kill();
    expect(&witness.finish(), "2 0 text/plain why:power gone\n");
    let late = ["-V", "mqttv5", "-t", "demo/will", "-C", "1", "-F", "%r %p", "-W", "30"];
    expect(&mosquitto_sub(&site, &late).finish(), "1 gone\n");
    gateway.assert_sound();
}

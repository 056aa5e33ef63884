//! What one check costs: 100 rules, of which the last matches; 50 of which each has a placeholder; and 50 as people write them.

#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]
#![allow(clippy::expect_used, reason = "a benchmark of a broken set would measure nothing")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mqtt::{QoS, TopicFilter};
use portcullis_auth::{
    Actions, Decision, Effect, Fallback, Identity, PermissionSet, Permissions, Rule,
};

fn rule(filter: String) -> Rule {
    Rule {
        effect: Effect::Allow,
        actions: Actions::BOTH,
        filter,
        max_qos: QoS::ExactlyOnce,
        retain: true,
        label: None,
    }
}

fn compile(filters: impl Iterator<Item = String>) -> PermissionSet {
    let permissions = Permissions {
        rules: filters.map(rule).collect(),
        fallback: Fallback::Deny,
        source: "bench@00000000".into(),
    };
    PermissionSet::compile(&permissions).expect("the filters are valid")
}

fn permission(criterion: &mut Criterion) {
    let who = Identity {
        client_id: "meter-0042".into(),
        principal: "meters".into(),
        attributes: vec![("site".into(), "north".into())],
    };
    let everything = compile(["#".to_owned()].into_iter());
    let literal = compile((0..100).map(|n| format!("site/line{n}/cell/telemetry")));
    let wildcard =
        compile((0..99).map(|n| format!("+/+/cell{n}/#")).chain(["+/+/cell/telemetry".to_owned()]));
    let placeholder = compile(
        (0..99)
            .map(|n| format!("site/${{attr.a{n}}}/cell/#"))
            .chain(["site/line99/cell/telemetry".to_owned()]),
    );
    let fifty = compile(
        (0..49)
            .map(|n| format!("site/${{attr.a{n}}}/cell/#"))
            .chain(["site/line99/cell/telemetry".to_owned()]),
    );
    // Groups of devices, each with topics of its own, a few of which are everybody's.
    let written = compile(
        (0..12)
            .flat_map(|n| {
                [
                    format!("plant{n}/${{client-id}}/#"),
                    format!("plant{n}/+/${{attr.site}}/status"),
                    format!("plant{n}/shared/telemetry"),
                    format!("plant{n}/commands/${{principal}}/+"),
                ]
            })
            .chain(["alarms/#".to_owned(), "site/+/cell/telemetry".to_owned()]),
    );
    let topic = "site/line99/cell/telemetry";
    let mut group = criterion.benchmark_group("permission");
    for (name, set) in [
        ("everything", &everything),
        ("100 literal rules", &literal),
        ("100 wildcard rules", &wildcard),
        ("99 placeholder rules", &placeholder),
        ("49 placeholder rules", &fifty),
        ("50 rules as written", &written),
    ] {
        assert!(set.check_publish(&who, topic, QoS::AtLeastOnce, false).is_allowed());
        group.bench_function(format!("publish, {name}"), |bencher| {
            bencher.iter(|| set.check_publish(&who, black_box(topic), QoS::AtLeastOnce, false));
        });
    }
    let own = compile(["devices/${client-id}/#".to_owned()].into_iter());
    group.bench_function("publish, own topics", |bencher| {
        bencher.iter(|| {
            own.check_publish(&who, black_box("devices/meter-0042/power"), QoS::AtMostOnce, false)
        });
    });
    let filter = TopicFilter::new("site/line99/cell/telemetry").expect("the filter is valid");
    assert_ne!(literal.check_subscribe(&who, filter, QoS::AtMostOnce), Decision::Ask);
    group.bench_function("subscribe, 100 literal rules", |bencher| {
        bencher.iter(|| literal.check_subscribe(&who, black_box(filter), QoS::AtMostOnce));
    });
    group.finish();
}

criterion_group!(benches, permission);
criterion_main!(benches);

use super::*;
use mqtt::TopicName;

fn message(text: &str) -> Arc<Message> {
    Arc::new(Message {
        topic: TopicName::new("t").expect("valid").to_owned(),
        payload: text.as_bytes().into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Box::default(),
        expires: None,
    })
}

fn row(count: u64, window: u16, qos: QoS) -> Outbound<u64> {
    let mut row = Outbound::new(0);
    for n in 0..count {
        row.push(message("m"), qos, false, None, n);
    }
    row.connect(window);
    row
}

/// A delivery that comes back, with its number as its note.
fn back(sequence: u64, message: Option<Arc<Message>>, qos: QoS, weight: usize) -> Returning<u64> {
    let load = Load { weight, ..Load::default() };
    Returning { sequence, message, qos, retain: false, load, tag: sequence }
}

/// Sends what may be sent: (identifier, DUP), or (identifier, "release").
fn sent(row: &mut Outbound<u64>) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(transmission) = row.next_to_send(|_| true) {
        out.push(match transmission {
            Transmission::Publish { packet_id, dup, .. } => {
                format!("{}{}", packet_id.get(), if dup { " dup" } else { "" })
            }
            Transmission::Release { packet_id } => format!("{} release", packet_id.get()),
        });
    }
    out
}

/// What is left of a delivery that was in flight.
fn confirmed(sequence: u64) -> Settled<u64> {
    let weight = message("m").weight();
    Settled { sequence, tag: sequence, in_flight: true, weight }
}

fn id(n: u16) -> PacketId {
    PacketId::new(n).expect("non-zero")
}

#[test]
fn at_most_a_window_is_in_flight_and_each_puback_opens_it() {
    let mut row = row(5, 2, QoS::AtLeastOnce);
    assert_eq!(sent(&mut row), ["1", "2"]);
    assert_eq!(row.puback(id(2)), Some(confirmed(1)));
    assert_eq!(sent(&mut row), ["3"], "out of order confirmations count");
    assert_eq!(row.puback(id(2)), None, "twice is once");
    assert_eq!(row.puback(id(5)), None, "not sent yet");
    assert_eq!((row.len(), row.in_flight()), (4, 2));
}

#[test]
fn a_new_connection_resends_in_order_with_dup_and_then_goes_on() {
    let mut row = row(4, 3, QoS::AtLeastOnce);
    assert_eq!(sent(&mut row), ["1", "2", "3"]);
    row.puback(id(2));
    row.connect(10);
    assert_eq!(sent(&mut row), ["1 dup", "3 dup", "4"]);
}

#[test]
fn qos_2_goes_through_release_and_a_resume_sends_only_pubrel() {
    let mut row = row(2, 10, QoS::ExactlyOnce);
    assert_eq!(sent(&mut row), ["1", "2"]);
    assert!(row.pubcomp(id(1)).is_none(), "PUBCOMP before PUBREC confirms nothing");
    assert!(row.pubrec(id(1)).is_some());
    assert!(row.pubrec(id(1)).is_some(), "a repeated PUBREC is answered again");
    assert!(row.puback(id(2)).is_none(), "PUBACK does not confirm QoS 2");
    row.connect(10);
    assert_eq!(sent(&mut row), ["1 release", "2 dup"]);
    assert_eq!(row.pubcomp(id(1)), Some(Settled { weight: 0, ..confirmed(0) }));
    assert_eq!(row.pubrec_refused(id(2)), Some(confirmed(1)));
    assert!(row.is_empty());
}

#[test]
fn identifiers_wrap_and_are_never_shared_by_two_deliveries() {
    let mut row: Outbound<u64> = Outbound::new(0);
    row.connect(u16::MAX);
    let (_, stuck) = row.push_sent(None, QoS::AtLeastOnce, false, None, 0);
    for n in 1..Identifiers::ALL.count {
        assert!(row.has_room());
        let (_, packet_id) = row.push_sent(None, QoS::AtLeastOnce, false, None, n);
        assert_ne!(packet_id, stuck);
        assert!(row.puback(packet_id).is_some());
    }
    assert!(!row.has_room(), "the next identifier is that of the unconfirmed first delivery");
    row.push(message("m"), QoS::AtLeastOnce, false, None, 99);
    assert!(row.next_to_send(|_| true).is_none());
    assert!(row.puback(stuck).is_some());
    assert_eq!(sent(&mut row), ["1"]);
}

#[test]
fn deliveries_keep_their_identifiers_across_a_restart_and_gaps() {
    let weight = message("b").weight();
    let rest = Rest { first: 3, count: 2, weight, shared: 0 };
    let mut row: Outbound<u64> = Outbound::restored(rest, [], 10, 10);
    row.connect(10);
    assert!(!row.has_room(), "what lies behind comes first");
    row.bring(back(3, None, QoS::ExactlyOnce, 0));
    row.bring(back(9, Some(message("b")), QoS::AtLeastOnce, weight));
    assert_eq!(row.push(message("c"), QoS::AtLeastOnce, false, None, 10), 10);
    assert_eq!(sent(&mut row), ["4 release", "10 dup", "11"]);
    assert!(row.puback(id(10)).is_some());
    assert!(row.pubcomp(id(4)).is_some());
    assert!(row.puback(id(11)).is_some());
}

#[test]
fn weight_and_length_follow_what_is_unconfirmed() {
    let mut row = row(3, 2, QoS::AtLeastOnce);
    let each = message("m").weight();
    assert_eq!(row.weight(), 3 * each);
    sent(&mut row);
    row.puback(id(1));
    assert_eq!(row.discard(2), Some(Settled { in_flight: false, ..confirmed(2) }));
    assert_eq!((row.len(), row.weight()), (1, each));
    assert_eq!(row.drain().len(), 1);
    assert_eq!((row.len(), row.weight(), row.in_flight()), (0, 0, 0));
}

#[test]
fn what_is_put_away_comes_back_as_it_was() {
    let mut row = row(4, 2, QoS::ExactlyOnce);
    let each = message("m").weight();
    assert_eq!(sent(&mut row), ["1", "2"]);
    assert!(row.pubrec(id(1)).is_some());
    row.put_away(|_| false);
    assert_eq!(row.push_behind(Load { weight: each, ..Load::default() }), 4);
    let rest = Rest { first: 0, count: 5, weight: 4 * each, shared: 0 };
    assert_eq!((row.rest(), row.weight_in_memory(), row.len()), (rest, 0, 5));
    row.connect(10);
    row.bring(back(0, None, QoS::ExactlyOnce, 0));
    for sequence in 1..5 {
        let message = Some(message("m"));
        row.bring(back(sequence, message, QoS::ExactlyOnce, each));
    }
    assert_eq!(sent(&mut row), ["1 release", "2 dup", "3", "4", "5"]);
    assert_eq!(row.rest().count, 0);
}

#[test]
fn a_delivery_that_is_not_ready_holds_back_those_behind_it() {
    let mut row = row(2, 10, QoS::ExactlyOnce);
    assert!(row.next_to_send(|d| d.sequence != 0).is_none());
    assert_eq!(sent(&mut row), ["1", "2"]);
}

#[test]
fn what_is_passed_over_goes_later_under_its_own_identifier() {
    let mut row = row(4, 3, QoS::AtLeastOnce);
    assert_eq!(row.pass_over(), Some(0));
    assert_eq!(sent(&mut row), ["2", "3", "4"]);
    assert_eq!((row.in_flight(), row.unsent(), row.has_unsent()), (3, 1, true));
    assert!(row.puback(id(1)).is_none(), "it was not sent");
    assert!(row.send_passed(0, |_| true).is_none(), "the window is full");
    assert_eq!(row.first_unsent().map(|d| d.sequence), Some(0));
    row.puback(id(3));
    assert!(row.send_passed(0, |_| false).is_none());
    assert!(row.is_passed(0));
    assert!(row.send_passed(0, |_| true).is_some());
    assert!(row.send_passed(0, |_| true).is_none(), "once");
    assert!(!row.is_passed(0) && !row.has_unsent());
    assert_eq!(row.puback(id(1)), Some(confirmed(0)));
    assert_eq!(row.in_flight(), 2);
}

#[test]
fn what_was_sent_in_vain_is_sent_again_with_dup() {
    let mut row = row(5, 4, QoS::ExactlyOnce);
    assert_eq!(sent(&mut row).len(), 4);
    row.pubrec(id(3));
    row.pubrec(id(4));
    row.pubcomp(id(4));
    assert_eq!(row.send_again(|tag| *tag >= 1), [1, 2], "one is confirmed, one has not been sent");
    assert_eq!((row.in_flight(), row.passed().count), (3, 2), "the client may have them");
    let again = row.send_passed(1, |_| true);
    assert!(matches!(again, Some(Transmission::Publish { dup: true, .. })), "{again:?}");
    let released = row.send_passed(2, |_| true);
    assert!(matches!(released, Some(Transmission::Release { .. })), "{released:?}");
    assert_eq!(row.pubcomp(id(3)), Some(Settled { weight: 0, ..confirmed(2) }));
}

#[test]
fn what_is_to_be_sent_again_may_be_confirmed_first() {
    let mut row = row(2, 4, QoS::ExactlyOnce);
    assert_eq!(sent(&mut row).len(), 2);
    assert_eq!(row.send_again(|_| true), [0, 1]);
    assert!(row.pubrec(id(1)).is_some());
    assert_eq!((row.in_flight(), row.passed().count), (2, 1));
    assert!(row.send_passed(0, |_| true).is_none(), "the client has it");
    assert_eq!(row.pubcomp(id(1)), Some(Settled { weight: 0, ..confirmed(0) }));
    assert_eq!(row.pubrec_refused(id(2)), Some(confirmed(1)));
    assert_eq!((row.in_flight(), row.passed().count, row.len()), (0, 0, 0));
}

#[test]
fn a_new_connection_and_a_discard_forget_what_was_passed_over() {
    let mut row = row(4, 4, QoS::AtLeastOnce);
    row.pass_over();
    row.pass_over();
    assert_eq!(row.discard(1), Some(Settled { in_flight: false, ..confirmed(1) }));
    assert_eq!((row.passed().count, row.in_flight()), (1, 0));
    assert_eq!(row.passed().weight, message("m").weight());
    row.connect(4);
    assert_eq!(row.passed(), Sum::default());
    assert_eq!(sent(&mut row), ["1", "3", "4"]);
}

#[test]
fn a_row_keeps_to_its_range_of_identifiers_and_waits_when_they_are_used_up() {
    let mut row = Outbound::new(0);
    row.number_within(&(100..=102));
    row.number_within(&(0..=5));
    for n in 0..5 {
        row.push(message("m"), QoS::AtLeastOnce, false, None, n);
    }
    row.connect(10);
    assert_eq!(sent(&mut row), ["100", "101", "102"]);
    for other in [1, 99, 103, 65_535] {
        assert_eq!(row.puback(id(other)), None);
    }
    assert_eq!(row.puback(id(101)), Some(confirmed(1)));
    assert!(sent(&mut row).is_empty(), "100 is still in use");
    assert_eq!(row.puback(id(100)), Some(confirmed(0)));
    assert_eq!(sent(&mut row), ["100", "101"]);
    assert_eq!(row.next_packet_id(), id(102));
    assert!(!row.has_room(), "and that is in use");
    row.connect(10);
    assert_eq!(sent(&mut row), ["102 dup", "100 dup", "101 dup"]);
}

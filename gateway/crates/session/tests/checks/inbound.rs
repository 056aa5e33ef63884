use mqtt::{PacketId, ReasonCode};
use portcullis_session::{AckKind, Acknowledgement, Inbound, Lane, Ticket};

use super::{Reached, Source};

pub(crate) const ALL: &[&str] = &[
    "received",
    "received again",
    "released",
    "released unknown",
    "begun",
    "left",
    "held back",
    "settled",
    "settled in vain",
    "disconnected",
];

/// The same in lists, written for being read.
#[derive(Default)]
struct Model {
    received: Vec<PacketId>,
    /// The number of each acknowledgement that waits, and for how much.
    owed: Vec<(usize, Acknowledgement, u32)>,
    /// Every ticket ever given, by its number.
    tickets: Vec<Ticket>,
}

/// Acknowledgements leave in the order in which they were begun, none before it may, none twice.
pub(crate) fn check(source: &mut Source<'_>, reached: &mut Reached) {
    let (mut inbound, mut model) = (Inbound::default(), Model::default());
    while !source.is_empty() {
        reached.insert(step(source, &mut inbound, &mut model));
        let pubacks = model.owed.iter().filter(|(_, ack, _)| ack.kind == AckKind::PubAck).count();
        assert_eq!(inbound.owed(), model.owed.len());
        assert_eq!(inbound.is_idle(), model.owed.is_empty());
        assert_eq!(inbound.outstanding(), model.received.len() + pubacks);
        model.received.sort_unstable();
        assert!(inbound.received().eq(model.received.iter().copied()));
    }
    // Once everything has come true, nothing stays behind.
    for (number, _, waits) in model.owed.clone() {
        (0..waits).for_each(|_| inbound.settle(model.tickets[number]));
    }
    let left = std::iter::from_fn(|| inbound.next_ready());
    assert!(left.eq(model.owed.iter().map(|(_, acknowledgement, _)| *acknowledgement)));
}

fn step(source: &mut Source<'_>, inbound: &mut Inbound, model: &mut Model) -> &'static str {
    match source.below(8) {
        0 => {
            let packet_id = source.packet_id();
            let known = model.received.contains(&packet_id);
            assert_eq!(inbound.is_received(packet_id), known);
            inbound.receive(packet_id);
            if known {
                return "received again";
            }
            model.received.push(packet_id);
            "received"
        }
        1 => {
            let any = source.packet_id();
            let packet_id = pick(source, &model.received).unwrap_or(any);
            let known = model.received.contains(&packet_id);
            assert_eq!(inbound.release(packet_id), known);
            model.received.retain(|id| *id != packet_id);
            if known { "released" } else { "released unknown" }
        }
        2 | 3 => begin(source, inbound, model),
        4 | 5 => {
            let Some(ticket) = pick(source, &model.tickets) else { return "settled in vain" };
            inbound.settle(ticket);
            let named = |(number, _, _): &&mut (usize, _, u32)| model.tickets[*number] == ticket;
            match model.owed.iter_mut().find(named) {
                Some((_, _, waits)) => {
                    *waits = waits.saturating_sub(1);
                    "settled"
                }
                None => "settled in vain",
            }
        }
        6 => {
            let ready = model.owed.first().filter(|(_, _, waits)| *waits == 0).map(|(_, a, _)| *a);
            assert_eq!(inbound.next_ready(), ready);
            if ready.is_none() {
                return "held back";
            }
            model.owed.remove(0);
            "left"
        }
        _ => {
            inbound.disconnect();
            model.owed.clear();
            "disconnected"
        }
    }
}

fn begin(source: &mut Source<'_>, inbound: &mut Inbound, model: &mut Model) -> &'static str {
    let kind = [AckKind::PubAck, AckKind::PubRec, AckKind::PubComp][source.below(3)];
    let code = [ReasonCode::Success, ReasonCode::QuotaExceeded][source.below(2)];
    let packet_id = source.packet_id();
    let lane = Lane(u32::from(packet_id.get()) % 2);
    let acknowledgement = Acknowledgement { kind, packet_id, code, lane };
    let waits = source.below(4) as u32;
    let foretold = inbound.next_ticket();
    let ticket = inbound.begin(acknowledgement, waits);
    assert_eq!(ticket, foretold);
    assert!(!model.tickets.contains(&ticket), "a ticket is never used twice");
    model.owed.push((model.tickets.len(), acknowledgement, waits));
    model.tickets.push(ticket);
    "begun"
}

/// One of the last few of `from`, so that a small number finds what is recent.
fn pick<T: Copy>(source: &mut Source<'_>, from: &[T]) -> Option<T> {
    let back = source.below(256);
    from.iter().rev().nth(back.checked_rem(from.len())?).copied()
}

"""A persistent session: what is published while its client is away is there when it comes back."""

from connection import VERSION, Connection

TOPIC = f"demo/session/{VERSION}"

absent = Connection(f"absent-{VERSION}", persistent=True)
assert absent.session_present is False, "the session is new"
absent.subscribe(TOPIC, 2)
absent.leave()

publisher = Connection(f"publisher-{VERSION}")
payloads = {qos: [f"{qos}-{number}" for number in range(50)] for qos in (1, 2)}
for qos in (1, 2):
    publisher.publish(TOPIC, payloads[qos], qos)
publisher.leave()

absent = Connection(f"absent-{VERSION}", persistent=True)
assert absent.session_present is True, "the session is still there"
received = absent.receive(100)
got = [message.payload.decode() for message in received]
assert got == payloads[1] + payloads[2], got
assert [message.qos for message in received] == [1] * 50 + [2] * 50
absent.leave()

again = Connection(f"absent-{VERSION}", persistent=True)
assert again.session_present is True
again.publish(TOPIC, ["fence"], 1)
assert again.receive(1)[0].payload == b"fence", "nothing comes twice"
again.leave()
print(f"paho version={VERSION} session=kept queued=100 delivered=100")

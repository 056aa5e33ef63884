"""A thousand messages at QoS 1 and at QoS 2: each arrives once and in order."""

from connection import VERSION, Connection

COUNT = 1000

subscriber = Connection(f"subscriber-{VERSION}")
publisher = Connection(f"publisher-{VERSION}")
for qos in (1, 2):
    topic = f"demo/order/{VERSION}/{qos}"
    subscriber.subscribe(topic, qos)
    payloads = [str(number) for number in range(COUNT)]
    publisher.publish(topic, payloads, qos)
    received = subscriber.receive(COUNT)
    assert [message.payload.decode() for message in received] == payloads
    assert {message.qos for message in received} == {qos}
    publisher.publish(topic, ["fence"], qos)
    assert subscriber.receive(1)[0].payload == b"fence", "nothing comes twice"
publisher.leave()
subscriber.leave()
print(f"paho version={VERSION} qos=1,2 messages={COUNT} in_order=true")

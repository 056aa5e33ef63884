"""Reads what MQTT clients publish into a cluster of NATS servers, as a durable consumer of JetStream.

Usage: consumer.py SERVERS SUBJECT TOTAL

SERVERS are addresses with commas between. Says "ready" when the consumer is there, and at the end, as a line of JSON, how many
messages came and how many of them were different. It ends when TOTAL different ones have come, or nothing more comes.

A PUBACK of the cluster means that the message is in its stream $MQTT_msgs, which keeps it for every consumer: so that is
where this one reads. A stream of one's own, with the subjects of the messages, is filled without anybody waiting for it.
"""

import asyncio
import json
import sys
import time

import nats
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig

STREAM = "$MQTT_msgs"
NAME = "reader"
BATCH = 500
QUIET = 20
LONGEST = 240


async def main(servers, subject, total):
    client = await nats.connect(
        servers=servers.split(","), max_reconnect_attempts=-1, reconnect_time_wait=0.2
    )
    stream = client.jetstream(timeout=20)
    wishes = ConsumerConfig(
        durable_name=NAME,
        filter_subject=f"$MQTT.msgs.{subject}",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=10,
        max_ack_pending=10 * BATCH,
        num_replicas=3,
    )
    await stream.add_consumer(STREAM, wishes)
    reader = await stream.pull_subscribe_bind(NAME, STREAM)
    print("ready", flush=True)
    came, different = 0, set()
    begun = heard = time.monotonic()
    while len(different) < total and time.monotonic() - heard < QUIET:
        if time.monotonic() - begun > LONGEST:
            break
        try:
            for message in await reader.fetch(BATCH, timeout=1):
                came += 1
                different.add((message.subject, message.data))
                heard = time.monotonic()
                await message.ack()
        except (Error, asyncio.TimeoutError):
            # A node may be away; what was not acknowledged comes again.
            if not different:
                heard = time.monotonic()
            await asyncio.sleep(0.1)
    print(json.dumps({"came": came, "different": len(different)}), flush=True)
    await client.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

"""Speaks MQTT 3.1.1 over QUIC with aioquic, and says what came of each step as a line of JSON.

Usage: peer.py PORT CA USER PASSWORD [CERT KEY]

On the first bidirectional stream: CONNECT, SUBSCRIBE, fifty publishes of QoS 1 that come back, a key update and another
port in the middle. Then on streams beside it, one of them reset, and one in one direction. DISCONNECT is on the first.
"""

import asyncio
import json
import socket
import ssl
import struct
import sys
from collections import defaultdict

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived

PATIENCE = 20


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.received = defaultdict(bytearray)
        self.news = asyncio.Event()
        self.ended = None

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self.received[event.stream_id] += event.data
            if event.end_stream and event.stream_id == 0:
                self.ended = self.ended or "stream"
        elif isinstance(event, ConnectionTerminated):
            self.ended = f"connection {event.error_code} {event.reason_phrase}"
        self.news.set()

    async def packet(self, stream=0):
        """The next packet on a stream: its first byte and its body. None at the end of the first stream."""
        received = self.received[stream]
        while True:
            length, multiplier, at = 0, 1, 1
            while at < len(received):
                length += (received[at] & 0x7F) * multiplier
                multiplier *= 128
                at += 1
                if not received[at - 1] & 0x80:
                    if len(received) < at + length:
                        break
                    first, body = received[0], bytes(received[at : at + length])
                    del received[: at + length]
                    return first, body
            if self.ended:
                return None
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), PATIENCE)


def text(value):
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(first, body):
    length, size = len(body), bytearray()
    while True:
        size.append(length % 128 | (0x80 if length > 127 else 0))
        length //= 128
        if not length:
            return bytes([first]) + bytes(size) + body


def say(**what):
    print(json.dumps(what), flush=True)


async def streams(peer, send):
    """What streams beside the first are for."""
    one, two, one_way = 4, 8, peer._quic.get_next_available_stream_id(is_unidirectional=True)
    for stream, topic in ((one, "one/#"), (two, "two/#")):
        send(packet(0x82, struct.pack("!H", 1) + text(topic) + b"\x01"), stream=stream)
        first, body = await peer.packet(stream)
        assert (first, body) == (0x90, b"\x00\x01\x01"), (first, body)
    # Both streams use the same identifier at the same time.
    for stream, topic in ((one, "two/x"), (two, "one/x")):
        send(packet(0x32, text(topic) + struct.pack("!H", 1) + b"crossed"), stream=stream)
    kinds = {}
    for stream in (one, two):
        kinds[stream] = sorted([(await peer.packet(stream))[0] >> 4 for _ in range(2)])
    say(step="streams", kinds=[kinds[one], kinds[two]], control=len(peer.received[0]))
    # What was not confirmed on a stream that is reset comes again on the first.
    peer._quic.reset_stream(one, 9)
    peer._quic.stop_stream(one, 9)
    peer.transmit()
    first, body = await peer.packet()
    say(step="reset", kind=first >> 4, dup=bool(first & 8), topic=body[2:7].decode())
    send(packet(0x40, body[7:9]))
    send(packet(0x32, text("nobody") + struct.pack("!H", 5) + b"x"), end=True, stream=one_way)
    first, body = await peer.packet()
    say(step="one-way", kind=first >> 4, id=body[1])


async def main(port, ca, user, password, cert=None, key=None):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["mqtt"], server_name="localhost")
    configuration.load_verify_locations(ca)
    configuration.verify_mode = ssl.CERT_REQUIRED
    if cert:
        configuration.load_cert_chain(cert, key)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Peer) as peer:
        writer = peer._quic.get_next_available_stream_id()

        def send(data, end=False, stream=writer):
            peer._quic.send_stream_data(stream, data, end)
            peer.transmit()

        variable = text("MQTT") + bytes([4, 0xC2]) + struct.pack("!H", 60)
        send(packet(0x10, variable + text("aioquic") + text(user) + text(password)))
        first, body = await peer.packet()
        say(step="connack", code=body[1], stream=writer)
        send(packet(0x82, struct.pack("!H", 1) + text("quic/#") + b"\x01"))
        first, body = await peer.packet()
        say(step="suback", code=body[2])
        delivered, acknowledged = [], 0
        for number in range(50):
            payload = str(number).encode()
            send(packet(0x32, text("quic/x") + struct.pack("!H", number + 1) + payload))
            if number == 20:
                peer.request_key_update()
            if number == 30:
                # Another port of ours: the gateway has to find out that it is us.
                other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                other.bind(("::", 0, 0, 0))
                before = peer._transport
                await asyncio.get_running_loop().create_datagram_endpoint(lambda: peer, sock=other)
                before.close()
                peer.change_connection_id()
            while acknowledged <= number or len(delivered) <= number:
                first, body = await peer.packet()
                if first >> 4 == 4:
                    acknowledged += 1
                elif first >> 4 == 3:
                    length = struct.unpack("!H", body[:2])[0]
                    identifier = body[2 + length : 4 + length]
                    delivered.append(int(body[4 + length :]))
                    send(packet(0x40, identifier))
        say(step="flow", in_order=delivered == list(range(50)), acknowledged=acknowledged)
        await streams(peer, send)
        send(packet(0xE0, b""), end=True)
        rest = await peer.packet()
        say(step="end", rest=rest, ended=peer.ended.split(" ")[0:2])


asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))

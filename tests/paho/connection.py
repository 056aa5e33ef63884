"""A paho client that is let in over TLS, and can be waited for."""

import queue
import ssl
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 60
PORT, CA, USER, PASSWORD, VERSION = sys.argv[1:6]
V5 = VERSION == "5"


class Connection:
    def __init__(self, client_id, persistent=False):
        self.messages = queue.Queue()
        self.connected = threading.Event()
        self.subscribed = threading.Event()
        self.session_present = None
        how = {} if V5 else {"clean_session": not persistent}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5 if V5 else mqtt.MQTTv311,
            **how,
        )
        self.client.max_inflight_messages_set(50)
        self.client.username_pw_set(USER, PASSWORD)
        self.client.tls_set(ca_certs=CA, cert_reqs=ssl.CERT_REQUIRED)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        how = {}
        if V5:
            how["clean_start"] = not persistent
            if persistent:
                how["properties"] = Properties(PacketTypes.CONNECT)
                how["properties"].SessionExpiryInterval = 3600
        self.client.connect("localhost", int(PORT), **how)
        self.client.loop_start()
        if not self.connected.wait(PATIENCE):
            sys.exit(f"{client_id} was not let in")

    def _on_connect(self, _client, _data, flags, code, _properties):
        if code.is_failure:
            sys.exit(f"refused: {code}")
        self.session_present = flags.session_present
        self.connected.set()

    def subscribe(self, topic, qos):
        self.subscribed.clear()
        self.client.subscribe(topic, qos)
        if not self.subscribed.wait(PATIENCE):
            sys.exit("no SUBACK")

    def publish(self, topic, payloads, qos):
        """Returns when every message is acknowledged."""
        sent = [self.client.publish(topic, payload, qos) for payload in payloads]
        for message in sent:
            message.wait_for_publish(PATIENCE)
            if not message.is_published():
                sys.exit("not acknowledged")

    def receive(self, count):
        return [self.messages.get(timeout=PATIENCE) for _ in range(count)]

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

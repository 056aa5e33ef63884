// Speaks MQTT 3.1.1 over QUIC with Cloudflare's quiche, and says what came of each step as a line of JSON.
//
// Usage: node peer.js PORT CA USER PASSWORD
//
// CONNECT is on the first stream. Two streams beside it subscribe, publishes of each QoS come back on them, the client goes
// on at another port in the middle of a flow, and publishes on a stream in one direction. It ends with DISCONNECT, and comes
// again with the session ticket that it was given, asking to send early data.

'use strict';

const crypto = require('node:crypto');
const dgram = require('node:dgram');
const fs = require('node:fs');
// The bindings as they are, without the library that they belong to: streams and moves are the business of this script.
const quiche = require(`@infisical/quic-${process.platform}-${process.arch}`);

const [port, ca, user, password] = process.argv.slice(2);
const HOST = '127.0.0.1';
const PEER = { host: HOST, port: Number(port) };
const PATIENCE = 20000;
const [CONTROL, FIRST, SECOND, ONE_WAY] = [0, 4, 8, 2];
const WINDOW = 256 * 1024;

const say = (what) => console.log(JSON.stringify(what));

function configuration() {
  const config = quiche.Config.withBoringSslCtx(true, false, fs.readFileSync(ca), null, null, null);
  config.setApplicationProtos(['mqtt']);
  config.setMaxIdleTimeout(60000);
  config.setInitialMaxData(4 * WINDOW);
  config.setInitialMaxStreamDataBidiLocal(WINDOW);
  config.setActiveConnectionIdLimit(4);
  config.enableEarlyData();
  return config;
}

/** A connection, its sockets by port, at which of them something came, and what came on each stream and was not looked at. */
class Connection {
  static async open(ticket) {
    const self = new Connection();
    self.sockets = new Map();
    self.received = new Map();
    self.arrived = new Set();
    self.local = { host: HOST, port: await self.bind() };
    const id = crypto.randomBytes(20);
    self.quic = quiche.Connection.connect('localhost', id, self.local, PEER, configuration());
    if (ticket) self.quic.setSession(ticket);
    return self;
  }

  async bind() {
    const socket = dgram.createSocket('udp4');
    await new Promise((done) => socket.bind(0, HOST, done));
    const own = socket.address().port;
    this.sockets.set(own, socket);
    socket.on('message', (data, from) => {
      const ends = { to: { host: HOST, port: own }, from: { host: from.address, port: from.port } };
      this.arrived.add(own);
      this.quic.recv(data, ends);
      this.move();
    });
    return own;
  }

  /** Takes what has come, sends what there is to send, and sees who waited for it. */
  move() {
    clearTimeout(this.timer);
    for (const stream of this.quic.isClosed() ? [] : this.quic.readable()) this.take(stream);
    const datagram = Buffer.alloc(1350);
    for (let sent = this.quic.send(datagram); sent; sent = this.quic.send(datagram)) {
      const [length, way] = sent;
      // From a port that is given up nothing leaves.
      const socket = this.sockets.get(way.from.port);
      socket?.send(Buffer.from(datagram.subarray(0, length)), way.to.port, way.to.host);
    }
    const due = this.quic.timeout();
    if (due !== null) {
      this.timer = setTimeout(() => {
        this.quic.onTimeout();
        this.move();
      }, due);
    }
    this.awaited?.();
  }

  take(stream) {
    const piece = Buffer.alloc(65536);
    for (let got = this.quic.streamRecv(stream, piece); got; got = this.quic.streamRecv(stream, piece)) {
      const before = this.received.get(stream) ?? Buffer.alloc(0);
      this.received.set(stream, Buffer.concat([before, piece.subarray(0, got[0])]));
      if (got[1]) break;
    }
  }

  /** Waits until `check` gives something. */
  until(what, check) {
    return new Promise((done, failed) => {
      const late = setTimeout(() => failed(new Error(`no ${what} in time`)), PATIENCE);
      this.awaited = () => {
        const found = check();
        if (found === undefined || found === false) return;
        clearTimeout(late);
        this.awaited = undefined;
        done(found);
      };
      this.awaited();
    });
  }

  send(stream, bytes, end = false) {
    const taken = this.quic.streamSend(stream, bytes, end);
    if (taken !== bytes.length) throw new Error(`stream ${stream} took ${taken} of ${bytes.length} bytes`);
    this.move();
  }

  /** The next packet on a stream: its first byte and its body. */
  packet(stream) {
    return this.until(`packet on stream ${stream}`, () => {
      const bytes = this.received.get(stream) ?? Buffer.alloc(0);
      let [length, at] = [0, 1];
      for (let shift = 0; ; shift += 7) {
        if (at >= bytes.length) return undefined;
        length |= (bytes[at] & 0x7f) << shift;
        at += 1;
        if (!(bytes[at - 1] & 0x80)) break;
      }
      if (bytes.length < at + length) return undefined;
      this.received.set(stream, bytes.subarray(at + length));
      return { first: bytes[0], body: bytes.subarray(at, at + length) };
    });
  }

  /** Goes on at another port. */
  async moveAway() {
    this.quic.newSourceCid(crypto.randomBytes(20), 7n, false);
    this.move();
    await this.until('spare connection identifier', () => this.quic.availableDcids() > 0);
    const before = this.local.port;
    this.local = { host: HOST, port: await this.bind() };
    this.quic.migrateSource(this.local);
    this.move();
    await this.until('datagram at the other port', () => this.arrived.has(this.local.port));
    this.sockets.get(before).close();
    this.sockets.delete(before);
  }

  close() {
    clearTimeout(this.timer);
    this.sockets.forEach((socket) => socket.close());
  }
}

const number = (value) => Buffer.from([value >> 8, value & 0xff]);
const text = (value) => Buffer.concat([number(Buffer.byteLength(value)), Buffer.from(value)]);

function packet(first, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const size = [];
  for (let length = body.length; ; ) {
    size.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
    length >>= 7;
    if (!length) return Buffer.concat([Buffer.from([first, ...size]), body]);
  }
}

const publish = (qos, topic, id, payload) =>
  packet(0x30 | (qos << 1), text(topic), qos ? number(id) : [], Buffer.from(payload));

/** What a PUBLISH says. */
function message({ first, body }) {
  const qos = (first >> 1) & 3;
  const end = 2 + body.readUInt16BE(0);
  const id = qos ? body.readUInt16BE(end) : 0;
  return { qos, topic: body.toString('utf8', 2, end), id, payload: body.toString('utf8', qos ? end + 2 : end) };
}

async function connect(connection) {
  await connection.until('handshake', () => connection.quic.isEstablished());
  const flags = [4, 0xc2, 0, 60];
  connection.send(CONTROL, packet(0x10, text('MQTT'), flags, text('quiche'), text(user), text(password)));
  return (await connection.packet(CONTROL)).body[1];
}

async function main() {
  const connection = await Connection.open();
  connection.move();
  const code = await connect(connection);
  say({ step: 'connack', code, alpn: Buffer.from(connection.quic.applicationProto()).toString() });

  for (const [stream, topic] of [[FIRST, 'a/#'], [SECOND, 'b/#']]) {
    connection.send(stream, packet(0x82, number(1), text(topic), [2]));
    say({ step: 'suback', stream, code: (await connection.packet(stream)).body[2] });
  }

  // Each comes back on the stream of its subscription, and is answered where it was sent.
  for (const qos of [0, 1, 2]) {
    connection.send(FIRST, publish(qos, 'b/each', qos, `qos ${qos}`));
    const came = message(await connection.packet(SECOND));
    const answer = qos ? (await connection.packet(FIRST)).first >> 4 : null;
    if (qos === 1) connection.send(SECOND, packet(0x40, number(came.id)));
    if (qos === 2) {
      connection.send(SECOND, packet(0x50, number(came.id)));
      const release = await connection.packet(SECOND);
      connection.send(SECOND, packet(0x70, release.body));
      connection.send(FIRST, packet(0x62, number(qos)));
      await connection.packet(FIRST);
    }
    say({ step: 'publish', qos: came.qos, topic: came.topic, payload: came.payload, answer });
  }

  const [delivered, before] = [[], connection.local.port];
  for (let round = 0; round < 50; round += 1) {
    connection.send(SECOND, publish(1, 'a/flow', round + 1, String(round)));
    if (round === 25) await connection.moveAway();
    const came = message(await connection.packet(FIRST));
    delivered.push(Number(came.payload));
    connection.send(FIRST, packet(0x40, number(came.id)));
    await connection.packet(SECOND);
  }
  const inOrder = delivered.every((value, at) => value === at) && delivered.length === 50;
  say({ step: 'flow', in_order: inOrder, moved: connection.local.port !== before });

  connection.send(ONE_WAY, publish(1, 'nobody', 9, 'x'), true);
  const answer = await connection.packet(CONTROL);
  say({ step: 'one-way', answer: answer.first >> 4, id: answer.body.readUInt16BE(0) });

  const ticket = connection.quic.session();
  connection.send(CONTROL, packet(0xe0), true);
  connection.close();

  const again = await Connection.open(ticket);
  again.move();
  const early = again.quic.isInEarlyData();
  say({ step: 'again', early, code: await connect(again), resumed: again.quic.isResumed() });
  again.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

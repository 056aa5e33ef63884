// Drives mqtt.js clients: a command per line of standard input, an answer or an event per line of standard output.
// The words are those of the cases in tests/tests/clients; both directions are JSON.
'use strict'

const fs = require('node:fs')
const readline = require('node:readline')
const mqtt = require('mqtt')

// What the cases call a property, and what mqtt.js calls it.
const PROPERTIES = {
  format: 'payloadFormatIndicator',
  expiry: 'messageExpiryInterval',
  'content-type': 'contentType',
  'response-topic': 'responseTopic',
  correlation: 'correlationData',
  user: 'userProperties',
  ids: 'subscriptionIdentifier',
  alias: 'topicAlias',
  delay: 'willDelayInterval',
  'session-expiry': 'sessionExpiryInterval',
  'receive-maximum': 'receiveMaximum',
  'maximum-packet': 'maximumPacketSize',
  'alias-maximum': 'topicAliasMaximum',
  'assigned-id': 'assignedClientIdentifier',
  'server-keep-alive': 'serverKeepAlive',
  'maximum-qos': 'maximumQoS',
  'retain-available': 'retainAvailable',
  'wildcard-available': 'wildcardSubscriptionAvailable',
  'ids-available': 'subscriptionIdentifiersAvailable',
  'shared-available': 'sharedSubscriptionAvailable',
  reason: 'reasonString'
}

const say = (words) => process.stdout.write(JSON.stringify(words) + '\n')

// mqtt.js has user properties as an object whose values are lists where a name occurs more than once.
function grouped (pairs) {
  const object = {}
  for (const [name, value] of pairs) {
    if (name in object) object[name] = [object[name], value].flat()
    else object[name] = value
  }
  return object
}

function listed (object) {
  return Object.entries(object).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
}

// The properties among the words of a command.
function properties (command) {
  const found = {}
  for (const [word, name] of Object.entries(PROPERTIES)) {
    if (!(word in command)) continue
    const value = command[word]
    if (word === 'user') found[name] = grouped(value)
    else if (word === 'correlation') found[name] = Buffer.from(value)
    else if (word === 'format') found[name] = value === 1
    else found[name] = value
  }
  return found
}

// The words for the properties of a packet.
function words (found = {}) {
  const said = {}
  for (const [word, name] of Object.entries(PROPERTIES)) {
    const value = found[name]
    if (value === undefined) continue
    if (word === 'user') said[word] = listed(value)
    else if (Buffer.isBuffer(value)) said[word] = value.toString()
    else if (typeof value === 'boolean') said[word] = value ? 1 : 0
    else said[word] = value
  }
  return said
}

class Client {
  constructor (name, command, answer) {
    this.name = name
    this.v5 = command.version === 5
    this.gone = false
    this.last = {}
    const options = {
      protocol: command.web ? 'wss' : command.tls ? 'mqtts' : 'mqtt',
      host: 'localhost',
      port: command.port,
      protocolVersion: this.v5 ? 5 : 4,
      clientId: command.id,
      clean: command.clean ?? true,
      keepalive: command['keep-alive'] ?? 60,
      username: command.username,
      password: command.password,
      reconnectPeriod: 0,
      autoAssignTopicAlias: command['auto-assign'] ?? false,
      autoUseTopicAlias: command['auto-use'] ?? false
    }
    if (command.web) options.path = '/mqtt'
    if (command.tls) options.ca = fs.readFileSync(command.ca)
    if (this.v5) options.properties = properties(command)
    if (command.will) {
      const { topic, payload, qos = 0, retain = false } = command.will
      options.will = { topic, payload, qos, retain }
      if (this.v5) options.will.properties = properties(command.will)
    }
    this.client = mqtt.connect(options)
    // An error is told by the answer or by the end of the connection.
    this.client.on('error', () => {})
    this.client.on('packetreceive', (packet) => {
      this.last[packet.cmd] = packet
      if (packet.cmd === 'connack') {
        const code = this.v5 ? packet.reasonCode : packet.returnCode
        answer({ code, present: packet.sessionPresent, ...words(packet.properties) })
      }
    })
    this.client.on('disconnect', (packet) => { this.farewell = packet })
    this.client.on('close', () => this.closed(answer))
    this.client.on('message', (topic, payload, packet) => say({
      client: name,
      event: 'message',
      topic,
      payload: payload.toString(),
      qos: packet.qos,
      retain: packet.retain,
      dup: packet.dup,
      ...words(packet.properties)
    }))
  }

  closed (answer) {
    if (!this.last.connack) answer({ error: 'closed without CONNACK' })
    if (this.gone) return
    const { reasonCode, properties: found } = this.farewell ?? {}
    say({ client: this.name, event: 'closed', code: reasonCode, ...words(found) })
  }

  subscribe (command, answer) {
    // By itself mqtt.js sends nothing for a filter that it has subscribed to.
    const filters = { resubscribe: true }
    for (const filter of command.filter.split(',')) {
      filters[filter] = {
        qos: command.qos ?? 0,
        nl: command['no-local'] ?? false,
        rap: command['as-published'] ?? false,
        rh: command.handling ?? 0
      }
    }
    const how = this.v5 ? { properties: properties(command) } : {}
    this.last.suback = undefined
    this.client.subscribe(filters, how, (error) => {
      const packet = this.last.suback
      answer(packet ? { codes: packet.granted.map((one) => one.qos ?? one) } : { error: `${error}` })
    })
  }

  unsubscribe (command, answer) {
    this.client.unsubscribe(command.filter.split(','), (error) => {
      if (error) answer({ error: `${error}` })
      else answer(this.v5 ? { codes: this.last.unsuback.granted } : {})
    })
  }

  send (topic, payload, command, done) {
    const how = { qos: command.qos ?? 0, retain: command.retain ?? false }
    if (this.v5) how.properties = properties(command)
    this.client.publish(topic, payload, how, done)
  }

  publish (command, answer) {
    this.last.puback = this.last.pubrec = undefined
    this.send(command.topic ?? '', command.payload ?? '', command, (error) => {
      const acknowledged = this.last.puback ?? this.last.pubrec
      if (error && !acknowledged) answer({ error: `${error}` })
      else answer({ code: acknowledged?.reasonCode ?? 0 })
    })
  }

  // As many messages as asked for, numbered; all acknowledged at the end.
  flood (command, answer) {
    let [done, left] = [0, command.count]
    for (let number = 0; number < command.count; number++) {
      this.send(command.topic, `${number}`, command, (error) => {
        if (!error) done++
        if (--left === 0) answer({ done })
      })
    }
  }

  disconnect (command, answer) {
    this.gone = true
    const how = this.v5 ? { reasonCode: command.code ?? 0, properties: properties(command) } : {}
    this.client.end(false, how, () => answer({}))
  }

  // The connection ends without a word.
  kill (_command, answer) {
    this.gone = true
    this.client.stream.destroy()
    answer({})
  }
}

const clients = {}
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line)
  const { client: name, do: verb, n } = command
  const answer = (words) => say({ ...words, n })
  try {
    if (verb === 'connect') clients[name] = new Client(name, command, answer)
    else clients[name][verb](command, answer)
  } catch (error) {
    answer({ error: `${error}` })
  }
}).on('close', () => process.exit())

// Lets in the devices of one site, and gives each its own topics.
//
// Settings: `site`, the first level of all topics; `token`, what devices show as their password.
// Grants: `config`, `credentials`, `log`.
//
// An interface that the world exports is an object of that name, one that it imports is a module. A `result` is returned
// or thrown, an `option` is the value or undefined, a `variant` is { tag, val }, a `u64` is a BigInt.

import { get, keys } from 'portcullis:host/config@0.1.0';
import { equal } from 'portcullis:host/credentials@0.1.0';
import { event } from 'portcullis:host/log@0.1.0';

const BAD_USER_NAME_OR_PASSWORD = 0x86;
const CLIENT_IDENTIFIER_NOT_VALID = 0x85;
const NOT_AUTHORIZED = 0x87;

// Bytes of an alarm at most: a rule could not say that, so the hook is asked.
const ALARM_BYTES_MAX = 1024;

let site;
let token;

export const lifecycle = {
  init() {
    const known = ['site', 'token'];
    const unknown = keys().filter((key) => !known.includes(key));
    if (unknown.length > 0) throw `"${unknown.join('", "')}" is not a setting of this extension`;
    for (const key of known) {
      if (get(key) === undefined) throw `"${key}" is not set; put it under [extensions.NAME.config]`;
    }
    site = get('site');
    token = new TextEncoder().encode(get('token'));
    event('info', 'ready', [['site', site]]);
  },
};

export const authenticator = {
  authenticate(client, _connection, secret) {
    if (secret.tag !== 'password') return { tag: 'abstain' };
    if (!equal(secret.val, token)) {
      event('warn', 'wrong token', [['client', client.clientId]]);
      return reject(BAD_USER_NAME_OR_PASSWORD, 'the token is wrong');
    }
    if (!client.clientId.startsWith(`${site}-`)) {
      const why = `client identifier "${client.clientId}" does not begin with "${site}-"`;
      return reject(CLIENT_IDENTIFIER_NOT_VALID, why);
    }
    const attributes = [['site', site]];
    return { tag: 'accept', val: { principal: client.clientId, attributes, permissions: undefined, validForMs: undefined } };
  },
};

export const authorizer = {
  permissions(_client, connection) {
    // Without the attribute another authenticator of the chain let the client in.
    if (connection.attribute('site') === undefined) return undefined;
    const allow = (actions, filter) => (
      { effect: 'allow', actions, filter, maxQos: 'exactly-once', retain: true, label: undefined }
    );
    return {
      // Checked by the gateway itself, without a call.
      rules: [
        allow({ publish: true, subscribe: false }, `${site}/\${client-id}/#`),
        allow({ publish: false, subscribe: true }, `${site}/commands/\${client-id}`),
      ],
      // What no rule speaks of is asked about below.
      fallback: 'ask',
    };
  },

  authorizePublish(_client, _connection, { topic, payloadSize }) {
    if (topic !== `${site}/alarms`) return deny(`topic "${topic}" is not the client's`);
    if (payloadSize > ALARM_BYTES_MAX) return deny(`an alarm has at most ${ALARM_BYTES_MAX} bytes`);
    return { opinion: 'allow', code: 0, reason: undefined, validity: undefined };
  },

  authorizeSubscribe(_client, _connection, subscriptions) {
    return subscriptions.map(({ filter }) => deny(`filter "${filter}" is not the client's`));
  },
};

function reject(code, reason) {
  return { tag: 'reject', val: { code, reason } };
}

function deny(reason) {
  return { opinion: 'deny', code: NOT_AUTHORIZED, reason, validity: undefined };
}

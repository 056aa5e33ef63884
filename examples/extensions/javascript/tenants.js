// Tenants on one gateway, each with its own topics: the example in JavaScript. ../README.md tells what it does and has the same
// in other languages; `cargo xtask examples javascript` builds it to target/languages/javascript.wasm.
//
// An interface that the world exports is an object of that name, one that it imports is a module. A `result` is returned or
// thrown, an `option` is the value or undefined, a `variant` is { tag, val }, a `u64` is a BigInt.

import { get, keys } from 'portcullis:host/config@0.1.0';
import { verifyToken } from 'portcullis:host/credentials@0.1.0';
import { event } from 'portcullis:host/log@0.1.0';

const BAD_USER_NAME_OR_PASSWORD = 0x86;
const CLIENT_IDENTIFIER_NOT_VALID = 0x85;
const NOT_AUTHORIZED = 0x87;

const KEYS = ['admin-claim', 'key-set', 'tenant-claim'];

// First level of the topics that all tenants may read.
const NOTICES = 'notices';

// Bytes of a tenant's name, and of a principal as the gateway takes it.
const TENANT_BYTES_MAX = 64;
const SUBJECT_BYTES_MAX = 1024;

// For how long the gateway remembers that an administrator may publish to a tenant.
const ADMIN_TTL_MS = 60_000;

// What the operator says; the same for as long as the instance lives.
let settings;

export const lifecycle = {
  init() {
    settings = readSettings();
  },
};

export const authenticator = {
  authenticate(client, _connection, secret) {
    if (secret.tag === 'none') return { tag: 'abstain' };
    const token = asText(secret.val);
    if (token === undefined) {
      return reject(BAD_USER_NAME_OR_PASSWORD, 'the password is no token: it is not UTF-8');
    }
    let verified;
    try {
      verified = verifyToken(settings.keySet, token);
    } catch (error) {
      return withoutToken(error.payload);
    }
    const [member, why] = memberOf(verified);
    if (why !== undefined) return reject(NOT_AUTHORIZED, why);
    const { subject, tenant, isAdmin } = member;
    if (!client.clientId.startsWith(`${tenant}-`)) {
      // It could take over the session of another tenant's client.
      const why = `client identifier "${client.clientId}" does not begin with "${tenant}-"`;
      return reject(CLIENT_IDENTIFIER_NOT_VALID, why);
    }
    const attributes = [['tenant', tenant]];
    if (isAdmin) {
      attributes.push(['role', 'admin']);
      event('info', 'administrator let in', [['client', client.clientId], ['tenant', tenant]]);
    }
    const grant = { principal: subject, attributes, permissions: undefined, validForMs: verified.validForMs };
    return { tag: 'accept', val: grant };
  },
};

export const authorizer = {
  permissions(_client, connection) {
    // Without the attribute another authenticator of the chain let it in.
    if (connection.attribute('tenant') === undefined) return undefined;
    const rule = (actions, filter, maxQos, label) => (
      { effect: 'allow', actions, filter, maxQos, retain: true, label }
    );
    return {
      rules: [
        rule({ publish: true, subscribe: true }, '${attr.tenant}/#', 'exactly-once', 'own topics'),
        rule({ publish: false, subscribe: true }, `${NOTICES}/#`, 'at-least-once', NOTICES),
      ],
      // Whatever else a client wants is another tenant's: that takes an administrator, and a no has a reason.
      fallback: 'ask',
    };
  },

  authorizePublish(_client, connection, { topic, retain }) {
    const tenant = connection.attribute('tenant');
    if (tenant === undefined) return verdict('abstain');
    const owner = ownerOf(topic);
    if (owner.startsWith('$')) return deny(`topics below "${owner}" are the gateway's`);
    if (!isAdmin(connection)) {
      return deny(`topic "${topic}" is of "${owner}", and the client is of "${tenant}"`);
    }
    if (retain) return deny(`an administrator leaves no retained messages with "${owner}"`);
    const validity = { ttlMs: ADMIN_TTL_MS, filter: `${owner}/#`, maxQos: 'exactly-once', retain: false };
    return { ...verdict('allow'), validity };
  },

  authorizeSubscribe(_client, connection, subscriptions) {
    const tenant = connection.attribute('tenant');
    if (tenant === undefined) return subscriptions.map(() => verdict('abstain'));
    const admin = isAdmin(connection);
    return subscriptions.map(({ filter }) => {
      const owner = ownerOf(filter);
      if (owner.startsWith('$')) return deny(`topics below "${owner}" are the gateway's`);
      if (admin) return verdict('allow');
      return owner === '+' || owner === '#'
        ? deny(`filter "${filter}" reaches others than "${tenant}"`)
        : deny(`filter "${filter}" is of "${owner}", and the client is of "${tenant}"`);
    });
  },
};

// Reads the settings; all faults are told at once.
function readSettings() {
  const faults = [];
  const unknown = keys().filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) {
    faults.push(`"${unknown.join('", "')}" is not a setting of this extension; there are: ${KEYS.join(', ')}`);
  }
  const keySet = get('key-set') ?? '';
  if (keySet === '') faults.push('"key-set" is not set; name one of [extensions.NAME.key-sets]');
  let admin;
  const text = get('admin-claim');
  if (text !== undefined) {
    const at = text.indexOf('=');
    admin = { claim: text.slice(0, at), value: text.slice(at + 1) };
    if (at < 1 || admin.value === '') {
      faults.push(`"admin-claim" is "${text}"; write CLAIM=VALUE, such as roles=site-admin`);
    }
  }
  if (faults.length > 0) throw faults.join('; ');
  return { keySet, tenantClaim: get('tenant-claim') ?? 'tenant', admin };
}

// What is answered where there is no verified token: a refusal, or a failure that is no verdict.
function withoutToken(error) {
  switch (error.tag) {
    case 'unavailable':
      throw { tag: 'unavailable', val: error.val };
    case 'unknown-key-set': {
      const name = settings.keySet;
      const why = `there is no key set "${name}"; add [extensions.NAME.key-sets.${name}] to gateway.toml`;
      throw { tag: 'internal', val: why };
    }
    case 'other':
      return reject(BAD_USER_NAME_OR_PASSWORD, error.val[1]);
    default:
      return reject(BAD_USER_NAME_OR_PASSWORD, error.val);
  }
}

// Whom a token is about, or why it is about nobody.
function memberOf(token) {
  const { tenantClaim, admin } = settings;
  const subject = token.subject ?? '';
  if (!isName(subject, SUBJECT_BYTES_MAX)) {
    const rule = `one has 1 to ${SUBJECT_BYTES_MAX} bytes without control characters`;
    return [undefined, `"sub" of the token is no name: ${rule}`];
  }
  const tenants = valuesOf(token, tenantClaim);
  if (tenants.length !== 1) return [undefined, `the token has not exactly one value of "${tenantClaim}"`];
  const [tenant] = tenants;
  if (!isTenant(tenant)) {
    const rule = `one has 1 to ${TENANT_BYTES_MAX} bytes without /, +, # and control characters, does not begin with $, `
      + `and is not "${NOTICES}"`;
    return [undefined, `"${tenantClaim}" of the token is no tenant: ${rule}`];
  }
  const isAdmin = admin !== undefined && valuesOf(token, admin.claim).includes(admin.value);
  return [{ subject, tenant, isAdmin }, undefined];
}

// The values of a claim by its path.
function valuesOf(token, path) {
  return token.flattened.find(([known]) => known === path)?.[1] ?? [];
}

function isName(text, bytesMax) {
  const bytes = new TextEncoder().encode(text).length;
  return bytes >= 1 && bytes <= bytesMax && !/[\u0000-\u001f\u007f-\u009f]/.test(text);
}

// Whether a name can be the first level of topics, and nothing else.
function isTenant(name) {
  return isName(name, TENANT_BYTES_MAX) && !/[/+#]|^\$/.test(name) && name !== NOTICES;
}

// The first level of a topic or filter.
function ownerOf(topic) {
  return topic.split('/', 1)[0];
}

function isAdmin(connection) {
  return connection.attribute('role') === 'admin';
}

// The text that the bytes are; undefined where they are none.
function asText(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function reject(code, reason) {
  return { tag: 'reject', val: { code, reason } };
}

function verdict(opinion) {
  return { opinion, code: 0, reason: undefined, validity: undefined };
}

function deny(reason) {
  return { ...verdict('deny'), code: NOT_AUTHORIZED, reason };
}

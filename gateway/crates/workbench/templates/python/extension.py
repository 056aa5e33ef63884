"""Lets in the devices of one site, and gives each its own topics.

Settings: `site`, the first level of all topics; `token`, what devices show as their password.
Grants: `config`, `credentials`, `log`, and `random`, which Python asks for when it starts.

An interface that the world exports is a class of that name, one that it imports is a module. The error of a `result` is
raised as Err.
"""

from typing import List, Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.authenticator import (
    Grant,
    Outcome,
    Outcome_Abstain,
    Outcome_Accept,
    Outcome_Reject,
    Secret,
    Secret_Password,
)
from wit_world.exports.authorizer import Opinion, Publication, Subscription, Verdict
from wit_world.imports import config, credentials, log
from wit_world.imports.types import (
    Actions,
    Client,
    Connection,
    Denial,
    Effect,
    Fallback,
    PermissionSet,
    Qos,
    Rule,
)

BAD_USER_NAME_OR_PASSWORD = 0x86
CLIENT_IDENTIFIER_NOT_VALID = 0x85
NOT_AUTHORIZED = 0x87

KEYS = ["site", "token"]

# Bytes of an alarm at most: a rule could not say that, so the hook is asked.
ALARM_BYTES_MAX = 1024

# The same for as long as the instance lives; `init` is called before any hook.
site: str
token: bytes


class Lifecycle(exports.Lifecycle):
    def init(self) -> None:
        global site, token
        unknown = [key for key in config.keys() if key not in KEYS]
        if unknown:
            names = '", "'.join(unknown)
            raise Err(f'"{names}" is not a setting of this extension')
        for key in KEYS:
            if config.get(key) is None:
                raise Err(f'"{key}" is not set; put it under [extensions.NAME.config]')
        site, token = config.get("site"), config.get("token").encode()
        log.event(log.Level.INFO, "ready", [("site", site)])


class Authenticator(exports.Authenticator):
    def authenticate(self, who: Client, conn: Connection, secret: Secret) -> Outcome:
        if not isinstance(secret, Secret_Password):
            return Outcome_Abstain()
        if not credentials.equal(secret.value, token):
            log.event(log.Level.WARN, "wrong token", [("client", who.client_id)])
            return Outcome_Reject(Denial(BAD_USER_NAME_OR_PASSWORD, "the token is wrong"))
        if not who.client_id.startswith(f"{site}-"):
            why = f'client identifier "{who.client_id}" does not begin with "{site}-"'
            return Outcome_Reject(Denial(CLIENT_IDENTIFIER_NOT_VALID, why))
        return Outcome_Accept(Grant(who.client_id, [("site", site)], None, None))


class Authorizer(exports.Authorizer):
    def permissions(self, who: Client, conn: Connection) -> Optional[PermissionSet]:
        if conn.attribute("site") is None:
            # Another authenticator of the chain let the client in.
            return None
        # Checked by the gateway itself, without a call.
        rules = [
            allow(Actions.PUBLISH, f"{site}/${{client-id}}/#"),
            allow(Actions.SUBSCRIBE, f"{site}/commands/${{client-id}}"),
        ]
        # What no rule speaks of is asked about below.
        return PermissionSet(rules, Fallback.ASK)

    def authorize_publish(self, who: Client, conn: Connection, what: Publication) -> Verdict:
        if what.topic != f"{site}/alarms":
            return deny(f'topic "{what.topic}" is not the client\'s')
        if what.payload_size > ALARM_BYTES_MAX:
            return deny(f"an alarm has at most {ALARM_BYTES_MAX} bytes")
        return Verdict(Opinion.ALLOW, 0, None, None)

    def authorize_subscribe(
        self, who: Client, conn: Connection, what: List[Subscription]
    ) -> List[Verdict]:
        return [deny(f'filter "{entry.filter}" is not the client\'s') for entry in what]


def allow(actions: Actions, filter: str) -> Rule:
    return Rule(Effect.ALLOW, actions, filter, Qos.EXACTLY_ONCE, True, None)


def deny(reason: str) -> Verdict:
    return Verdict(Opinion.DENY, NOT_AUTHORIZED, reason, None)

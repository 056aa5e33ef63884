"""Tenants on one gateway, each with its own topics: the example in Python. ../README.md tells what it does and has the same in
other languages; `cargo xtask examples python` builds it to target/languages/python.wasm.

An interface that the world exports is a class of that name, one that it imports is a module. The error of a `result` is raised
as Err. Python draws random numbers when it starts, so the operator has to grant `random`.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple

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
from wit_world.exports.authorizer import Opinion, Publication, Subscription, Validity, Verdict
from wit_world.imports import config, credentials, log
from wit_world.imports.credentials import (
    TokenError_Other,
    TokenError_Unavailable,
    TokenError_UnknownKeySet,
    VerifiedToken,
)
from wit_world.imports.types import (
    Actions,
    Client,
    Connection,
    Denial,
    Effect,
    Fallback,
    HookError_Internal,
    HookError_Unavailable,
    PermissionSet,
    Qos,
    Rule,
)

BAD_USER_NAME_OR_PASSWORD = 0x86
CLIENT_IDENTIFIER_NOT_VALID = 0x85
NOT_AUTHORIZED = 0x87

KEYS = ["admin-claim", "key-set", "tenant-claim"]

# First level of the topics that all tenants may read.
NOTICES = "notices"

# Bytes of a tenant's name, and of a principal as the gateway takes it.
TENANT_BYTES_MAX = 64
SUBJECT_BYTES_MAX = 1024

# For how long the gateway remembers that an administrator may publish to a tenant.
ADMIN_TTL_MS = 60_000


@dataclass
class Settings:
    """What the operator says."""

    key_set: str
    tenant_claim: str
    # Claim, and the value of it that makes an administrator.
    admin: Optional[Tuple[str, str]]


# The same for as long as the instance lives; `init` is called before any hook.
settings: Settings


class Lifecycle(exports.Lifecycle):
    def init(self) -> None:
        global settings
        settings = read_settings()


class Authenticator(exports.Authenticator):
    def authenticate(self, who: Client, conn: Connection, secret: Secret) -> Outcome:
        if not isinstance(secret, Secret_Password):
            return Outcome_Abstain()
        try:
            token = secret.value.decode("utf-8")
        except UnicodeDecodeError:
            return reject(BAD_USER_NAME_OR_PASSWORD, "the password is no token: it is not UTF-8")
        try:
            verified = credentials.verify_token(settings.key_set, token)
        except Err as error:
            return without_token(error.value)
        try:
            member = member_of(verified)
        except NotOurs as why:
            return reject(NOT_AUTHORIZED, str(why))
        if not who.client_id.startswith(f"{member.tenant}-"):
            # It could take over the session of another tenant's client.
            why = f'client identifier "{who.client_id}" does not begin with "{member.tenant}-"'
            return reject(CLIENT_IDENTIFIER_NOT_VALID, why)
        attributes = [("tenant", member.tenant)]
        if member.is_admin:
            attributes.append(("role", "admin"))
            fields = [("client", who.client_id), ("tenant", member.tenant)]
            log.event(log.Level.INFO, "administrator let in", fields)
        return Outcome_Accept(Grant(member.subject, attributes, None, verified.valid_for_ms))


class Authorizer(exports.Authorizer):
    def permissions(self, who: Client, conn: Connection) -> Optional[PermissionSet]:
        if conn.attribute("tenant") is None:
            # Another authenticator of the chain let it in.
            return None
        both = Actions.PUBLISH | Actions.SUBSCRIBE
        own, notices = "${attr.tenant}/#", f"{NOTICES}/#"
        rules = [
            Rule(Effect.ALLOW, both, own, Qos.EXACTLY_ONCE, True, "own topics"),
            Rule(Effect.ALLOW, Actions.SUBSCRIBE, notices, Qos.AT_LEAST_ONCE, True, NOTICES),
        ]
        # Whatever else a client wants is another tenant's: that takes an administrator, and a no has a reason.
        return PermissionSet(rules, Fallback.ASK)

    def authorize_publish(self, who: Client, conn: Connection, what: Publication) -> Verdict:
        tenant = conn.attribute("tenant")
        if tenant is None:
            return verdict(Opinion.ABSTAIN)
        owner = owner_of(what.topic)
        if owner.startswith("$"):
            return deny(f'topics below "{owner}" are the gateway\'s')
        if not is_admin(conn):
            return deny(f'topic "{what.topic}" is of "{owner}", and the client is of "{tenant}"')
        if what.retain:
            return deny(f'an administrator leaves no retained messages with "{owner}"')
        validity = Validity(ADMIN_TTL_MS, f"{owner}/#", Qos.EXACTLY_ONCE, False)
        return Verdict(Opinion.ALLOW, 0, None, validity)

    def authorize_subscribe(
        self, who: Client, conn: Connection, what: List[Subscription]
    ) -> List[Verdict]:
        tenant, admin = conn.attribute("tenant"), is_admin(conn)
        return [subscription_verdict(entry.filter, tenant, admin) for entry in what]


def subscription_verdict(filter: str, tenant: Optional[str], admin: bool) -> Verdict:
    owner = owner_of(filter)
    if tenant is None:
        return verdict(Opinion.ABSTAIN)
    if owner.startswith("$"):
        return deny(f'topics below "{owner}" are the gateway\'s')
    if admin:
        return verdict(Opinion.ALLOW)
    if owner in ("+", "#"):
        return deny(f'filter "{filter}" reaches others than "{tenant}"')
    return deny(f'filter "{filter}" is of "{owner}", and the client is of "{tenant}"')


def read_settings() -> Settings:
    """Reads the settings; all faults are told at once."""
    faults = []
    unknown = [key for key in config.keys() if key not in KEYS]
    if unknown:
        names, known = '", "'.join(unknown), ", ".join(KEYS)
        faults.append(f'"{names}" is not a setting of this extension; there are: {known}')
    key_set = config.get("key-set") or ""
    if not key_set:
        faults.append('"key-set" is not set; name one of [extensions.NAME.key-sets]')
    admin, text = None, config.get("admin-claim")
    if text is not None:
        claim, _, value = text.partition("=")
        admin = (claim, value)
        if not claim or not value:
            rule = "write CLAIM=VALUE, such as roles=site-admin"
            faults.append(f'"admin-claim" is "{text}"; {rule}')
    if faults:
        raise Err("; ".join(faults))
    tenant_claim = config.get("tenant-claim")
    return Settings(key_set, "tenant" if tenant_claim is None else tenant_claim, admin)


def without_token(error: credentials.TokenError) -> Outcome:
    """What is answered where there is no verified token: a refusal, or a failure that is no verdict."""
    if isinstance(error, TokenError_Unavailable):
        raise Err(HookError_Unavailable(error.value))
    if isinstance(error, TokenError_UnknownKeySet):
        name = settings.key_set
        why = f'there is no key set "{name}"; add [extensions.NAME.key-sets.{name}] to gateway.toml'
        raise Err(HookError_Internal(why))
    why = error.value[1] if isinstance(error, TokenError_Other) else error.value
    return reject(BAD_USER_NAME_OR_PASSWORD, why)


class NotOurs(Exception):
    """Why a token is about no client of ours: a sentence for the log."""


@dataclass
class Member:
    """Whom a token is about."""

    subject: str
    tenant: str
    is_admin: bool


def member_of(token: VerifiedToken) -> Member:
    subject = token.subject or ""
    if not is_name(subject, SUBJECT_BYTES_MAX):
        rule = f"one has 1 to {SUBJECT_BYTES_MAX} bytes without control characters"
        raise NotOurs(f'"sub" of the token is no name: {rule}')
    claim = settings.tenant_claim
    tenants = values_of(token, claim)
    if len(tenants) != 1:
        raise NotOurs(f'the token has not exactly one value of "{claim}"')
    if not is_tenant(tenants[0]):
        rule = (
            f"one has 1 to {TENANT_BYTES_MAX} bytes without /, +, # and control characters, "
            f'does not begin with $, and is not "{NOTICES}"'
        )
        raise NotOurs(f'"{claim}" of the token is no tenant: {rule}')
    admin = settings.admin
    return Member(subject, tenants[0], admin is not None and admin[1] in values_of(token, admin[0]))


def values_of(token: VerifiedToken, path: str) -> List[str]:
    """The values of a claim by its path."""
    return next((values for known, values in token.flattened if known == path), [])


def is_name(text: str, bytes_max: int) -> bool:
    control = any(c < " " or "\x7f" <= c <= "\x9f" for c in text)
    return 1 <= len(text.encode("utf-8")) <= bytes_max and not control


def is_tenant(name: str) -> bool:
    """Whether a name can be the first level of topics, and nothing else."""
    usable = is_name(name, TENANT_BYTES_MAX) and not any(c in "/+#" for c in name)
    return usable and not name.startswith("$") and name != NOTICES


def owner_of(topic: str) -> str:
    """The first level of a topic or filter."""
    return topic.split("/", 1)[0]


def is_admin(conn: Connection) -> bool:
    return conn.attribute("role") == "admin"


def reject(code: int, reason: str) -> Outcome:
    return Outcome_Reject(Denial(code, reason))


def verdict(opinion: Opinion) -> Verdict:
    return Verdict(opinion, 0, None, None)


def deny(reason: str) -> Verdict:
    return Verdict(Opinion.DENY, NOT_AUTHORIZED, reason, None)

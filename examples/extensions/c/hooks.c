/* Tenants on one gateway, each with its own topics: the example in C. ../README.md tells what it does and has the same in other
   languages; `cargo xtask examples c` builds it to target/languages/c.wasm.

   settings.c reads the configuration, member.c reads a token; here are the hooks. tenants.h with the types of the contract is made by
   wit-bindgen. What a hook is given is the hook's to free, and so is what an import returns; what a hook answers the gateway frees, so
   each text and list of an answer has memory of its own. */
#include <stdlib.h>

#include "member.h"
#include "settings.h"
#include "tenants.h"
#include "text.h"

#define BAD_USER_NAME_OR_PASSWORD 0x86
#define CLIENT_IDENTIFIER_NOT_VALID 0x85
#define NOT_AUTHORIZED 0x87

/* For how long the gateway remembers that an administrator may publish to a tenant. */
#define ADMIN_TTL_MS 60000

/* Shorter names for the contract's. */
typedef exports_portcullis_gateway_authenticator_client_t client;
typedef exports_portcullis_gateway_authenticator_borrow_connection_t connection;
typedef exports_portcullis_gateway_authenticator_secret_t secret;
typedef exports_portcullis_gateway_authenticator_outcome_t outcome;
typedef exports_portcullis_gateway_authenticator_hook_error_t hook_error;
typedef exports_portcullis_gateway_authorizer_verdict_t verdict;

/* What the operator says; the same for as long as the instance lives. */
static struct settings settings;

bool exports_portcullis_gateway_lifecycle_init(tenants_string_t *why) { return read_settings(&settings, why); }

/* The reason is given away. */
static void reject(outcome *answer, uint8_t code, text reason) {
  answer->tag = EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_OUTCOME_REJECT;
  answer->val.reject.code = code;
  answer->val.reject.reason.is_some = true;
  answer->val.reject.reason.val = reason;
}

/* What is answered where there is no verified token: a refusal, or (false) a failure that is no verdict. */
static bool without_token(const portcullis_host_credentials_token_error_t *error, outcome *answer, hook_error *failure) {
  switch (error->tag) {
    case PORTCULLIS_HOST_CREDENTIALS_TOKEN_ERROR_UNAVAILABLE:
      failure->tag = PORTCULLIS_GATEWAY_TYPES_HOOK_ERROR_UNAVAILABLE;
      failure->val.unavailable = copy_of(error->val.unavailable);
      return false;
    case PORTCULLIS_HOST_CREDENTIALS_TOKEN_ERROR_UNKNOWN_KEY_SET:
      failure->tag = PORTCULLIS_GATEWAY_TYPES_HOOK_ERROR_INTERNAL;
      failure->val.internal = say("there is no key set \"%\"; add [extensions.NAME.key-sets.%] to gateway.toml",
                                  settings.key_set, settings.key_set);
      return false;
    case PORTCULLIS_HOST_CREDENTIALS_TOKEN_ERROR_OTHER:
      reject(answer, BAD_USER_NAME_OR_PASSWORD, copy_of(error->val.other.f1));
      return true;
    default:
      /* All others have a sentence in the same place. */
      reject(answer, BAD_USER_NAME_OR_PASSWORD, copy_of(error->val.malformed));
      return true;
  }
}

static void accept(outcome *answer, const client *who, const struct member *member, tenants_option_u64_t valid_for_ms) {
  size_t count = member->is_admin ? 2 : 1;
  tenants_tuple2_string_string_t *attributes = room_for(count, sizeof *attributes);
  attributes[0] = (tenants_tuple2_string_string_t){copy_of(LITERAL("tenant")), copy_of(member->tenant)};
  if (member->is_admin) {
    attributes[1] = (tenants_tuple2_string_string_t){copy_of(LITERAL("role")), copy_of(LITERAL("admin"))};
    tenants_tuple2_string_string_t named[] = {{LITERAL("client"), who->client_id}, {LITERAL("tenant"), member->tenant}};
    text message = LITERAL("administrator let in");
    tenants_list_tuple2_string_string_t fields = {named, 2};
    portcullis_host_log_event(PORTCULLIS_HOST_LOG_LEVEL_INFO, &message, &fields);
  }
  answer->tag = EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_OUTCOME_ACCEPT;
  answer->val.accept.principal = copy_of(member->subject);
  answer->val.accept.attributes = (portcullis_gateway_types_properties_t){attributes, count};
  answer->val.accept.permissions.is_some = false;
  answer->val.accept.valid_for_ms = valid_for_ms;
}

/* Decides about a client whose token is right. */
static void admit(const client *who, const portcullis_host_credentials_verified_token_t *token, outcome *answer) {
  struct member member;
  text why;
  if (!read_member(&settings, token, &member, &why)) {
    reject(answer, NOT_AUTHORIZED, why);
    return;
  }
  text prefix = say("%-", member.tenant);
  if (begins_with(who->client_id, prefix)) {
    accept(answer, who, &member, token->valid_for_ms);
  } else {
    /* It could take over the session of another tenant's client. */
    text reason = say("client identifier \"%\" does not begin with \"%\"", who->client_id, prefix);
    reject(answer, CLIENT_IDENTIFIER_NOT_VALID, reason);
  }
  tenants_string_free(&prefix);
}

static bool authenticate(const client *who, const secret *shown, outcome *answer, hook_error *failure) {
  if (shown->tag == EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_SECRET_NONE) {
    answer->tag = EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_OUTCOME_ABSTAIN;
    return true;
  }
  text password = {shown->val.password.ptr, shown->val.password.len};
  if (!is_utf8(password.ptr, password.len)) {
    reject(answer, BAD_USER_NAME_OR_PASSWORD, copy_of(LITERAL("the password is no token: it is not UTF-8")));
    return true;
  }
  portcullis_host_credentials_verified_token_t token;
  portcullis_host_credentials_token_error_t error;
  if (!portcullis_host_credentials_verify_token(&settings.key_set, &password, &token, &error)) {
    bool answered = without_token(&error, answer, failure);
    portcullis_host_credentials_token_error_free(&error);
    return answered;
  }
  admit(who, &token, answer);
  portcullis_host_credentials_verified_token_free(&token);
  return true;
}

bool exports_portcullis_gateway_authenticator_authenticate(client *who, connection conn, secret *shown, outcome *answer,
                                                           hook_error *failure) {
  bool answered = authenticate(who, shown, answer, failure);
  exports_portcullis_gateway_authenticator_client_free(who);
  exports_portcullis_gateway_authenticator_secret_free(shown);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return answered;
}

/* The attribute of a client, to be freed; false where it has none. */
static bool attribute(connection conn, text name, text *value) {
  return portcullis_gateway_types_method_connection_attribute(conn, &name, value);
}

static bool is_admin(connection conn) {
  text role;
  if (!attribute(conn, LITERAL("role"), &role)) return false;
  bool is = is_same(role, LITERAL("admin"));
  tenants_string_free(&role);
  return is;
}

static portcullis_gateway_types_rule_t rule(uint8_t actions, text filter, uint8_t max_qos, text label) {
  return (portcullis_gateway_types_rule_t){
      .effect = PORTCULLIS_GATEWAY_TYPES_EFFECT_ALLOW,
      .actions = actions,
      .filter = copy_of(filter),
      .max_qos = max_qos,
      .retain = true,
      .label = {true, copy_of(label)},
  };
}

bool exports_portcullis_gateway_authorizer_permissions(client *who, connection conn, exports_portcullis_gateway_authorizer_option_permission_set_t *answer,
                                                       hook_error *failure) {
  (void)failure;
  text tenant;
  /* Without the attribute another authenticator of the chain let it in. */
  answer->is_some = attribute(conn, LITERAL("tenant"), &tenant);
  if (answer->is_some) {
    const uint8_t subscribe = PORTCULLIS_GATEWAY_TYPES_ACTIONS_SUBSCRIBE;
    const uint8_t both = PORTCULLIS_GATEWAY_TYPES_ACTIONS_PUBLISH | subscribe;
    portcullis_gateway_types_rule_t *rules = room_for(2, sizeof *rules);
    rules[0] = rule(both, LITERAL("${attr.tenant}/#"), PORTCULLIS_GATEWAY_TYPES_QOS_EXACTLY_ONCE, LITERAL("own topics"));
    rules[1] = rule(subscribe, LITERAL(NOTICES "/#"), PORTCULLIS_GATEWAY_TYPES_QOS_AT_LEAST_ONCE, LITERAL(NOTICES));
    answer->val.rules.ptr = rules;
    answer->val.rules.len = 2;
    /* Whatever else a client wants is another tenant's: that takes an administrator, and a no has a reason. */
    answer->val.fallback = PORTCULLIS_GATEWAY_TYPES_FALLBACK_ASK;
    tenants_string_free(&tenant);
  }
  exports_portcullis_gateway_authorizer_client_free(who);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

static verdict opinion(uint8_t opinion) { return (verdict){.opinion = opinion}; }

/* The reason is given away. */
static verdict deny(text reason) {
  return (verdict){
      .opinion = EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_DENY,
      .code = NOT_AUTHORIZED,
      .reason = {true, reason},
  };
}

/* The verdict about a publish; the tenant is none for a client of another authenticator. */
static verdict publication(const exports_portcullis_gateway_authorizer_publication_t *what, const text *tenant, bool admin) {
  text owner = before(what->topic, '/');
  if (tenant == NULL) return opinion(EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_ABSTAIN);
  if (begins_with(owner, LITERAL("$"))) return deny(say("topics below \"%\" are the gateway's", owner));
  if (!admin) return deny(say("topic \"%\" is of \"%\", and the client is of \"%\"", what->topic, owner, *tenant));
  if (what->retain) return deny(say("an administrator leaves no retained messages with \"%\"", owner));
  verdict allowed = opinion(EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_ALLOW);
  allowed.validity.is_some = true;
  allowed.validity.val.ttl_ms = ADMIN_TTL_MS;
  allowed.validity.val.filter.is_some = true;
  allowed.validity.val.filter.val = say("%/#", owner);
  allowed.validity.val.max_qos = PORTCULLIS_GATEWAY_TYPES_QOS_EXACTLY_ONCE;
  allowed.validity.val.retain = false;
  return allowed;
}

/* The same about a subscription. */
static verdict subscription(text filter, const text *tenant, bool admin) {
  text owner = before(filter, '/');
  if (tenant == NULL) return opinion(EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_ABSTAIN);
  if (begins_with(owner, LITERAL("$"))) return deny(say("topics below \"%\" are the gateway's", owner));
  if (admin) return opinion(EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_ALLOW);
  if (is_same(owner, LITERAL("+")) || is_same(owner, LITERAL("#"))) {
    return deny(say("filter \"%\" reaches others than \"%\"", filter, *tenant));
  }
  return deny(say("filter \"%\" is of \"%\", and the client is of \"%\"", filter, owner, *tenant));
}

bool exports_portcullis_gateway_authorizer_authorize_publish(client *who, connection conn,
                                                             exports_portcullis_gateway_authorizer_publication_t *what,
                                                             verdict *answer, hook_error *failure) {
  (void)failure;
  text tenant;
  bool is_ours = attribute(conn, LITERAL("tenant"), &tenant);
  *answer = publication(what, is_ours ? &tenant : NULL, is_ours && is_admin(conn));
  if (is_ours) tenants_string_free(&tenant);
  exports_portcullis_gateway_authorizer_client_free(who);
  exports_portcullis_gateway_authorizer_publication_free(what);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

bool exports_portcullis_gateway_authorizer_authorize_subscribe(client *who, connection conn,
                                                               exports_portcullis_gateway_authorizer_list_subscription_t *what,
                                                               exports_portcullis_gateway_authorizer_list_verdict_t *answer,
                                                               hook_error *failure) {
  (void)failure;
  text tenant;
  bool is_ours = attribute(conn, LITERAL("tenant"), &tenant);
  bool admin = is_ours && is_admin(conn);
  answer->ptr = room_for(what->len, sizeof *answer->ptr);
  answer->len = what->len;
  for (size_t at = 0; at < what->len; at++) {
    answer->ptr[at] = subscription(what->ptr[at].filter, is_ours ? &tenant : NULL, admin);
  }
  if (is_ours) tenants_string_free(&tenant);
  exports_portcullis_gateway_authorizer_client_free(who);
  exports_portcullis_gateway_authorizer_list_subscription_free(what);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

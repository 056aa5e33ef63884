/* Lets in the devices of one site, and gives each its own topics.

   Settings: `site`, the first level of all topics; `token`, what devices show as their password.
   Grants: `config`, `credentials`, `log`.

   extension.h is made by wit-bindgen from the contract. What a hook is given is the hook's to free, and so is what an import
   returns; what a hook answers the gateway frees, so each text and list of an answer has memory of its own. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "extension.h"

#define BAD_USER_NAME_OR_PASSWORD 0x86
#define CLIENT_IDENTIFIER_NOT_VALID 0x85
#define NOT_AUTHORIZED 0x87

/* Bytes of an alarm at most: a rule could not say that, so the hook is asked. */
#define ALARM_BYTES_MAX 1024

/* Shorter names for the contract's. */
typedef extension_string_t text;
typedef exports_portcullis_gateway_authenticator_client_t client;
typedef exports_portcullis_gateway_authenticator_borrow_connection_t connection;
typedef exports_portcullis_gateway_authenticator_secret_t secret;
typedef exports_portcullis_gateway_authenticator_outcome_t outcome;
typedef exports_portcullis_gateway_authenticator_hook_error_t hook_error;
typedef exports_portcullis_gateway_authorizer_publication_t publication;
typedef exports_portcullis_gateway_authorizer_verdict_t verdict;
typedef portcullis_gateway_types_rule_t rule;

/* The text of a literal; it must not be given to the gateway, which frees what it is given. */
#define LITERAL(literal) ((text){(uint8_t *)(literal), sizeof(literal) - 1})

/* What the operator says; the same for as long as the instance lives. */
static text site;
static text token;

/* Memory for so many entries; it ends the call where there is none. */
static void *room_for(size_t count, size_t size) {
  void *room = calloc(count > 0 ? count : 1, size);
  if (room == NULL) __builtin_trap();
  return room;
}

/* A new text: the format, with the next argument, a `text`, in the place of each '%'. */
static text say(const char *format, ...) {
  va_list arguments;
  size_t length = 0;
  va_start(arguments, format);
  for (const char *at = format; *at != 0; at++) length += *at == '%' ? va_arg(arguments, text).len : 1;
  va_end(arguments);
  text said = {room_for(length, 1), length};
  uint8_t *to = said.ptr;
  va_start(arguments, format);
  for (const char *at = format; *at != 0; at++) {
    if (*at != '%') {
      *to++ = (uint8_t)*at;
      continue;
    }
    text part = va_arg(arguments, text);
    if (part.len > 0) memcpy(to, part.ptr, part.len);
    to += part.len;
  }
  va_end(arguments);
  return said;
}

static bool begins_with(text whole, text beginning) {
  return whole.len >= beginning.len && (beginning.len == 0 || memcmp(whole.ptr, beginning.ptr, beginning.len) == 0);
}

static bool is_same(text one, text other) { return one.len == other.len && begins_with(one, other); }

static void write_line(portcullis_host_log_level_t level, text message, text name, text value) {
  extension_tuple2_string_string_t field = {name, value};
  extension_list_tuple2_string_string_t fields = {&field, 1};
  portcullis_host_log_event(level, &message, &fields);
}

bool exports_portcullis_gateway_lifecycle_init(text *why) {
  extension_list_string_t keys;
  portcullis_host_config_keys(&keys);
  for (size_t at = 0; at < keys.len; at++) {
    if (is_same(keys.ptr[at], LITERAL("site")) || is_same(keys.ptr[at], LITERAL("token"))) continue;
    *why = say("\"%\" is not a setting of this extension", keys.ptr[at]);
    return false;
  }
  extension_list_string_free(&keys);
  struct {
    text key;
    text *value;
  } settings[] = {{LITERAL("site"), &site}, {LITERAL("token"), &token}};
  for (size_t at = 0; at < 2; at++) {
    if (portcullis_host_config_get(&settings[at].key, settings[at].value)) continue;
    *why = say("\"%\" is not set; put it under [extensions.NAME.config]", settings[at].key);
    return false;
  }
  write_line(PORTCULLIS_HOST_LOG_LEVEL_INFO, LITERAL("ready"), LITERAL("site"), site);
  return true;
}

/* The reason is given away. */
static void reject(outcome *answer, uint8_t code, text reason) {
  answer->tag = EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_OUTCOME_REJECT;
  answer->val.reject.code = code;
  answer->val.reject.reason.is_some = true;
  answer->val.reject.reason.val = reason;
}

static void accept(outcome *answer, text principal) {
  extension_tuple2_string_string_t *attributes = room_for(1, sizeof *attributes);
  attributes[0] = (extension_tuple2_string_string_t){say("site"), say("%", site)};
  answer->tag = EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_OUTCOME_ACCEPT;
  answer->val.accept.principal = say("%", principal);
  answer->val.accept.attributes = (portcullis_gateway_types_properties_t){attributes, 1};
  answer->val.accept.permissions.is_some = false;
  answer->val.accept.valid_for_ms.is_some = false;
}

bool exports_portcullis_gateway_authenticator_authenticate(client *who, connection conn, secret *shown, outcome *answer,
                                                           hook_error *failure) {
  (void)failure;
  text prefix = say("%-", site);
  if (shown->tag != EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_SECRET_PASSWORD) {
    answer->tag = EXPORTS_PORTCULLIS_GATEWAY_AUTHENTICATOR_OUTCOME_ABSTAIN;
  } else if (!portcullis_host_credentials_equal(&shown->val.password, &(extension_list_u8_t){token.ptr, token.len})) {
    write_line(PORTCULLIS_HOST_LOG_LEVEL_WARN, LITERAL("wrong token"), LITERAL("client"), who->client_id);
    reject(answer, BAD_USER_NAME_OR_PASSWORD, say("the token is wrong"));
  } else if (!begins_with(who->client_id, prefix)) {
    text why = say("client identifier \"%\" does not begin with \"%\"", who->client_id, prefix);
    reject(answer, CLIENT_IDENTIFIER_NOT_VALID, why);
  } else {
    accept(answer, who->client_id);
  }
  extension_string_free(&prefix);
  exports_portcullis_gateway_authenticator_secret_free(shown);
  exports_portcullis_gateway_authenticator_client_free(who);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

static rule allow(portcullis_gateway_types_actions_t actions, text filter) {
  return (rule){
      .effect = PORTCULLIS_GATEWAY_TYPES_EFFECT_ALLOW,
      .actions = actions,
      .filter = filter,
      .max_qos = PORTCULLIS_GATEWAY_TYPES_QOS_EXACTLY_ONCE,
      .retain = true,
  };
}

bool exports_portcullis_gateway_authorizer_permissions(client *who, connection conn,
                                                       exports_portcullis_gateway_authorizer_option_permission_set_t *answer,
                                                       hook_error *failure) {
  (void)failure;
  text name = LITERAL("site"), value;
  /* Without the attribute another authenticator of the chain let the client in. */
  answer->is_some = portcullis_gateway_types_method_connection_attribute(conn, &name, &value);
  if (answer->is_some) {
    extension_string_free(&value);
    /* Checked by the gateway itself, without a call. */
    rule *rules = room_for(2, sizeof *rules);
    rules[0] = allow(PORTCULLIS_GATEWAY_TYPES_ACTIONS_PUBLISH, say("%/${client-id}/#", site));
    rules[1] = allow(PORTCULLIS_GATEWAY_TYPES_ACTIONS_SUBSCRIBE, say("%/commands/${client-id}", site));
    answer->val.rules = (portcullis_gateway_types_list_rule_t){rules, 2};
    /* What no rule speaks of is asked about below. */
    answer->val.fallback = PORTCULLIS_GATEWAY_TYPES_FALLBACK_ASK;
  }
  exports_portcullis_gateway_authorizer_client_free(who);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

static verdict allowed(void) {
  return (verdict){.opinion = EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_ALLOW};
}

/* The reason is given away. */
static verdict denied(text why) {
  return (verdict){
      .opinion = EXPORTS_PORTCULLIS_GATEWAY_AUTHORIZER_OPINION_DENY,
      .code = NOT_AUTHORIZED,
      .reason = {.is_some = true, .val = why},
  };
}

bool exports_portcullis_gateway_authorizer_authorize_publish(client *who, connection conn, publication *what, verdict *answer,
                                                             hook_error *failure) {
  (void)failure;
  text alarms = say("%/alarms", site);
  if (!is_same(what->topic, alarms)) {
    *answer = denied(say("topic \"%\" is not the client's", what->topic));
  } else if (what->payload_size > ALARM_BYTES_MAX) {
    *answer = denied(say("an alarm has at most 1024 bytes"));
  } else {
    *answer = allowed();
  }
  extension_string_free(&alarms);
  exports_portcullis_gateway_authorizer_publication_free(what);
  exports_portcullis_gateway_authorizer_client_free(who);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

bool exports_portcullis_gateway_authorizer_authorize_subscribe(client *who, connection conn,
                                                               exports_portcullis_gateway_authorizer_list_subscription_t *what,
                                                               exports_portcullis_gateway_authorizer_list_verdict_t *answer,
                                                               hook_error *failure) {
  (void)failure;
  answer->len = what->len;
  answer->ptr = room_for(what->len, sizeof *answer->ptr);
  for (size_t at = 0; at < what->len; at++) {
    answer->ptr[at] = denied(say("filter \"%\" is not the client's", what->ptr[at].filter));
  }
  exports_portcullis_gateway_authorizer_list_subscription_free(what);
  exports_portcullis_gateway_authorizer_client_free(who);
  portcullis_gateway_types_connection_drop_borrow(conn);
  return true;
}

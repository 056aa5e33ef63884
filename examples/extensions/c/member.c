#include "member.h"

/* Bytes of a tenant's name, and of a principal as the gateway takes it. */
#define TENANT_BYTES_MAX 64
#define SUBJECT_BYTES_MAX 1024

static bool is_name(text name, size_t bytes_max) { return name.len >= 1 && name.len <= bytes_max && !has_control(name); }

/* Whether a name can be the first level of topics, and nothing else. */
static bool is_tenant(text name) {
  return is_name(name, TENANT_BYTES_MAX) && !has(name, '/') && !has(name, '+') && !has(name, '#') &&
         !begins_with(name, LITERAL("$")) && !is_same(name, LITERAL(NOTICES));
}

/* The values of a claim by its path. */
static tenants_list_string_t values_of(const portcullis_host_credentials_verified_token_t *token, text path) {
  for (size_t at = 0; at < token->flattened.len; at++) {
    if (is_same(token->flattened.ptr[at].f0, path)) return token->flattened.ptr[at].f1;
  }
  return (tenants_list_string_t){NULL, 0};
}

static bool holds(tenants_list_string_t values, text wanted) {
  for (size_t at = 0; at < values.len; at++) {
    if (is_same(values.ptr[at], wanted)) return true;
  }
  return false;
}

bool read_member(const struct settings *settings, const portcullis_host_credentials_verified_token_t *token,
                 struct member *member, text *why) {
  text claim = settings->tenant_claim;
  if (!token->subject.is_some || !is_name(token->subject.val, SUBJECT_BYTES_MAX)) {
    *why = copy_of(LITERAL("\"sub\" of the token is no name: one has 1 to 1024 bytes without control characters"));
    return false;
  }
  tenants_list_string_t tenants = values_of(token, claim);
  if (tenants.len != 1) {
    *why = say("the token has not exactly one value of \"%\"", claim);
    return false;
  }
  if (!is_tenant(tenants.ptr[0])) {
    *why = say("\"%\" of the token is no tenant: one has 1 to 64 bytes without /, +, # and control characters, does not begin "
               "with $, and is not \"" NOTICES "\"", claim);
    return false;
  }
  bool has_admins = settings->admin_claim.len > 0;
  *member = (struct member){
      .subject = token->subject.val,
      .tenant = tenants.ptr[0],
      .is_admin = has_admins && holds(values_of(token, settings->admin_claim), settings->admin_value),
  };
  return true;
}

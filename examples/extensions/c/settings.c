#include "settings.h"

#include <stdlib.h>

/* Adds a fault, which is given away, to those before. */
static void add(text *faults, text fault) {
  text joined = faults->len > 0 ? say("%; %", *faults, fault) : copy_of(fault);
  tenants_string_free(faults);
  tenants_string_free(&fault);
  *faults = joined;
}

/* The names of the keys that are no settings, with `", "` between them. */
static text unknown_keys(void) {
  text unknown = {NULL, 0};
  tenants_list_string_t keys;
  portcullis_host_config_keys(&keys);
  for (size_t at = 0; at < keys.len; at++) {
    text key = keys.ptr[at];
    if (is_same(key, LITERAL("admin-claim")) || is_same(key, LITERAL("key-set")) || is_same(key, LITERAL("tenant-claim"))) {
      continue;
    }
    text joined = unknown.len > 0 ? say("%\", \"%", unknown, key) : copy_of(key);
    tenants_string_free(&unknown);
    unknown = joined;
  }
  tenants_list_string_free(&keys);
  return unknown;
}

static bool get(text key, text *value) { return portcullis_host_config_get(&key, value); }

bool read_settings(struct settings *settings, text *why) {
  text faults = {NULL, 0}, unknown = unknown_keys(), admin;
  if (unknown.len > 0) {
    add(&faults, say("\"%\" is not a setting of this extension; there are: admin-claim, key-set, tenant-claim", unknown));
  }
  tenants_string_free(&unknown);
  /* What an import returns is written whether there is a value or not. */
  *settings = (struct settings){0};
  if (!get(LITERAL("key-set"), &settings->key_set) || settings->key_set.len == 0) {
    add(&faults, copy_of(LITERAL("\"key-set\" is not set; name one of [extensions.NAME.key-sets]")));
  }
  if (!get(LITERAL("tenant-claim"), &settings->tenant_claim)) settings->tenant_claim = LITERAL("tenant");
  if (get(LITERAL("admin-claim"), &admin)) {
    settings->admin_claim = before(admin, '=');
    if (settings->admin_claim.len > 0 && settings->admin_claim.len + 1 < admin.len) {
      size_t behind = settings->admin_claim.len + 1;
      settings->admin_value = (text){admin.ptr + behind, admin.len - behind};
    } else {
      add(&faults, say("\"admin-claim\" is \"%\"; write CLAIM=VALUE, such as roles=site-admin", admin));
    }
  }
  *why = faults;
  return faults.len == 0;
}

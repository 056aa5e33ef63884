/* What the operator says in [extensions.NAME.config]. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "text.h"

struct settings {
  /* Name of the key set that verifies the tokens. */
  text key_set;
  /* Claim that names the tenant. */
  text tenant_claim;
  /* Claim, and the value of it that makes an administrator; without a claim nobody is one. */
  text admin_claim, admin_value;
};

/* Reads the settings, which are kept for ever. Where it gives false, `why` tells all faults at once. */
bool read_settings(struct settings *settings, text *why);

#endif

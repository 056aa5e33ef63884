/* Whose a client is, going by its token. */
#ifndef MEMBER_H
#define MEMBER_H

#include "settings.h"
#include "text.h"

/* First level of the topics that all tenants may read. */
#define NOTICES "notices"

/* Whom a token is about; the texts are the token's. */
struct member {
  text subject, tenant;
  bool is_admin;
};

/* Reads the claims. Where it gives false, `why` is a new text for the log. */
bool read_member(const struct settings *settings, const portcullis_host_credentials_verified_token_t *token,
                 struct member *member, text *why);

#endif

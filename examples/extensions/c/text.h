/* Texts as the contract has them: bytes in UTF-8 and their number, without a zero behind them. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants.h" /* made by wit-bindgen */

typedef tenants_string_t text;

/* The text of a literal; it must not be given to the gateway, which frees what it is given. */
#define LITERAL(literal) ((text){(uint8_t *)(literal), sizeof(literal) - 1})

/* A new text: the format, with the next argument, a `text`, in the place of each '%'. It ends the call where there is no memory. */
text say(const char *format, ...);

/* A copy. */
text copy_of(text original);

/* Memory for so many entries of so many bytes; it ends the call where there is none. */
void *room_for(size_t count, size_t size);

bool is_same(text one, text other);
bool begins_with(text whole, text beginning);

/* Whether a byte occurs. */
bool has(text whole, char byte);

/* The part before the first such byte; the whole where there is none. */
text before(text whole, char byte);

/* Whether bytes are UTF-8 (RFC 3629). A call of the gateway with a text that is none would be a trap. */
bool is_utf8(const uint8_t *bytes, size_t length);

/* Whether it has a control character: U+0000 to U+001F, U+007F to U+009F. */
bool has_control(text whole);

#endif

#include "text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *room_for(size_t count, size_t size) {
  void *room = calloc(count > 0 ? count : 1, size);
  if (room == NULL) __builtin_trap();
  return room;
}

text say(const char *format, ...) {
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

text copy_of(text original) { return say("%", original); }

bool begins_with(text whole, text beginning) {
  return whole.len >= beginning.len && (beginning.len == 0 || memcmp(whole.ptr, beginning.ptr, beginning.len) == 0);
}

bool is_same(text one, text other) { return one.len == other.len && begins_with(one, other); }

bool has(text whole, char byte) { return whole.len > 0 && memchr(whole.ptr, byte, whole.len) != NULL; }

text before(text whole, char byte) {
  uint8_t *found = whole.len > 0 ? memchr(whole.ptr, byte, whole.len) : NULL;
  return found == NULL ? whole : (text){whole.ptr, (size_t)(found - whole.ptr)};
}

bool is_utf8(const uint8_t *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    uint8_t first = bytes[at++];
    if (first < 0x80) continue;
    /* How many bytes follow, and between what the first of them must lie: no overlong forms, no surrogates, nothing beyond
       U+10FFFF. */
    size_t follow = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0xc2 || first > 0xf4 || length - at < follow) return false;
    for (; follow > 0; follow--, low = 0x80, high = 0xbf) {
      uint8_t next = bytes[at++];
      if (next < low || next > high) return false;
    }
  }
  return true;
}

bool has_control(text whole) {
  for (size_t at = 0; at < whole.len; at++) {
    uint8_t byte = whole.ptr[at];
    if (byte < 0x20 || byte == 0x7f) return true;
    /* U+0080 to U+009F are C2 80 to C2 9F. */
    if (byte == 0xc2 && at + 1 < whole.len && whole.ptr[at + 1] < 0xa0) return true;
  }
  return false;
}

/* How a shim stands in for calls of the C library, and reaches the real ones. */
#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* All that opens a file, by open_at(at, path, flags, mode) of the shim. */
#define OPENS_BY_OPEN_AT \
    OPEN(open, AT_FDCWD, const char *path) \
    OPEN(open64, AT_FDCWD, const char *path) \
    OPEN(openat, at, int at, const char *path) \
    OPEN(openat64, at, int at, const char *path)

#define OPEN(function, start, ...) \
    int function(__VA_ARGS__, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        } \
        return open_at(start, path, flags, mode); \
    }

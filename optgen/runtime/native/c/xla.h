/*
 * What functions that XLA calls have in common. A call names what it runs by a key, under which Python has made that
 * known: an address would be worthless in another process that finds the compiled program in a cache.
 */

#ifndef OPTGEN_XLA_H
#define OPTGEN_XLA_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

struct known {
    struct known *next;
    char *key;
    void *what;
};

static struct known *all_known;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What is known under a key; NULL for nothing. */
static inline void *known_as(const char *key, size_t length)
{
    pthread_mutex_lock(&lock);
    struct known *found = all_known;
    while (found && (strlen(found->key) != length || memcmp(found->key, key, length)))
        found = found->next;
    pthread_mutex_unlock(&lock);
    return found ? found->what : NULL;
}

/* Make something from malloc known, for good, unless its key is. Returns 0, or 1 if there is no memory. */
static inline int64_t make_known(const char *key, void *what)
{
    if (!what || known_as(key, strlen(key))) {
        free(what);
        return !what;
    }
    struct known *new = malloc(sizeof *new);
    if (!new || !(new->key = strdup(key))) {
        free(new);
        free(what);
        return 1;
    }
    new->what = what;
    pthread_mutex_lock(&lock);
    new->next = all_known;
    all_known = new;
    pthread_mutex_unlock(&lock);
    return 0;
}

static inline XLA_FFI_Error *failed(const XLA_FFI_CallFrame *frame, XLA_FFI_Error_Code code, const char *message)
{
    XLA_FFI_Error_Create_Args error = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, message, code};
    return frame->api->XLA_FFI_Error_Create(&error);
}

/* Whether XLA only asks which interface a function is made for; then that is answered. */
static inline int is_question(const XLA_FFI_CallFrame *frame)
{
    if (!frame->extension_start || frame->extension_start->type != XLA_FFI_Extension_Metadata)
        return 0;
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)frame->extension_start)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    return 1;
}

/* What a call is to run; NULL if that has not been made known in this process. */
static inline void *asked_for(const XLA_FFI_CallFrame *frame)
{
    for (int64_t i = 0; i < frame->attrs.size; i++)
        if (frame->attrs.names[i]->len == 3 && !memcmp(frame->attrs.names[i]->ptr, "key", 3)) {
            const XLA_FFI_ByteSpan *key = frame->attrs.attrs[i];
            return known_as(key->ptr, key->len);
        }
    return NULL;
}

static inline XLA_FFI_Error *unknown(const XLA_FFI_CallFrame *frame)
{
    return failed(frame, XLA_FFI_Error_Code_FAILED_PRECONDITION,
                  "optgen: this program was compiled by another process, and the optimizer in it has not been made "
                  "in this one: trace the step once, or export it with OPTGEN_BACKEND=arrays");
}

#endif

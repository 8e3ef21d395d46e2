/*
 * The driver as a function that XLA calls, compiled against the headers that jax brings along.
 *
 * A call names what it runs by a key, under which Python has registered the table and the kernels: an address would
 * be worthless in another process that finds the compiled program in a cache.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

typedef int64_t run_function(const int64_t *, void *const *, const double *, int64_t, void *const *, int64_t, void *);

struct entry {
    struct entry *next;
    char *key;
    const int64_t *table;
    void *const *functions;
    run_function *run;
    int64_t threads;
};

static struct entry *entries;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct entry *entry_of(const char *key, size_t length)
{
    pthread_mutex_lock(&lock);
    struct entry *found = entries;
    while (found && (strlen(found->key) != length || memcmp(found->key, key, length)))
        found = found->next;
    pthread_mutex_unlock(&lock);
    return found;
}

/* The table and the functions stay the caller's, and have to stay. Returns 0, or 1 if there is no memory. */
int64_t optgen_register(const char *key, const int64_t *table, void *const *functions, run_function *run,
                        int64_t threads)
{
    struct entry *entry = entry_of(key, strlen(key));
    if (entry)
        return 0;
    entry = malloc(sizeof *entry);
    if (!entry || !(entry->key = strdup(key)))
        return 1;
    entry->table = table;
    entry->functions = functions;
    entry->run = run;
    entry->threads = threads;
    pthread_mutex_lock(&lock);
    entry->next = entries;
    entries = entry;
    pthread_mutex_unlock(&lock);
    return 0;
}

static XLA_FFI_Error *failed(const XLA_FFI_CallFrame *frame, XLA_FFI_Error_Code code, const char *message)
{
    XLA_FFI_Error_Create_Args error = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, message, code};
    return frame->api->XLA_FFI_Error_Create(&error);
}

/*
 * Arguments: numbers of the step as doubles, its number, then arrays. The table counts these by even numbers and results
 * by odd ones.
 */
XLA_FFI_Error *optgen_xla(XLA_FFI_CallFrame *frame)
{
    if (frame->extension_start && frame->extension_start->type == XLA_FFI_Extension_Metadata) {
        XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)frame->extension_start)->metadata;
        metadata->api_version.major_version = XLA_FFI_API_MAJOR;
        metadata->api_version.minor_version = XLA_FFI_API_MINOR;
        return NULL;
    }
    const XLA_FFI_ByteSpan *key = NULL;
    for (int64_t i = 0; i < frame->attrs.size; i++)
        if (frame->attrs.names[i]->len == 3 && !memcmp(frame->attrs.names[i]->ptr, "key", 3))
            key = frame->attrs.attrs[i];
    const struct entry *entry = key ? entry_of(key->ptr, key->len) : NULL;
    if (!entry)
        return failed(frame, XLA_FFI_Error_Code_FAILED_PRECONDITION,
                      "optgen: this program was compiled by another process, and the optimizer in it has not been made "
                      "in this one: trace the step once, or export it with OPTGEN_BACKEND=arrays");

    const int64_t given = frame->args.size - 2, made = frame->rets.size;
    void **buffers = malloc(sizeof(void *) * (size_t)(2 * (given > made ? given : made) + 1));
    if (!buffers)
        return failed(frame, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "optgen: there is no memory for a step");
    for (int64_t i = 0; i < given; i++)
        buffers[2 * i] = ((XLA_FFI_Buffer *)frame->args.args[i + 2])->data;
    for (int64_t i = 0; i < made; i++)
        buffers[2 * i + 1] = ((XLA_FFI_Buffer *)frame->rets.rets[i])->data;
    const double *values = ((XLA_FFI_Buffer *)frame->args.args[0])->data;
    const int32_t *t = ((XLA_FFI_Buffer *)frame->args.args[1])->data;
    const int64_t status = entry->run(entry->table, entry->functions, values, *t, buffers, entry->threads, NULL);
    free(buffers);
    return status ? failed(frame, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "optgen: there is no memory for a step") : NULL;
}

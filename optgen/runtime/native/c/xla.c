/* The driver as a function that XLA calls, compiled against the headers that jax brings along. */

#define _GNU_SOURCE
#include "xla.h"

typedef int64_t run_function(const int64_t *, void *const *, const double *, int64_t, void *const *, int64_t, void *);

struct entry {
    const int64_t *table;
    void *const *functions;
    run_function *run;
    int64_t threads;
};

/* The table and the functions stay the caller's, and have to stay. Returns 0, or 1 if there is no memory. */
int64_t optgen_register(const char *key, const int64_t *table, void *const *functions, run_function *run,
                        int64_t threads)
{
    struct entry *entry = malloc(sizeof *entry);
    if (entry)
        *entry = (struct entry){table, functions, run, threads};
    return make_known(key, entry);
}

/*
 * Arguments: numbers of the step as doubles, its number, then arrays. The table counts these by even numbers and results
 * by odd ones.
 */
XLA_FFI_Error *optgen_xla(XLA_FFI_CallFrame *frame)
{
    if (is_question(frame))
        return NULL;
    const struct entry *entry = asked_for(frame);
    if (!entry)
        return unknown(frame);

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

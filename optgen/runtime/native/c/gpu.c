/*
 * Kernels of a GPU as a function that XLA calls, compiled against the headers that jax brings along.
 *
 * The kernels read the addresses of arrays from a table. XLA places arrays anew for every call, so the table is filled
 * in here, sent, and the kernels are started; nothing waits for the device. CUDA's driver is loaded when it is first
 * needed, so that this compiles where there is none.
 */

#define _GNU_SOURCE
#include "xla.h"

#include <dlfcn.h>
#include <stdio.h>

/* What is used of the driver's interface, which is stable; all functions return 0 if nothing is wrong. */
typedef int CUresult;
typedef void *CUcontext, *CUmodule, *CUfunction, *CUstream;
typedef unsigned long long CUdeviceptr;

enum { MAX_DYNAMIC_SHARED_SIZE_BYTES = 8, STATIC_LIMIT = 48 * 1024 };

static struct {
    CUresult (*cuStreamGetCtx)(CUstream, CUcontext *);
    CUresult (*cuCtxPushCurrent_v2)(CUcontext);
    CUresult (*cuCtxPopCurrent_v2)(CUcontext *);
    CUresult (*cuModuleLoadData)(CUmodule *, const void *);
    CUresult (*cuModuleGetFunction)(CUfunction *, CUmodule, const char *);
    CUresult (*cuFuncSetAttribute)(CUfunction, int, int);
    CUresult (*cuMemcpyHtoDAsync_v2)(CUdeviceptr, const void *, size_t, CUstream);
    CUresult (*cuLaunchKernel)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                               CUstream, void **, void **);
    CUresult (*cuGetErrorString)(CUresult, const char **);
} cuda;

/* Kernels as one context has them. */
struct loaded {
    struct loaded *next;
    CUcontext context;
    CUfunction functions[];
};

/*
 * What a call does: numbers that follow each other.
 *
 *   words of the table, result that it is written to and byte in that, words that are addresses, kernels, launches
 *   the table: where an address is wanted, a place
 *   which words these are
 *   for each launch: kernel, programs, threads, bytes of shared memory, arguments, and their places
 *
 * A place is (buffer + 1) << 40 | byte, arguments counted by even numbers and results by odd ones; 0 is no address.
 */
struct entry {
    const int64_t *told;
    const void *const *images;
    const char *const *names;
    struct loaded *loaded;
    pthread_mutex_t lock;
};

enum { WORDS, RESULT, BYTE, ADDRESSES, KERNELS, LAUNCHES, HEAD };

/* Have a library be CUDA's driver. Returns 0, or 1 if it is none. */
int64_t optgen_gpu_open(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return 1;
#define FIND(name)                                                                                                     \
    if (!(*(void **)&cuda.name = dlsym(library, #name)))                                                               \
        return 1;
    FIND(cuStreamGetCtx)
    FIND(cuCtxPushCurrent_v2)
    FIND(cuCtxPopCurrent_v2)
    FIND(cuModuleLoadData)
    FIND(cuModuleGetFunction)
    FIND(cuFuncSetAttribute)
    FIND(cuMemcpyHtoDAsync_v2)
    FIND(cuLaunchKernel)
    FIND(cuGetErrorString)
#undef FIND
    return 0;
}

/* All arguments stay the caller's, and have to stay. Returns 0, or 1 if there is no memory. */
int64_t optgen_gpu_register(const char *key, const int64_t *told, const void *const *images, const char *const *names)
{
    struct entry *entry = malloc(sizeof *entry);
    if (entry)
        *entry = (struct entry){told, images, names, NULL, PTHREAD_MUTEX_INITIALIZER};
    return make_known(key, entry);
}

/* The kernels in the context that is current, loaded when they are first asked for. */
static CUresult load(struct entry *entry, CUcontext context, const struct loaded **result)
{
    CUresult status = 0;
    pthread_mutex_lock(&entry->lock);
    struct loaded *found = entry->loaded;
    while (found && found->context != context)
        found = found->next;
    if (!found) {
        const int64_t count = entry->told[KERNELS];
        found = malloc(sizeof *found + sizeof(CUfunction) * (size_t)count);
        if (!found)
            status = 2; /* CUDA_ERROR_OUT_OF_MEMORY */
        for (int64_t i = 0; !status && i < count; i++) {
            CUmodule module;
            status = cuda.cuModuleLoadData(&module, entry->images[i]);
            if (!status)
                status = cuda.cuModuleGetFunction(&found->functions[i], module, entry->names[i]);
        }
        if (status) {
            free(found);
            found = NULL;
        } else {
            found->context = context;
            found->next = entry->loaded;
            entry->loaded = found;
        }
    }
    pthread_mutex_unlock(&entry->lock);
    *result = found;
    return status;
}

static uint64_t address(const XLA_FFI_CallFrame *frame, int64_t place)
{
    if (!place)
        return 0;
    const int64_t buffer = (place >> 40) - 1, byte = place & ((INT64_C(1) << 40) - 1);
    const XLA_FFI_Buffer *array = buffer % 2 ? frame->rets.rets[buffer / 2] : frame->args.args[buffer / 2];
    return (uint64_t)(uintptr_t)array->data + (uint64_t)byte;
}

static CUresult start(const XLA_FFI_CallFrame *frame, const int64_t *launch, const struct loaded *loaded,
                      CUstream stream)
{
    const CUfunction function = loaded->functions[launch[0]];
    const int64_t shared = launch[3], count = launch[4];
    CUresult status = shared > STATIC_LIMIT
                          ? cuda.cuFuncSetAttribute(function, MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)shared)
                          : 0;
    /* Kernels of Triton have two addresses more, of memory that these have no use for. */
    uint64_t values[8] = {0};
    void *arguments[8];
    for (int64_t i = 0; i < count + 2; i++) {
        values[i] = i < count ? address(frame, launch[5 + i]) : 0;
        arguments[i] = &values[i];
    }
    if (!status)
        status = cuda.cuLaunchKernel(function, (unsigned)launch[1], 1, 1, (unsigned)launch[2], 1, 1, (unsigned)shared,
                                     stream, arguments, NULL);
    return status;
}

/* Send the table and start the kernels. `misplaced` is set if memory does not begin where wide accesses can. */
static CUresult run(const XLA_FFI_CallFrame *frame, struct entry *entry, CUstream stream, int64_t *table, int *misplaced)
{
    const int64_t *told = entry->told, words = told[WORDS];
    const int64_t *rows = told + HEAD, *places = rows + words, *launch = places + told[ADDRESSES];
    memcpy(table, rows, sizeof *table * (size_t)words);
    for (int64_t i = 0; i < told[ADDRESSES]; i++) {
        const int64_t place = rows[places[i]];
        table[places[i]] = (int64_t)address(frame, place);
        *misplaced |= place % 16 == 0 && table[places[i]] % 16;
    }
    const int64_t *next = launch;
    for (int64_t i = 0; i < told[LAUNCHES]; i++, next += 5 + next[4])
        for (int64_t j = 0; j < next[4]; j++)
            *misplaced |= address(frame, next[5 + j]) % 16 != 0;
    if (*misplaced)
        return 0;
    const struct loaded *loaded;
    CUcontext context;
    CUresult status = cuda.cuStreamGetCtx(stream, &context);
    if (status || (status = cuda.cuCtxPushCurrent_v2(context)))
        return status;
    status = load(entry, context, &loaded);
    if (!status && words)
        /* From memory that may be paged out: it has been read when this returns. */
        status = cuda.cuMemcpyHtoDAsync_v2(
            (CUdeviceptr)(uintptr_t)((XLA_FFI_Buffer *)frame->rets.rets[told[RESULT]])->data + (CUdeviceptr)told[BYTE],
            table, sizeof *table * (size_t)words, stream);
    for (int64_t i = 0; !status && i < told[LAUNCHES]; i++, launch += 5 + launch[4])
        status = start(frame, launch, loaded, stream);
    cuda.cuCtxPopCurrent_v2(&context);
    return status;
}

XLA_FFI_Error *optgen_gpu(XLA_FFI_CallFrame *frame)
{
    if (is_question(frame))
        return NULL;
    struct entry *entry = asked_for(frame);
    if (!entry)
        return unknown(frame);
    if (!cuda.cuLaunchKernel)
        return failed(frame, XLA_FFI_Error_Code_FAILED_PRECONDITION, "optgen: CUDA's driver has not been loaded");
    XLA_FFI_Stream_Get_Args stream = {XLA_FFI_Stream_Get_Args_STRUCT_SIZE, NULL, frame->ctx, NULL};
#ifndef OPTGEN_WITHOUT_STREAM /* tests run this where there is no GPU */
    XLA_FFI_Error *error = frame->api->XLA_FFI_Stream_Get(&stream);
    if (error) {
        XLA_FFI_Error_Destroy_Args destroy = {XLA_FFI_Error_Destroy_Args_STRUCT_SIZE, NULL, error};
        frame->api->XLA_FFI_Error_Destroy(&destroy);
        return failed(frame, XLA_FFI_Error_Code_FAILED_PRECONDITION,
                      "optgen: this step was traced for a GPU and is run on another device: trace it within "
                      "jax.default_device, or with OPTGEN_BACKEND=arrays");
    }
#endif
    int64_t *table = malloc(sizeof *table * (size_t)(entry->told[WORDS] + 1));
    if (!table)
        return failed(frame, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "optgen: there is no memory for a step");
    int misplaced = 0;
    const CUresult status = run(frame, entry, stream.stream, table, &misplaced);
    free(table);
    if (misplaced)
        return failed(frame, XLA_FFI_Error_Code_INVALID_ARGUMENT,
                      "optgen: an array does not begin at a multiple of 16 bytes");
    if (!status)
        return NULL;
    const char *reason = NULL;
    cuda.cuGetErrorString(status, &reason);
    char message[256];
    snprintf(message, sizeof message, "optgen: CUDA's driver says %d: %s", status, reason ? reason : "?");
    return failed(frame, XLA_FFI_Error_Code_INTERNAL, message);
}

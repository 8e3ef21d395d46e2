/*
 * One step as it runs: its table, the memory it has been given, and where an operand stands in that.
 */

#ifndef OPTGEN_RUN_H
#define OPTGEN_RUN_H

#include "sizes.h"
#include "storage.h"
#include "table.h"

#define MOST_AXES 64
/* Rows that are reduced in the kernel's own precision before they are added to what is kept as doubles. */
#define ROWS_AT_ONCE 64
#define LANES 16
/* Numbers that are converted and computed with in turn: so few that the processor reads ahead while it computes. */
#define CONVERTED_AT_ONCE 256

typedef void kernel(int64_t, void *const *, const void *, void *, double *, int64_t, int64_t, int64_t);
typedef void step_function(double *);

/* One that several threads change, and that lies in a cache line of its own. */
struct counter {
    _Alignas(64) int64_t value;
};

struct run {
    const int64_t *table;
    const struct header *header;
    void *const *functions;
    void *const *buffers;
    char *workspace;
    int64_t t;
    uint32_t seed;                      /* of random bits */
    int64_t regions, arrived;           /* how many parts each phase has, and how many threads have come */
    struct counter *next;               /* of each phase and region: chunks that have been taken */
    struct counter *done;               /* of each phase: chunks that are done */
};

/* What one thread keeps beside the arrays: a stretch of each of those that are stored in another way. */
struct scratch {
    double values[OPTGEN_MOST_ARGUMENTS][OPTGEN_STRETCH];
    double single[OPTGEN_MOST_ARGUMENTS][MOST_AXES];
    void *axes[OPTGEN_MOST_ARGUMENTS][MOST_AXES];
    double results[OPTGEN_MOST_ARGUMENTS][OPTGEN_WIDEST];
    double rows[OPTGEN_MOST_ARGUMENTS][OPTGEN_WIDEST];
    /* Number of the first of a block of numbers whose arrays in 8 bits stand in `values`; -1: none do. */
    int64_t block;
};

static const struct operand *operand_of(const struct run *run, int64_t index)
{
    return (const struct operand *)(run->table + run->header->operands) + index;
}

static char *address_of(const struct run *run, const struct operand *o)
{
    char *start = (o->buffer < 0 ? run->workspace : (char *)run->buffers[o->buffer]) + o->at;
    if (o->depth > 1) {
        int64_t place = (run->t - 1 - o->lag) % o->depth;
        start += (place < 0 ? place + o->depth : place) * o->slot;
    }
    return start;
}

static const int64_t *layout_of(const struct run *run, const struct operand *o)
{
    return o->layout < 0 ? NULL : run->table + run->header->layouts + o->layout;
}

static int64_t number_of(int64_t bits) { return bits == 32 ? FLOAT32 : FLOAT64; }

/* Whether a kernel that takes numbers of a type can work where the array is. */
static int is_direct(const struct operand *o, const char *start, int64_t type)
{
    const int needs_alignment = type != BFLOAT16 && type != FLOAT16;
    return o->layout < 0 && o->type == type && !(needs_alignment && (uintptr_t)start % size_of(type));
}

#endif

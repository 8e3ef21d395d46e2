/*
 * From arrays, however they lie in memory, to floats or doubles that stand side by side; and back.
 */

#ifndef OPTGEN_STORAGE_H
#define OPTGEN_STORAGE_H

#include <stdint.h>
#include <string.h>

#include "formats.h"
#include "table.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* In place of the bytes from one number to the next: as many as a number has. */
#define NO_GAP INT64_MIN

/* Copied byte for byte, since arrays of the caller need not be aligned. */
#define EACH(to, from, expression)                                                  \
    for (int64_t i = 0; i < count; i++) {                                           \
        from x;                                                                     \
        memcpy(&x, start + i * (from_gap == NO_GAP ? (int64_t)sizeof x : from_gap), sizeof x); \
        const to y = (to)(expression);                                              \
        memcpy(result + i * (to_gap == NO_GAP ? (int64_t)sizeof y : to_gap), &y, sizeof y); \
    }                                                                               \
    break

ALWAYS_INLINE void load_each(const char *restrict start, int64_t type, int64_t count, int64_t bits,
                             char *restrict result, const int64_t from_gap)
{
    const int64_t to_gap = NO_GAP;
    switch (type * 2 + (bits == 64)) {
    case FLOAT32 * 2: EACH(float, float, x);
    case FLOAT32 * 2 + 1: EACH(double, float, x);
    case FLOAT64 * 2: EACH(float, double, x);
    case FLOAT64 * 2 + 1: EACH(double, double, x);
    case BFLOAT16 * 2: EACH(float, uint16_t, from_bfloat16(x));
    case BFLOAT16 * 2 + 1: EACH(double, uint16_t, from_bfloat16(x));
    case FLOAT16 * 2: EACH(float, uint16_t, from_float16(x));
    case FLOAT16 * 2 + 1: EACH(double, uint16_t, from_float16(x));
    case INT32 * 2: EACH(float, int32_t, x);
    case INT32 * 2 + 1: EACH(double, int32_t, x);
    case INT64 * 2: EACH(float, int64_t, x);
    default: EACH(double, int64_t, x);
    }
}

ALWAYS_INLINE void store_each(char *restrict result, int64_t type, int64_t count, int64_t bits,
                              const char *restrict start, const int64_t to_gap)
{
    const int64_t from_gap = NO_GAP;
    switch (type * 2 + (bits == 64)) {
    case FLOAT32 * 2: EACH(float, float, x);
    case FLOAT32 * 2 + 1: EACH(float, double, x);
    case FLOAT64 * 2: EACH(double, float, x);
    case FLOAT64 * 2 + 1: EACH(double, double, x);
    case BFLOAT16 * 2: EACH(uint16_t, float, to_bfloat16(x));
    case BFLOAT16 * 2 + 1: EACH(uint16_t, double, to_bfloat16((float)x));
    case FLOAT16 * 2: EACH(uint16_t, float, to_float16(x));
    case FLOAT16 * 2 + 1: EACH(uint16_t, double, to_float16((float)x));
    case INT32 * 2: EACH(int32_t, float, x);
    case INT32 * 2 + 1: EACH(int32_t, double, x);
    case INT64 * 2: EACH(int64_t, float, x);
    default: EACH(int64_t, double, x);
    }
}

#undef EACH

static void load_side_by_side(const char *start, int64_t type, int64_t count, int64_t bits, char *result)
{
    load_each(start, type, count, bits, result, NO_GAP);
}

static void load_apart(const char *start, int64_t type, int64_t count, int64_t bits, char *result, int64_t gap)
{
    load_each(start, type, count, bits, result, gap);
}

static void store_side_by_side(char *result, int64_t type, int64_t count, int64_t bits, const char *start)
{
    store_each(result, type, count, bits, start, NO_GAP);
}

static void store_apart(char *result, int64_t type, int64_t count, int64_t bits, const char *start, int64_t gap)
{
    store_each(result, type, count, bits, start, gap);
}

static inline int64_t size_of(int64_t type)
{
    switch (type) {
    case EIGHT_BIT:
    case EIGHT_BIT_STOCHASTIC: return 1;
    case BFLOAT16:
    case FLOAT16:
    case BFLOAT16_STOCHASTIC: return 2;
    case FLOAT32:
    case INT32: return 4;
    default: return 8;
    }
}

/* Goes through an array with gaps: where number `first` stands, and how many follow it along the last axis. */
static char *found(char *start, const int64_t *layout, int64_t first, int64_t *left)
{
    const int64_t rank = layout[0], *lengths = layout + 1, *strides = lengths + rank;
    *left = lengths[rank - 1] - first % lengths[rank - 1];
    for (int64_t axis = rank - 1; axis >= 0; axis--) {
        start += first % lengths[axis] * strides[axis];
        first /= lengths[axis];
    }
    return start;
}

/* `count` numbers of an array from number `first` on, as floats or doubles. */
static void load(const void *start, int64_t type, const int64_t *layout, int64_t first, int64_t count, int64_t bits,
                 void *result)
{
    char *out = result;
    if (!layout) {
        load_side_by_side((const char *)start + first * size_of(type), type, count, bits, result);
        return;
    }
    const int64_t gap = layout[2 * layout[0]];
    for (int64_t n, left; count > 0; first += n, count -= n, out += n * bits / 8) {
        const char *from = found((char *)start, layout, first, &left);
        n = left < count ? left : count;
        if (gap == size_of(type))
            load_side_by_side(from, type, n, bits, out);
        else
            load_apart(from, type, n, bits, out, gap);
    }
}

/* The way back. */
static void store(void *start, int64_t type, const int64_t *layout, int64_t first, int64_t count, int64_t bits,
                  const void *values)
{
    const char *in = values;
    if (!layout) {
        store_side_by_side((char *)start + first * size_of(type), type, count, bits, values);
        return;
    }
    const int64_t gap = layout[2 * layout[0]];
    for (int64_t n, left; count > 0; first += n, count -= n, in += n * bits / 8) {
        char *to = found(start, layout, first, &left);
        n = left < count ? left : count;
        if (gap == size_of(type))
            store_side_by_side(to, type, n, bits, in);
        else
            store_apart(to, type, n, bits, in, gap);
    }
}

#endif

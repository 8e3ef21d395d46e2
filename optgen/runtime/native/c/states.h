/*
 * States that are stored in a format of their own, see formats.h: decoded to be computed with, and encoded again.
 */

#ifndef OPTGEN_STATES_H
#define OPTGEN_STATES_H

#include "run.h"

static int is_eight_bit(const struct operand *o) { return o->type == EIGHT_BIT || o->type == EIGHT_BIT_STOCHASTIC; }

static int is_of_states(const struct operand *o) { return o->type == BFLOAT16_STOCHASTIC || is_eight_bit(o); }

static char *scale_of(const struct run *run, const struct operand *o, int64_t number)
{
    return (char *)run->buffers[o->scales] + number / FORMAT_BLOCK * (int64_t)sizeof(float);
}

/* How many of the numbers from `first` on lie in one block. */
static int64_t within_block(int64_t first, int64_t count)
{
    const int64_t left = FORMAT_BLOCK - first % FORMAT_BLOCK;
    return left < count ? left : count;
}

static void load_state(const struct run *run, const struct operand *o, int64_t first, int64_t count, int64_t bits,
                       void *result)
{
    const char *start = address_of(run, o);
    char *out = result;
    float values[FORMAT_BLOCK];
    for (int64_t n; count > 0; first += n, count -= n, out += n * bits / 8) {
        n = within_block(first, count);
        if (is_eight_bit(o)) {
            float scale;
            memcpy(&scale, scale_of(run, o, first), sizeof scale);
            load_block((const uint8_t *)start + first, scale, n, values);
        } else {
            load_side_by_side(start + first * 2, BFLOAT16, n, 32, (char *)values);
        }
        load_side_by_side((const char *)values, FLOAT32, n, bits, out);
    }
}

/* In 8 bits whole blocks have to be stored, but for the last. */
static void store_state(const struct run *run, const struct operand *o, int64_t first, int64_t count, int64_t bits,
                        const void *from)
{
    char *start = address_of(run, o);
    const char *in = from;
    const uint32_t key = key_of(run->seed, o->stream);
    float values[FORMAT_BLOCK];
    for (int64_t n; count > 0; first += n, count -= n, in += n * bits / 8) {
        n = within_block(first, count);
        store_side_by_side((char *)values, FLOAT32, n, bits, in);
        if (is_eight_bit(o)) {
            const float scale = store_block((uint8_t *)start + first, values, first, n,
                                            o->type == EIGHT_BIT_STOCHASTIC ? &key : NULL);
            memcpy(scale_of(run, o, first), &scale, sizeof scale);
        } else {
            uint16_t stored[FORMAT_BLOCK];
            store_stochastic(stored, values, first, n, key);
            memcpy(start + first * 2, stored, (size_t)n * sizeof *stored);
        }
    }
}

/* Where `count` numbers of an array from `first` on can be read, in the kernel's type: in place, or copied. */
static void *readable(const struct run *run, const struct operand *o, int64_t type, int64_t bits, int64_t first,
                     int64_t count, int reads, void *beside)
{
    char *start = address_of(run, o);
    if (is_direct(o, start, type))
        return start + first * size_of(type);
    if (reads && is_of_states(o))
        load_state(run, o, first, count, bits, beside);
    else if (reads)
        load(start, o->type, layout_of(run, o), first, count, bits, beside);
    return beside;
}

#endif

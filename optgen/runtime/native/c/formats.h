/*
 * Formats in which numbers are stored, and the way from and to floats.
 *
 * The first ones round to the nearest, ties to even, and keep infinities, NaN and signed zeros. Those of states alone are
 * described in optgen/runtime/formats/codes.py, and give the same bits. All are without branches, so that compilers make vector
 * instructions of loops.
 */

#ifndef OPTGEN_FORMATS_H
#define OPTGEN_FORMATS_H

#include <stdint.h>
#include <string.h>

typedef float float32_format;
/* Arrays of the caller need not be aligned. */
typedef uint16_t bfloat16_format __attribute__((aligned(1), may_alias));
typedef uint16_t float16_format __attribute__((aligned(1), may_alias));

static inline float from_float32(float x) { return x; }

static inline float to_float32(float x) { return x; }

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float from_bfloat16(uint16_t x) { return float_of((uint32_t)x << 16); }

static inline uint16_t to_bfloat16(float x)
{
    const uint32_t bits = bits_of(x);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const uint32_t quiet = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

static inline float from_float16(uint16_t x)
{
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16;
    const uint32_t finite = bits_of(float_of((uint32_t)(x & 0x7fff) << 13) * 0x1p112f);
    const uint32_t special = (uint32_t)(x & 0x3ff) << 13 | 0x7f800000;
    return float_of(sign | ((x & 0x7c00) == 0x7c00 ? special : finite));
}

static inline uint16_t to_float16(float x)
{
    const uint32_t bits = bits_of(x), size = bits & 0x7fffffff;
    /* Adding 0.5 leaves the last place of a subnormal half at the end of the sum, rounded. */
    const uint32_t subnormal = bits_of(float_of(size) + 0.5f) - 0x3f000000;
    const uint32_t normal = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    const uint32_t finite = size < 0x38800000 ? subnormal : normal;
    const uint32_t special = size > 0x7f800000 ? 0x7e00 | (size >> 13 & 0x3ff) : 0x7c00;
    return (uint16_t)(bits >> 16 & 0x8000) | (uint16_t)(size >= 0x477ff000 ? special : finite);
}

/* ---- Of states alone ---- */

/* Numbers that share a scale. */
#define FORMAT_BLOCK 256

/* A bijection that leaves no pattern (lowbias32 of Wellons' hash-prospector). */
static inline uint32_t scrambled(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352d;
    x ^= x >> 15;
    x *= 0x846ca68b;
    return x ^ x >> 16;
}

/* What random bits owe to the number of a step. */
static inline uint32_t seed_of(int64_t t) { return scrambled((uint32_t)t) & 0xffffff; }

/* The key of the random bits of one array in one step; `stream` counts the arrays of a model, from 1 on. */
static inline uint32_t key_of(uint32_t seed, int64_t stream) { return scrambled(seed ^ scrambled((uint32_t)stream)); }

/* To one of the two neighbours; `random` has 16 bits that count. */
static inline uint16_t to_bfloat16_stochastic(float x, uint32_t random)
{
    const uint32_t bits = bits_of(x), size = bits & 0x7fffffff;
    const uint32_t up = bits + (random & 0xffff), quiet = size > 0x7f800000 ? bits | 0x400000 : bits;
    return (uint16_t)((size < 0x7f800000 ? up : quiet) >> 16);
}

static inline void store_stochastic(uint16_t *restrict to, const float *restrict from, int64_t first, int64_t count,
                                    uint32_t key)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = to_bfloat16_stochastic(from[i], scrambled((uint32_t)(first + i) ^ key));
}

/* Numbers of one block: what shares have in common, for blocks with negative numbers and without. */
static inline uint32_t share_bias(int is_signed) { return is_signed ? 112u << 23 : 96u << 23; }

static inline void load_block(const uint8_t *restrict codes, float scale, int64_t count, float *restrict to)
{
    const int is_signed = bits_of(scale) >> 31;
    const uint32_t sizes = is_signed ? 0x7f : 0xff, bias = share_bias(is_signed);
    const float size = float_of(bits_of(scale) & 0x7fffffff);
    for (int64_t i = 0; i < count; i++) {
        const uint32_t code = codes[i], share = code & sizes;
        const float value = (share ? float_of((share << 20) + bias) : 0.0f) * size;
        to[i] = float_of(bits_of(value) ^ (code & ~sizes) << 24);
    }
}

/* Asked of the bits, like all that counts of numbers that are no normal ones: XLA takes these for zeros. */
static inline uint32_t is_below_zero(float x) { return bits_of(x) - 0x80000001u < 0x7f800000u; }

/*
 * The scale is the result. Without a key numbers are rounded to the nearest. In a block without negative numbers nothing
 * above zero becomes zero, and the scale is such that none of its shares is below the smallest normal number.
 */
static inline float store_block(uint8_t *restrict codes, const float *restrict from, int64_t first, int64_t count,
                                const uint32_t *key)
{
    uint32_t largest = 0, negative = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t size = bits_of(from[i]) & 0x7fffffff;
        largest = largest > size ? largest : size;
        negative |= is_below_zero(from[i]);
    }
    const uint32_t least_scale = (127u - 95u) << 23;
    largest = !negative && largest && largest < least_scale ? least_scale : largest;
    const uint32_t bias = share_bias((int)negative), top = (negative ? 15u : 31u) << 3;
    const float divisor = largest ? float_of(largest) : 1.0f;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t random = key ? scrambled((uint32_t)(first + i) ^ *key) & 0xfffff : 0x80000;
        const uint32_t size_bits = bits_of(from[i]) & 0x7fffffff, sign = is_below_zero(from[i]) << 7;
        const float share = float_of(size_bits) / divisor;
        const int32_t above = (int32_t)(bits_of(share) - bias);
        /* The product is exact. A share may underflow where the number does not. */
        const uint32_t more = share > 0x1.2p-15f * ((float)random * 0x1p-20f);
        const uint32_t small = negative ? more : size_bits != 0;
        const uint32_t size = above < 0x100000 ? small : ((uint32_t)above + random) >> 20;
        codes[i] = (uint8_t)((size > top ? top : size) | sign);
    }
    return float_of(largest | negative << 31);
}

#endif

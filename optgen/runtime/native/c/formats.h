/*
 * Formats in which numbers are stored, and the way from and to floats.
 *
 * All round to the nearest, ties to even, and keep infinities, NaN and signed zeros. They are without branches, so that
 * compilers make vector instructions of loops.
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

#endif

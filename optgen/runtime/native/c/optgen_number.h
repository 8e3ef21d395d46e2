/*
 * What generated kernels are written in: `number` is float where OPTGEN_BITS is 32 and double where it is 64; `stored`
 * is what parameters, gradients and inputs are stored as, and `kept` what states are. These are numbers as well, unless
 * OPTGEN_STORED and OPTGEN_KEPT name other formats, see formats.h.
 *
 * A generated file includes this once before its kernels and once after them, which takes the names away again. No
 * option that changes NaN, infinities or signed zeros is given to the compiler, nor may it contract `a*b + c` into one
 * rounding, so that the results are the same on every processor.
 */

#ifndef number

#include <stdint.h>

#include "formats.h"
#include "sizes.h"

/* Turns of a loop do not depend on each other: what is written may be what is read only at the same place. */
#if defined(__clang__)
#define OPTGEN_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define OPTGEN_LOOP _Pragma("GCC ivdep")
#else
#define OPTGEN_LOOP
#endif

#if OPTGEN_BITS == 32
#define number float
#define OPTGEN_TYPED(name) name##_32
#define OPTGEN_OF_NUMBER(name) __builtin_##name##f
#else
#define number double
#define OPTGEN_TYPED(name) name##_64
#define OPTGEN_OF_NUMBER(name) __builtin_##name
#endif

#ifdef OPTGEN_STORED
#define OPTGEN_JOINED(a, b) a##b
#define OPTGEN_NAMED(a, b) OPTGEN_JOINED(a, b)
#define stored OPTGEN_NAMED(OPTGEN_STORED, _format)
#define kept OPTGEN_NAMED(OPTGEN_KEPT, _format)
#define _from_stored OPTGEN_NAMED(from_, OPTGEN_STORED)
#define _from_kept OPTGEN_NAMED(from_, OPTGEN_KEPT)
#define _to_stored OPTGEN_NAMED(to_, OPTGEN_STORED)
#define _to_kept OPTGEN_NAMED(to_, OPTGEN_KEPT)
#else
#define stored number
#define kept number
#define _from_stored(x) (x)
#define _from_kept(x) (x)
#define _to_stored(x) (x)
#define _to_kept(x) (x)
#endif

/*
 * A kernel.
 *
 *   _n          how many numbers it goes through
 *   _array      where each of its arrays stands; of vectors per axis, an array of such places
 *   _scalar     numbers of the step
 *   _tensor     numbers of the tensor
 *   _model      numbers of the model
 *   _rank       how many axes the tensor has
 *   _is_update  whether the result is what is to be added to the parameter, not the new parameter
 *   _within     what it goes through, see sizes.h
 */
#define OPTGEN_PARAMETERS                                                                            \
    int64_t _n, void *const *_array, const number *_scalar, number *_tensor, double *_model, int64_t _rank, \
        int64_t _is_update, const int64_t _within

#define OPTGEN_KERNEL(name) void OPTGEN_TYPED(name)(OPTGEN_PARAMETERS)

/* One that reads numbers of rows, columns or matrices, compiled for each way. */
#define OPTGEN_KERNEL_OF_LINES(name)                                                                  \
    static inline __attribute__((always_inline)) void OPTGEN_TYPED(name##_body)(OPTGEN_PARAMETERS); \
    OPTGEN_KERNEL(name)                                                                              \
    {                                                                                                \
        if (_within == OPTGEN_ROW)                                                                   \
            OPTGEN_TYPED(name##_body)(_n, _array, _scalar, _tensor, _model, _rank, _is_update, OPTGEN_ROW); \
        else if (_within == OPTGEN_COLUMN)                                                           \
            OPTGEN_TYPED(name##_body)(_n, _array, _scalar, _tensor, _model, _rank, _is_update, OPTGEN_COLUMN); \
        else                                                                                         \
            OPTGEN_TYPED(name##_body)(_n, _array, _scalar, _tensor, _model, _rank, _is_update, OPTGEN_LINES); \
    }                                                                                                \
    static inline __attribute__((always_inline)) void OPTGEN_TYPED(name##_body)(OPTGEN_PARAMETERS)

#define _NAN ((number)__builtin_nan(""))
#define _INFINITY ((number)__builtin_inf())

#define _absolute OPTGEN_OF_NUMBER(fabs)
#define _root OPTGEN_OF_NUMBER(sqrt)
#define _exp OPTGEN_OF_NUMBER(exp)
#define _expm1 OPTGEN_OF_NUMBER(expm1)
#define _log OPTGEN_OF_NUMBER(log)
#define _sin OPTGEN_OF_NUMBER(sin)
#define _cos OPTGEN_OF_NUMBER(cos)
#define _tanh OPTGEN_OF_NUMBER(tanh)
#define _erf OPTGEN_OF_NUMBER(erf)
#define _atan2 OPTGEN_OF_NUMBER(atan2)
#define _floor OPTGEN_OF_NUMBER(floor)
#define _ceil OPTGEN_OF_NUMBER(ceil)
#define _power OPTGEN_OF_NUMBER(pow)

#define _maximum OPTGEN_TYPED(_maximum)
#define _minimum OPTGEN_TYPED(_minimum)
#define _sign OPTGEN_TYPED(_sign)
#define _sigmoid OPTGEN_TYPED(_sigmoid)
#define _modulo OPTGEN_TYPED(_modulo)
#define _product OPTGEN_TYPED(_product)

/* NaN if either is. Two conditions joined into one would be turned into jumps, and keep loops from becoming vectors. */
static inline number _maximum(number a, number b)
{
    const number larger = a > b ? a : b;
    return a != a ? a : larger;
}

static inline number _minimum(number a, number b)
{
    const number smaller = a < b ? a : b;
    return a != a ? a : smaller;
}

/* Zeros and NaN stay what they are. */
static inline number _sign(number x) { return x > 0 ? (number)1.0 : x < 0 ? (number)-1.0 : x; }

/* By the exponential of a negative number, since that of a large one is infinite. */
static inline number _sigmoid(number x)
{
    const number small = _exp(-_absolute(x));
    return (x < 0 ? small : (number)1.0) / ((number)1.0 + small);
}

/* With the sign of the divisor, as in Python. */
static inline number _modulo(number a, number b)
{
    const number rest = OPTGEN_OF_NUMBER(fmod)(a, b);
    return (rest != 0) & ((rest < 0) != (b < 0)) ? rest + b : rest;
}

/* An integer power. */
static inline number _product(number x, int times)
{
    number result = x;
    for (int i = 1; i < times; i++)
        result *= x;
    return result;
}

#else

#undef number
#undef stored
#undef kept
#undef _from_stored
#undef _from_kept
#undef _to_stored
#undef _to_kept
#undef OPTGEN_JOINED
#undef OPTGEN_NAMED
#undef OPTGEN_TYPED
#undef OPTGEN_OF_NUMBER
#undef OPTGEN_LOOP
#undef OPTGEN_PARAMETERS
#undef OPTGEN_KERNEL
#undef OPTGEN_KERNEL_OF_LINES
#undef _NAN
#undef _INFINITY
#undef _absolute
#undef _root
#undef _exp
#undef _expm1
#undef _log
#undef _sin
#undef _cos
#undef _tanh
#undef _erf
#undef _atan2
#undef _floor
#undef _ceil
#undef _power
#undef _maximum
#undef _minimum
#undef _sign
#undef _sigmoid
#undef _modulo
#undef _product

#endif

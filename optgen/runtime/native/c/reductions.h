/*
 * Sums, largest and smallest numbers, in an order that does not depend on the number of threads.
 */

#ifndef OPTGEN_REDUCTIONS_H
#define OPTGEN_REDUCTIONS_H

#include <math.h>

#include "run.h"

static double neutral(int64_t reduction) { return reduction == SUM ? 0.0 : reduction == MAX ? -INFINITY : INFINITY; }

static double combined(int64_t reduction, double a, double b)
{
    switch (reduction) {
    case SUM: return a + b;
    case MAX: return (a > b) | (a != a) ? a : b;
    default: return (a < b) | (a != a) ? a : b;
    }
}

#define REDUCING(number, bits)                                                                       \
    static double reduced_##bits(int64_t reduction, const number *x, int64_t n)                      \
    {                                                                                                \
        number lane[LANES];                                                                          \
        int64_t i = 0;                                                                               \
        if (n < LANES) { /* the same bits, sooner */                                                 \
            double few = neutral(reduction);                                                         \
            for (; i < n; i++)                                                                       \
                few = combined(reduction, few, x[i]);                                                \
            return few;                                                                              \
        }                                                                                            \
        for (int j = 0; j < LANES; j++)                                                              \
            lane[j] = (number)neutral(reduction);                                                    \
        if (reduction == SUM) {                                                                      \
            for (; i + LANES <= n; i += LANES)                                                       \
                for (int j = 0; j < LANES; j++)                                                      \
                    lane[j] += x[i + j];                                                             \
        } else if (reduction == MAX) {                                                               \
            for (; i + LANES <= n; i += LANES)                                                       \
                for (int j = 0; j < LANES; j++)                                                      \
                    lane[j] = (lane[j] > x[i + j]) | (lane[j] != lane[j]) ? lane[j] : x[i + j];      \
        } else {                                                                                     \
            for (; i + LANES <= n; i += LANES)                                                       \
                for (int j = 0; j < LANES; j++)                                                      \
                    lane[j] = (lane[j] < x[i + j]) | (lane[j] != lane[j]) ? lane[j] : x[i + j];      \
        }                                                                                            \
        for (int j = 0; i < n; i++, j++)                                                             \
            lane[j] = (number)combined(reduction, lane[j], x[i]);                                    \
        double all = lane[0];                                                                        \
        for (int j = 1; j < LANES; j++)                                                              \
            all = combined(reduction, all, lane[j]);                                                 \
        return all;                                                                                  \
    }                                                                                                \
                                                                                                     \
    static void add_row_##bits(int64_t reduction, number *kept, const number *x, int64_t n)          \
    {                                                                                                \
        if (reduction == SUM)                                                                        \
            for (int64_t i = 0; i < n; i++)                                                          \
                kept[i] += x[i];                                                                     \
        else if (reduction == MAX)                                                                   \
            for (int64_t i = 0; i < n; i++)                                                          \
                kept[i] = (kept[i] > x[i]) | (kept[i] != kept[i]) ? kept[i] : x[i];                  \
        else                                                                                         \
            for (int64_t i = 0; i < n; i++)                                                          \
                kept[i] = (kept[i] < x[i]) | (kept[i] != kept[i]) ? kept[i] : x[i];                  \
    }                                                                                                \
                                                                                                     \
    static void start_rows_##bits(int64_t reduction, number *kept, int64_t n)                        \
    {                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                              \
            kept[i] = (number)neutral(reduction);                                                    \
    }                                                                                                \
                                                                                                     \
    static void add_rows_##bits(int64_t reduction, double *results, const number *kept, int64_t n)   \
    {                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                              \
            results[i] = combined(reduction, results[i], kept[i]);                                   \
    }

REDUCING(float, 32)
REDUCING(double, 64)

static double reduced(int64_t bits, int64_t reduction, const void *x, int64_t n)
{
    return bits == 32 ? reduced_32(reduction, x, n) : reduced_64(reduction, x, n);
}

#endif

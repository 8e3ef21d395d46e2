/*
 * Sums, largest and smallest numbers, in an order that does not depend on the number of threads.
 */

#ifndef OPTGEN_REDUCTIONS_H
#define OPTGEN_REDUCTIONS_H

#include <math.h>

#include "run.h"

static double neutral(int64_t fold) { return fold == SUM ? 0.0 : fold == MAX ? -INFINITY : INFINITY; }

static double joined(int64_t fold, double a, double b)
{
    switch (fold) {
    case SUM: return a + b;
    case MAX: return (a > b) | (a != a) ? a : b;
    default: return (a < b) | (a != a) ? a : b;
    }
}

#define FOLDING(number, bits)                                                                        \
    static double folded_##bits(int64_t fold, const number *x, int64_t n)                           \
    {                                                                                                \
        number lane[LANES];                                                                          \
        int64_t i = 0;                                                                               \
        if (n < LANES) { /* the same bits, sooner */                                                 \
            double few = neutral(fold);                                                              \
            for (; i < n; i++)                                                                       \
                few = joined(fold, few, x[i]);                                                       \
            return few;                                                                              \
        }                                                                                            \
        for (int j = 0; j < LANES; j++)                                                              \
            lane[j] = (number)neutral(fold);                                                         \
        if (fold == SUM) {                                                                           \
            for (; i + LANES <= n; i += LANES)                                                       \
                for (int j = 0; j < LANES; j++)                                                      \
                    lane[j] += x[i + j];                                                             \
        } else if (fold == MAX) {                                                                    \
            for (; i + LANES <= n; i += LANES)                                                       \
                for (int j = 0; j < LANES; j++)                                                      \
                    lane[j] = (lane[j] > x[i + j]) | (lane[j] != lane[j]) ? lane[j] : x[i + j];      \
        } else {                                                                                     \
            for (; i + LANES <= n; i += LANES)                                                       \
                for (int j = 0; j < LANES; j++)                                                      \
                    lane[j] = (lane[j] < x[i + j]) | (lane[j] != lane[j]) ? lane[j] : x[i + j];      \
        }                                                                                            \
        for (int j = 0; i < n; i++, j++)                                                             \
            lane[j] = (number)joined(fold, lane[j], x[i]);                                           \
        double all = lane[0];                                                                        \
        for (int j = 1; j < LANES; j++)                                                              \
            all = joined(fold, all, lane[j]);                                                        \
        return all;                                                                                  \
    }                                                                                                \
                                                                                                     \
    static void add_row_##bits(int64_t fold, number *kept, const number *x, int64_t n)              \
    {                                                                                                \
        if (fold == SUM)                                                                             \
            for (int64_t i = 0; i < n; i++)                                                          \
                kept[i] += x[i];                                                                     \
        else if (fold == MAX)                                                                        \
            for (int64_t i = 0; i < n; i++)                                                          \
                kept[i] = (kept[i] > x[i]) | (kept[i] != kept[i]) ? kept[i] : x[i];                  \
        else                                                                                         \
            for (int64_t i = 0; i < n; i++)                                                          \
                kept[i] = (kept[i] < x[i]) | (kept[i] != kept[i]) ? kept[i] : x[i];                  \
    }                                                                                                \
                                                                                                     \
    static void start_rows_##bits(int64_t fold, number *kept, int64_t n)                            \
    {                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                              \
            kept[i] = (number)neutral(fold);                                                         \
    }                                                                                                \
                                                                                                     \
    static void add_rows_##bits(int64_t fold, double *results, const number *kept, int64_t n)       \
    {                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                              \
            results[i] = joined(fold, results[i], kept[i]);                                          \
    }

FOLDING(float, 32)
FOLDING(double, 64)

static double folded(int64_t bits, int64_t fold, const void *x, int64_t n)
{
    return bits == 32 ? folded_32(fold, x, n) : folded_64(fold, x, n);
}

#endif

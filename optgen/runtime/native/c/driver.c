/*
 * Runs the kernels of a model in the order of a table, see table.h.
 *
 * The work of a phase is cut into chunks that do not depend on how many threads there are: each chunk computes the same
 * numbers whoever does it, and partial results are folded in a fixed order, so that every number of threads gives the
 * same bits.
 */

#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sizes.h"
#include "storage.h"
#include "table.h"
#include "threads.h"

#define MOST_AXES 64
/* Rows that are folded in the kernel's own precision before they are added to what is kept as doubles. */
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

/* ---- Formats of states ---- */

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
static void *brought(const struct run *run, const struct operand *o, int64_t type, int64_t bits, int64_t first,
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

/* ---- Folds ---- */

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

/* ---- Kernels ---- */

#define REPEATING(number, bits)                                                                      \
    /* The number of each line, for each of its numbers. */                                         \
    static void repeated_##bits(int64_t line, int64_t first, int64_t n, const number *from, number *to) \
    {                                                                                                \
        for (int64_t m, at = first % line; n > 0; n -= m, to += m, at = 0) {                         \
            m = line - at < n ? line - at : n;                                                       \
            for (int64_t i = 0; i < m; i++)                                                          \
                to[i] = *from;                                                                       \
            from++;                                                                                  \
        }                                                                                            \
    }                                                                                                \
                                                                                                     \
    /* The numbers of a matrix's columns, for each of its rows. */                                  \
    static void tiled_##bits(int64_t line, int64_t rows, int64_t first, int64_t n, const number *from, number *to) \
    {                                                                                                \
        int64_t row = first / line % rows;                                                           \
        for (int64_t m, at = first % line; n > 0; n -= m, to += m, at = 0) {                         \
            m = line - at < n ? line - at : n;                                                       \
            memcpy(to, from + at, (size_t)m * sizeof *to);                                           \
            if (++row == rows) {                                                                     \
                row = 0;                                                                             \
                from += line;                                                                        \
            }                                                                                        \
        }                                                                                            \
    }

REPEATING(float, 32)
REPEATING(double, 64)

/* For each number of a stretch of several lines that of its line, column or matrix. */
static void *repeated(const struct run *run, const struct item *item, const struct argument *a, int64_t first, int64_t n,
                      void *beside, void *to)
{
    const int64_t line = a->place == LINE ? item->line : item->line * item->rows;
    const int64_t from = first / line, count = (first + n - 1) / line - from + 1;
    const int64_t each = a->place == COLUMN ? item->line : 1;
    const void *values =
        brought(run, operand_of(run, a->operand), a->type, item->bits, from * each, count * each, 1, beside);
    if (item->bits == 32 && a->place == COLUMN)
        tiled_32(item->line, item->rows, first, n, values, to);
    else if (item->bits == 32)
        repeated_32(line, first, n, values, to);
    else if (a->place == COLUMN)
        tiled_64(item->line, item->rows, first, n, values, to);
    else
        repeated_64(line, first, n, values, to);
    return to;
}

/* One stretch of one kernel, from number `first` on. */
static void evaluate(const struct run *run, const struct item *item, int64_t first, int64_t n, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    const struct group *group = (const struct group *)(run->table + run->header->groups) + item->group;
    void *arrays[OPTGEN_MOST_ARGUMENTS];
    int64_t firsts[OPTGEN_MOST_ARGUMENTS];
    const int64_t bits = item->bits;
    const int64_t line = item->line ? first / item->line : 0;

    for (int64_t j = 0; j < item->argument_count; j++) {
        const struct argument *a = arguments + j;
        if (a->place == PART) {
            arrays[j] = scratch->values[j];
            continue;
        }
        const struct operand *o = operand_of(run, a->operand);
        if (a->place == AXES) {
            /* The last axis moves along the stretch, on the others the place is one. */
            int64_t rest = first;
            for (int64_t axis = item->rank - 1; axis >= 0; axis--) {
                const int is_last = axis == item->rank - 1;
                const struct operand *vector = o + axis;
                void *beside = is_last ? (void *)scratch->values[j] : (void *)&scratch->single[j][axis];
                scratch->axes[j][axis] =
                    brought(run, vector, a->type, bits, rest % vector->length, is_last ? n : 1, 1, beside);
                rest /= vector->length;
            }
            arrays[j] = scratch->axes[j];
            continue;
        }
        int64_t count = 1;
        switch (a->place) {
        case SAME: firsts[j] = first; count = n; break;
        case LINE: firsts[j] = line; break;
        case COLUMN: firsts[j] = line / item->rows * item->line + first % item->line; count = n; break;
        default: firsts[j] = line / item->rows; break;
        }
        if (scratch->block >= 0 && is_eight_bit(o)) {
            arrays[j] = (char *)scratch->values[j] + (first - scratch->block) * bits / 8;
            continue;
        }
        if (a->place != SAME && item->within == OPTGEN_LINES)
            arrays[j] = repeated(run, item, a, first, n, scratch->rows[j], scratch->values[j]);
        else
            arrays[j] = brought(run, o, a->type, bits, firsts[j], count, a->access & IN, scratch->values[j]);
    }

    void *scalars = run->workspace + (bits == 32 ? group->narrow_at : group->wide_at);
    void *tensor = item->tensor_at < 0 ? NULL : run->workspace + item->tensor_at;
    double *model = (double *)(run->workspace + group->model_at);
    ((kernel *)run->functions[item->function])(n, arrays, scalars, tensor, model, item->rank, run->header->is_update,
                                               item->within);

    for (int64_t j = 0; j < item->argument_count; j++) {
        const struct argument *a = arguments + j;
        if (a->place != SAME || !(a->access & OUT))
            continue;
        const struct operand *o = operand_of(run, a->operand);
        char *start = address_of(run, o);
        if (is_of_states(o)) {
            if (!is_eight_bit(o))
                store_state(run, o, firsts[j], n, bits, arrays[j]);
        } else if (!is_direct(o, start, a->type)) {
            store(start, o->type, layout_of(run, o), firsts[j], n, bits, arrays[j]);
        }
    }
}

/*
 * How many numbers a kernel may be handed at once where it goes through all of its arrays from end to end. What it folds
 * is folded stretch by stretch, so that the sum would depend on how the arrays are stored if these were not all alike.
 */
static int64_t most_at_once(const struct run *run, const struct item *item)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    int is_whole = item->line == 0, is_converted = 0;
    for (int64_t j = 0; j < item->argument_count; j++) {
        if (arguments[j].place == PART)
            return OPTGEN_STRETCH;
        const struct operand *o = operand_of(run, arguments[j].operand);
        is_converted |= o->type != arguments[j].type;
        is_whole = is_whole && arguments[j].place == SAME && is_direct(o, address_of(run, o), arguments[j].type);
    }
    return is_whole ? INT64_MAX : is_converted ? CONVERTED_AT_ONCE : OPTGEN_STRETCH;
}

/* How many numbers from `first` on are one stretch: at most `most`, and within a line unless these are short. */
static int64_t stretch(const struct item *item, int64_t first, int64_t end, int64_t most)
{
    int64_t n = end - first;
    if (item->line && item->within != OPTGEN_LINES && n > item->line - first % item->line)
        n = item->line - first % item->line;
    return n < most ? n : most;
}

static void store_results(const struct run *run, const struct argument *a, int64_t first, int64_t n,
                          const double *results)
{
    const struct operand *o = operand_of(run, a->operand);
    store(address_of(run, o), o->type, layout_of(run, o), first, n, 64, results);
}

/* Whether a kernel takes arrays in 8 bits, whose blocks are stored as one. */
static int has_blocks(const struct run *run, const struct item *item)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    for (int64_t j = 0; j < item->argument_count; j++)
        if (arguments[j].place == SAME && is_eight_bit(operand_of(run, arguments[j].operand)))
            return 1;
    return 0;
}

/* Arrays in 8 bits from or to where a kernel takes them, for the numbers of one block. */
static void move_blocks(const struct run *run, const struct item *item, int64_t first, int64_t n, int64_t access,
                        struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    for (int64_t j = 0; j < item->argument_count; j++) {
        const struct operand *o = operand_of(run, arguments[j].operand);
        if (arguments[j].place != SAME || !(arguments[j].access & access) || !is_eight_bit(o))
            continue;
        if (access == IN)
            load_state(run, o, first, n, item->bits, scratch->values[j]);
        else
            store_state(run, o, first, n, item->bits, scratch->values[j]);
    }
}

static void stretches(const struct run *run, const struct item *item, int64_t chunk, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    int64_t first = chunk * item->chunk, end = first + item->chunk;
    double kept[OPTGEN_MOST_ARGUMENTS];
    if (end > item->count)
        end = item->count;
    for (int64_t j = 0; j < item->argument_count; j++)
        kept[j] = arguments[j].place == PART ? neutral(arguments[j].fold) : 0.0;
    const int64_t most = most_at_once(run, item);
    const int in_blocks = has_blocks(run, item);
    for (int64_t n, last = first; first < end; first += n) {
        if (in_blocks && first == last) {
            last = first + within_block(first, end - first);
            scratch->block = first;
            move_blocks(run, item, first, last - first, IN, scratch);
        }
        n = stretch(item, first, in_blocks ? last : end, most);
        evaluate(run, item, first, n, scratch);
        if (in_blocks && first + n == last) {
            move_blocks(run, item, scratch->block, last - scratch->block, OUT, scratch);
            scratch->block = -1;
        }
        for (int64_t j = 0; j < item->argument_count; j++)
            if (arguments[j].place == PART)
                kept[j] = joined(arguments[j].fold, kept[j],
                                 folded(item->bits, arguments[j].fold, scratch->values[j], n));
    }
    for (int64_t j = 0; j < item->argument_count; j++)
        if (arguments[j].place == PART)
            ((double *)(run->workspace + arguments[j].parts_at))[chunk] = kept[j];
}

static void across(const struct run *run, const struct item *item, int64_t chunk, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    int64_t first = chunk * item->chunk, end = first + item->chunk;
    if (end > item->results)
        end = item->results;
    for (int64_t o = first; o < end; o++) {
        const int64_t place = (o - first) % OPTGEN_STRETCH;
        for (int64_t j = 0; j < item->argument_count; j++)
            scratch->results[j][place] = arguments[j].place == PART ? neutral(arguments[j].fold) : 0.0;
        for (int64_t r = 0; r < item->runs; r++) {
            int64_t from = o * item->result_stride + r * item->run_stride;
            const int64_t to = from + item->length;
            for (int64_t n; from < to; from += n) {
                n = stretch(item, from, to, OPTGEN_STRETCH);
                evaluate(run, item, from, n, scratch);
                for (int64_t j = 0; j < item->argument_count; j++)
                    if (arguments[j].place == PART)
                        scratch->results[j][place] =
                            joined(arguments[j].fold, scratch->results[j][place],
                                   folded(item->bits, arguments[j].fold, scratch->values[j], n));
            }
        }
        if (place == OPTGEN_STRETCH - 1 || o == end - 1)
            for (int64_t j = 0; j < item->argument_count; j++)
                if (arguments[j].place == PART)
                    store_results(run, arguments + j, o - place, place + 1, scratch->results[j]);
    }
}

static int64_t parts_of(int64_t count, int64_t size) { return count > size ? (count + size - 1) / size : 1; }

/* What a thread folds of one matrix after the other, each row of which begins at a column and is `width` wide. */
struct lines {
    int64_t rows, width;
    int64_t count;                      /* rows of all matrices */
    int64_t down_at, along_at;          /* where the results of the first row go */
    int64_t down_step;                  /* and how much later those of the next matrix */
};

static void start_lines(const struct item *item, const struct argument *arguments, int64_t width,
                        struct scratch *scratch)
{
    for (int64_t j = 0; j < item->argument_count; j++)
        if (arguments[j].place == PART && arguments[j].access == DOWNWARD)
            for (int64_t i = 0; i < width; i++)
                scratch->results[j][i] = neutral(arguments[j].fold);
}

/* `n` numbers from `first` on of row `row` of those that a thread folds; their operands begin at place `at`. */
static void fold_line(const struct run *run, const struct item *item, const struct lines *lines, int64_t row,
                      int64_t first, int64_t n, int64_t at, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    const int64_t bits = item->bits, within = row % lines->rows;
    const int64_t matrix = row / lines->rows, place = row % OPTGEN_WIDEST;
    const int begins = within % ROWS_AT_ONCE == 0;
    const int is_last = within == lines->rows - 1, ends = is_last || within % ROWS_AT_ONCE == ROWS_AT_ONCE - 1;
    const int is_whole = first + n == lines->width;

    for (int64_t j = 0; j < item->argument_count; j++) {
        const struct argument *a = arguments + j;
        if (a->place != PART)
            continue;
        const void *x = (char *)scratch->values[j] + at * bits / 8;
        if (a->access != DOWNWARD) {
            double *result = scratch->results[j] + place;
            const double part = folded(bits, a->fold, x, n);
            *result = first ? joined(a->fold, *result, part) : part;
            if (is_whole && (place == OPTGEN_WIDEST - 1 || row == lines->count - 1))
                store_results(run, a, lines->along_at + row - place, place + 1, scratch->results[j]);
            continue;
        }
        double *results = scratch->results[j] + first;
        if (bits == 32) {
            float *rows = (float *)scratch->rows[j] + first;
            if (begins)
                start_rows_32(a->fold, rows, n);
            add_row_32(a->fold, rows, x, n);
            if (ends)
                add_rows_32(a->fold, results, rows, n);
        } else {
            double *rows = scratch->rows[j] + first;
            if (begins)
                start_rows_64(a->fold, rows, n);
            add_row_64(a->fold, rows, x, n);
            if (ends)
                add_rows_64(a->fold, results, rows, n);
        }
        if (is_last && is_whole)
            store_results(run, a, lines->down_at + matrix * lines->down_step, lines->width, scratch->results[j]);
    }
    if (is_last && is_whole)
        start_lines(item, arguments, lines->width, scratch);
}

/* Folds along rows and down columns: of a band of a matrix, or of several small matrices. */
static void bands(const struct run *run, const struct item *item, int64_t chunk, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    const int64_t rows = item->runs, columns = item->length;
    const int64_t bands = parts_of(rows, item->run_stride), blocks = parts_of(columns, item->result_stride);
    const int64_t block = chunk % blocks, band = chunk / blocks % bands, matrix = chunk / blocks / bands * item->chunk;
    const int64_t matrices = matrix + item->chunk < item->results ? item->chunk : item->results - matrix;
    const int64_t row = band * item->run_stride, column = block * item->result_stride;
    const int64_t height = row + item->run_stride < rows ? item->run_stride : rows - row;
    const int64_t width = column + item->result_stride < columns ? item->result_stride : columns - column;
    const struct lines lines = {.rows = height,
                                .width = width,
                                .count = matrices * height,
                                .down_at = (matrix * bands + band) * columns + column,
                                .along_at = (matrix * blocks + block) * rows + row,
                                .down_step = columns};
    /* Narrow rows stand side by side, if they are whole and no kernel has to know where they end. */
    const int64_t fitting = width ? OPTGEN_STRETCH / width : 1;
    const int is_apart = (item->line && item->within != OPTGEN_LINES) || width != columns;
    const int64_t together = is_apart || fitting < 1 ? 1 : fitting;

    start_lines(item, arguments, width, scratch);
    for (int64_t done = 0, n; done < lines.count; done += n) {
        const int64_t from = (matrix * rows + row + done) * columns + column;
        n = lines.count - done < together ? lines.count - done : together;
        if (n > 1) {
            evaluate(run, item, from, n * width, scratch);
            for (int64_t i = 0; i < n; i++)
                fold_line(run, item, &lines, done + i, 0, width, i * width, scratch);
            continue;
        }
        int64_t first = 0;
        do {
            const int64_t piece = width - first < OPTGEN_STRETCH ? width - first : OPTGEN_STRETCH;
            if (piece)
                evaluate(run, item, from + first, piece, scratch);
            fold_line(run, item, &lines, done, first, piece, 0, scratch);
            first += piece;
        } while (first < width);
    }
    for (int64_t m = 0; !rows && m < matrices; m++)
        for (int64_t j = 0; j < item->argument_count; j++)
            if (arguments[j].place == PART && arguments[j].access == DOWNWARD)
                store_results(run, arguments + j, lines.down_at + m * columns, width, scratch->results[j]);
}

/* From the first argument's array, partial results of some matrices, to the second's. */
static void join(const struct run *run, const struct item *item, int64_t chunk, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    const double *parts = (const double *)address_of(run, operand_of(run, arguments[0].operand));
    const int64_t width = item->length;
    double *results = scratch->results[0];
    int64_t first = chunk * item->chunk, end = first + item->chunk;
    if (end > item->count)
        end = item->count;
    for (int64_t n; first < end; first += n) {
        const int64_t left = width - first % width;
        n = end - first < left ? end - first : left;
        n = n < OPTGEN_STRETCH ? n : OPTGEN_STRETCH;
        start_rows_64(arguments[0].fold, results, n);
        for (int64_t k = 0; k < item->runs; k++)
            add_row_64(arguments[0].fold, results, parts + (first / width * item->runs + k) * width + first % width, n);
        store_results(run, arguments + 1, first, n, results);
    }
}

/* From the first argument's array to the second's. */
static void copy(const struct run *run, const struct item *item, int64_t chunk, struct scratch *scratch)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    const struct operand *from = operand_of(run, arguments[0].operand), *to = operand_of(run, arguments[1].operand);
    int64_t first = chunk * item->chunk, end = first + item->chunk;
    if (end > item->count)
        end = item->count;
    for (int64_t n; first < end; first += n) {
        n = stretch(item, first, end, OPTGEN_STRETCH);
        void *values = brought(run, from, number_of(item->bits), item->bits, first, n, 1, scratch->values[0]);
        store(address_of(run, to), to->type, layout_of(run, to), first, n, item->bits, values);
    }
}

static void finish_totals(const struct run *run, const struct item *item)
{
    const struct total *totals = (const struct total *)(run->table + run->header->totals) + item->totals;
    const struct group *group = (const struct group *)(run->table + run->header->groups) + item->group;
    for (int64_t j = 0; j < item->total_count; j++) {
        const struct total *total = totals + j;
        const double *parts = (const double *)(run->workspace + total->parts_at);
        const double all = total->count ? folded_64(total->fold, parts, total->count) : neutral(total->fold);
        if (total->space == OF_MODEL)
            ((double *)(run->workspace + group->model_at))[total->index] = all;
        else if (item->bits == 32)
            ((float *)(run->workspace + item->tensor_at))[total->index] = (float)all;
        else
            ((double *)(run->workspace + item->tensor_at))[total->index] = all;
    }
}

static void run_chunk(const struct run *run, const struct item *item, int64_t chunk, struct scratch *scratch)
{
    finish_totals(run, item);
    if (item->form == COPY)
        copy(run, item, chunk, scratch);
    else if (item->form == JOIN)
        join(run, item, chunk, scratch);
    else if (item->function < 0)
        return;
    else if (item->form == STRETCHES)
        stretches(run, item, chunk, scratch);
    else if (item->form == ACROSS)
        across(run, item, chunk, scratch);
    else
        bands(run, item, chunk, scratch);
}

/* A chunk of a phase that nobody has taken yet, -1 if its region has none left. */
static int64_t next_of(const struct run *run, int64_t phase, int64_t region)
{
    const int64_t chunks = ((const struct phase *)(run->table + run->header->phases))[phase].chunks;
    const int64_t first = chunks * region / run->regions, end = chunks * (region + 1) / run->regions;
    const int64_t taken =
        __atomic_fetch_add(&run->next[phase * run->regions + region].value, 1, __ATOMIC_RELAXED);
    return first + taken < end ? first + taken : -1;
}

/*
 * What every thread does, the caller's included: take chunks until none are left, phase by phase.
 *
 * Each begins in a region of its own and helps out in the others' afterwards: threads that take turns at neighbouring
 * chunks are a tenth slower, since memory is read best in long stretches.
 */
static void work(void *given)
{
    struct run *run = given;
    const int64_t own = __atomic_fetch_add(&run->arrived, 1, __ATOMIC_RELAXED);
    const struct phase *phases = (const struct phase *)(run->table + run->header->phases);
    struct scratch *scratch = thread_scratch(sizeof(struct scratch));
    fenv_t before;
    if (!scratch)
        return;
    /* XLA has its threads round subnormal numbers to zero. */
    scratch->block = -1;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    for (int64_t p = 0; p < run->header->phase_count; p++) {
        const struct phase *phase = phases + p;
        const struct item *items = (const struct item *)(run->table + run->header->items) + phase->first;
        for (int64_t r = 0, chunk; r < run->regions; r++)
            while ((chunk = next_of(run, p, (own + r) % run->regions)) >= 0) {
                int64_t low = 0, high = phase->count - 1;
                while (low < high) {
                    const int64_t middle = (low + high + 1) / 2;
                    if (items[middle].first_chunk <= chunk)
                        low = middle;
                    else
                        high = middle - 1;
                }
                run_chunk(run, items + low, chunk - items[low].first_chunk, scratch);
                __atomic_fetch_add(&run->done[p].value, 1, __ATOMIC_RELEASE);
            }
        for (int64_t turns = 0; __atomic_load_n(&run->done[p].value, __ATOMIC_ACQUIRE) < phase->chunks; turns++)
            pause_for(turns);
    }
    fesetenv(&before);
}

/* ---- Single numbers ---- */

static void transfer_in(const struct run *run, const struct transfer *one)
{
    double value = (double)one->value;
    char *table = run->workspace + one->at;
    if (one->operand >= 0) {
        const struct operand *o = operand_of(run, one->operand);
        load(address_of(run, o), o->type, layout_of(run, o), 0, 1, 64, &value);
    }
    if (one->bits == 32)
        ((float *)table)[one->index] = (float)value;
    else
        ((double *)table)[one->index] = value;
}

static void transfer_out(const struct run *run, const struct transfer *one)
{
    const struct operand *o = operand_of(run, one->operand);
    const char *table = run->workspace + one->at;
    const double value = one->bits == 32 ? ((const float *)table)[one->index] : ((const double *)table)[one->index];
    store(address_of(run, o), o->type, layout_of(run, o), 0, 1, 64, &value);
}

/*
 * One step of a model.
 *
 *   table      see table.h
 *   functions  of the kernels and of the numbers of the step, as the table counts them
 *   values     numbers of the step that the caller knows, hyperparameters among them
 *   t          number of the step, counted from 1
 *   buffers    the caller's memory, as the table counts it
 *   threads    how many may work
 *   parallel   whose they are; NULL for the driver's own
 *
 * Returns 0, or 1 if there is no memory for the workspace; then nothing has been changed.
 */
int64_t optgen_run(const int64_t *table, void *const *functions, const double *values, int64_t t,
                   void *const *buffers, int64_t threads, parallel_function *parallel)
{
    const struct header *header = (const struct header *)table;
    struct run run = {.table = table, .header = header, .functions = functions, .buffers = buffers, .t = t};
    run.seed = seed_of(t);
    fenv_t before;

    run.regions = threads < header->most_threads ? threads : header->most_threads;
    if (run.regions < 1)
        run.regions = 1;
    const size_t workspace = ((size_t)header->workspace + 63) / 64 * 64;
    const size_t counters = (size_t)(header->phase_count * (run.regions + 1)) * sizeof(struct counter);
    if (posix_memalign((void **)&run.workspace, 64, workspace + counters + 64))
        return 1;
    if (!thread_scratch(sizeof(struct scratch))) {
        free(run.workspace);
        return 1;
    }
    run.next = (struct counter *)(run.workspace + workspace);
    run.done = run.next + header->phase_count * run.regions;
    memset(run.next, 0, counters);

    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    const struct group *groups = (const struct group *)(table + header->groups);
    const struct transfer *in = (const struct transfer *)(table + header->transfers_in);
    for (int64_t g = 0; g < header->group_count; g++)
        memcpy(run.workspace + groups[g].wide_at, values, (size_t)header->scalars * sizeof(double));
    for (int64_t i = 0; i < header->transfer_in_count; i++)
        transfer_in(&run, in + i);
    for (int64_t g = 0; g < header->group_count; g++) {
        double *wide = (double *)(run.workspace + groups[g].wide_at);
        float *narrow = (float *)(run.workspace + groups[g].narrow_at);
        if (groups[g].step >= 0)
            ((step_function *)functions[groups[g].step])(wide);
        for (int64_t i = 0; i < header->scalars; i++)
            narrow[i] = (float)wide[i];
    }

    if (parallel && run.regions > 1)
        parallel(work, &run, (unsigned)run.regions, 0);
    else
        run_with_threads(work, &run, run.regions);

    const struct transfer *out = (const struct transfer *)(table + header->transfers_out);
    for (int64_t i = 0; i < header->transfer_out_count; i++)
        transfer_out(&run, out + i);
    fesetenv(&before);
    free(run.workspace);
    return 0;
}

/*
 * Gives some numbers of one type another value, if all of them are what is expected.
 *
 * Returns 0, or 1 if one is not; then nothing has been changed.
 */
int64_t optgen_replace(void *const *numbers, int64_t count, int64_t type, double expected, double value)
{
    double found;
    for (int64_t i = 0; i < count; i++) {
        load(numbers[i], type, NULL, 0, 1, 64, &found);
        if (found != expected)
            return 1;
    }
    for (int64_t i = 0; i < count && value != expected; i++)
        store(numbers[i], type, NULL, 0, 1, 64, &value);
    return 0;
}

/* For tests: numbers from one storage type to another, through the arithmetic's. */
void optgen_convert(const void *from, int64_t from_type, void *to, int64_t to_type, int64_t count)
{
    double values[OPTGEN_STRETCH];
    for (int64_t first = 0, n; first < count; first += n) {
        n = count - first < OPTGEN_STRETCH ? count - first : OPTGEN_STRETCH;
        load(from, from_type, NULL, first, n, from_type == FLOAT64 ? 64 : 32, values);
        store(to, to_type, NULL, first, n, from_type == FLOAT64 ? 64 : 32, values);
    }
}

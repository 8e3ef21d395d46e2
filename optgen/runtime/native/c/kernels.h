/*
 * Calls of compiled kernels on stretches of numbers.
 */

#ifndef OPTGEN_KERNELS_H
#define OPTGEN_KERNELS_H

#include "reductions.h"
#include "states.h"

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
    const int64_t line = a->indexing == LINE ? item->line : item->line * item->rows;
    const int64_t from = first / line, count = (first + n - 1) / line - from + 1;
    const int64_t each = a->indexing == COLUMN ? item->line : 1;
    const void *values =
        readable(run, operand_of(run, a->operand), a->type, item->bits, from * each, count * each, 1, beside);
    if (item->bits == 32 && a->indexing == COLUMN)
        tiled_32(item->line, item->rows, first, n, values, to);
    else if (item->bits == 32)
        repeated_32(line, first, n, values, to);
    else if (a->indexing == COLUMN)
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
        if (a->indexing == PART) {
            arrays[j] = scratch->values[j];
            continue;
        }
        const struct operand *o = operand_of(run, a->operand);
        if (a->indexing == AXES) {
            /* The last axis moves along the stretch, on the others the place is one. */
            int64_t rest = first;
            for (int64_t axis = item->rank - 1; axis >= 0; axis--) {
                const int is_last = axis == item->rank - 1;
                const struct operand *vector = o + axis;
                void *beside = is_last ? (void *)scratch->values[j] : (void *)&scratch->single[j][axis];
                scratch->axes[j][axis] =
                    readable(run, vector, a->type, bits, rest % vector->length, is_last ? n : 1, 1, beside);
                rest /= vector->length;
            }
            arrays[j] = scratch->axes[j];
            continue;
        }
        int64_t count = 1;
        switch (a->indexing) {
        case SAME: firsts[j] = first; count = n; break;
        case LINE: firsts[j] = line; break;
        case COLUMN: firsts[j] = line / item->rows * item->line + first % item->line; count = n; break;
        default: firsts[j] = line / item->rows; break;
        }
        if (scratch->block >= 0 && is_eight_bit(o)) {
            arrays[j] = (char *)scratch->values[j] + (first - scratch->block) * bits / 8;
            continue;
        }
        if (a->indexing != SAME && item->within == OPTGEN_LINES)
            arrays[j] = repeated(run, item, a, first, n, scratch->rows[j], scratch->values[j]);
        else
            arrays[j] = readable(run, o, a->type, bits, firsts[j], count, a->access & IN, scratch->values[j]);
    }

    void *scalars = run->workspace + (bits == 32 ? group->narrow_at : group->wide_at);
    void *tensor = item->tensor_at < 0 ? NULL : run->workspace + item->tensor_at;
    double *model = (double *)(run->workspace + group->model_at);
    ((kernel *)run->functions[item->function])(n, arrays, scalars, tensor, model, item->rank, run->header->is_update,
                                               item->within);

    for (int64_t j = 0; j < item->argument_count; j++) {
        const struct argument *a = arguments + j;
        if (a->indexing != SAME || !(a->access & OUT))
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
 * How many numbers a kernel may be handed at once where it goes through all of its arrays from end to end. Reductions
 * go stretch by stretch, so that a sum would depend on how the arrays are stored if stretches were not all alike.
 */
static int64_t most_at_once(const struct run *run, const struct item *item)
{
    const struct argument *arguments =
        (const struct argument *)(run->table + run->header->arguments) + item->arguments;
    int is_whole = item->line == 0, is_converted = 0;
    for (int64_t j = 0; j < item->argument_count; j++) {
        if (arguments[j].indexing == PART)
            return OPTGEN_STRETCH;
        const struct operand *o = operand_of(run, arguments[j].operand);
        is_converted |= o->type != arguments[j].type;
        is_whole = is_whole && arguments[j].indexing == SAME && is_direct(o, address_of(run, o), arguments[j].type);
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
        if (arguments[j].indexing == SAME && is_eight_bit(operand_of(run, arguments[j].operand)))
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
        if (arguments[j].indexing != SAME || !(arguments[j].access & access) || !is_eight_bit(o))
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
    if (end > item->numbers)
        end = item->numbers;
    for (int64_t j = 0; j < item->argument_count; j++)
        kept[j] = arguments[j].indexing == PART ? neutral(arguments[j].reduction) : 0.0;
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
            if (arguments[j].indexing == PART)
                kept[j] = combined(arguments[j].reduction, kept[j],
                                   reduced(item->bits, arguments[j].reduction, scratch->values[j], n));
    }
    for (int64_t j = 0; j < item->argument_count; j++)
        if (arguments[j].indexing == PART)
            ((double *)(run->workspace + arguments[j].parts_at))[chunk] = kept[j];
}

#endif

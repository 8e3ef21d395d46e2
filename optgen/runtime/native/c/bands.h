/*
 * Reductions along the axes of a tensor, and what joins the parts of one.
 */

#ifndef OPTGEN_BANDS_H
#define OPTGEN_BANDS_H

#include "kernels.h"

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
            scratch->results[j][place] = arguments[j].indexing == PART ? neutral(arguments[j].reduction) : 0.0;
        for (int64_t r = 0; r < item->runs; r++) {
            int64_t from = o * item->result_stride + r * item->run_stride;
            const int64_t to = from + item->length;
            for (int64_t n; from < to; from += n) {
                n = stretch(item, from, to, OPTGEN_STRETCH);
                evaluate(run, item, from, n, scratch);
                for (int64_t j = 0; j < item->argument_count; j++)
                    if (arguments[j].indexing == PART)
                        scratch->results[j][place] =
                            combined(arguments[j].reduction, scratch->results[j][place],
                                     reduced(item->bits, arguments[j].reduction, scratch->values[j], n));
            }
        }
        if (place == OPTGEN_STRETCH - 1 || o == end - 1)
            for (int64_t j = 0; j < item->argument_count; j++)
                if (arguments[j].indexing == PART)
                    store_results(run, arguments + j, o - place, place + 1, scratch->results[j]);
    }
}

static int64_t parts_of(int64_t count, int64_t size) { return count > size ? (count + size - 1) / size : 1; }

/* The numbers that a thread reduces, of one matrix after the other: each row begins at a column and is `width` wide. */
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
        if (arguments[j].indexing == PART && arguments[j].access == DOWNWARD)
            for (int64_t i = 0; i < width; i++)
                scratch->results[j][i] = neutral(arguments[j].reduction);
}

/* `n` numbers from `first` on of row `row` of those that a thread reduces; their operands begin at place `at`. */
static void reduce_line(const struct run *run, const struct item *item, const struct lines *lines, int64_t row,
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
        if (a->indexing != PART)
            continue;
        const void *x = (char *)scratch->values[j] + at * bits / 8;
        if (a->access != DOWNWARD) {
            double *result = scratch->results[j] + place;
            const double part = reduced(bits, a->reduction, x, n);
            *result = first ? combined(a->reduction, *result, part) : part;
            if (is_whole && (place == OPTGEN_WIDEST - 1 || row == lines->count - 1))
                store_results(run, a, lines->along_at + row - place, place + 1, scratch->results[j]);
            continue;
        }
        double *results = scratch->results[j] + first;
        if (bits == 32) {
            float *rows = (float *)scratch->rows[j] + first;
            if (begins)
                start_rows_32(a->reduction, rows, n);
            add_row_32(a->reduction, rows, x, n);
            if (ends)
                add_rows_32(a->reduction, results, rows, n);
        } else {
            double *rows = scratch->rows[j] + first;
            if (begins)
                start_rows_64(a->reduction, rows, n);
            add_row_64(a->reduction, rows, x, n);
            if (ends)
                add_rows_64(a->reduction, results, rows, n);
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
                reduce_line(run, item, &lines, done + i, 0, width, i * width, scratch);
            continue;
        }
        int64_t first = 0;
        do {
            const int64_t piece = width - first < OPTGEN_STRETCH ? width - first : OPTGEN_STRETCH;
            if (piece)
                evaluate(run, item, from + first, piece, scratch);
            reduce_line(run, item, &lines, done, first, piece, 0, scratch);
            first += piece;
        } while (first < width);
    }
    for (int64_t m = 0; !rows && m < matrices; m++)
        for (int64_t j = 0; j < item->argument_count; j++)
            if (arguments[j].indexing == PART && arguments[j].access == DOWNWARD)
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
    if (end > item->numbers)
        end = item->numbers;
    for (int64_t n; first < end; first += n) {
        const int64_t left = width - first % width;
        n = end - first < left ? end - first : left;
        n = n < OPTGEN_STRETCH ? n : OPTGEN_STRETCH;
        const double *part = parts + first / width * item->runs * width + first % width;
        start_rows_64(arguments[0].reduction, results, n);
        for (int64_t k = 0; k < item->runs; k++)
            add_row_64(arguments[0].reduction, results, part + k * width, n);
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
    if (end > item->numbers)
        end = item->numbers;
    for (int64_t n; first < end; first += n) {
        n = stretch(item, first, end, OPTGEN_STRETCH);
        void *values = readable(run, from, number_of(item->bits), item->bits, first, n, 1, scratch->values[0]);
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
        const double all =
            total->part_count ? reduced_64(total->reduction, parts, total->part_count) : neutral(total->reduction);
        if (total->space == OF_MODEL)
            ((double *)(run->workspace + group->model_at))[total->entry] = all;
        else if (item->bits == 32)
            ((float *)(run->workspace + item->tensor_at))[total->entry] = (float)all;
        else
            ((double *)(run->workspace + item->tensor_at))[total->entry] = all;
    }
}

#endif

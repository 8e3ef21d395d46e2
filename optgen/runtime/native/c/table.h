/*
 * The work of a step as one table of int64, made by optgen/runtime/native/table.py for a rule and the shapes of a
 * model. The structures below are its rows; optgen/runtime/native/rows.py has the same fields and enums.
 *
 * Offsets called `at` are bytes from the start of the workspace, memory that lives as long as the call.
 */

#ifndef OPTGEN_TABLE_H
#define OPTGEN_TABLE_H

#include <stdint.h>

struct header {
    int64_t workspace;                  /* bytes */
    int64_t scalars;                    /* how many step scalars there are */
    int64_t is_update;
    int64_t most_threads;               /* of use to a model of this size */
    int64_t operands, layouts;          /* where the rows of each kind begin, in int64s */
    int64_t groups, group_count;
    int64_t transfers_in, transfer_in_count;
    int64_t transfers_out, transfer_out_count;
    int64_t items, arguments, totals;
    int64_t phases, phase_count;
};

enum storage_type {
    FLOAT32, FLOAT64, BFLOAT16, FLOAT16, INT32, INT64, BFLOAT16_STOCHASTIC, EIGHT_BIT, EIGHT_BIT_STOCHASTIC
};

/* An array of a tensor. */
struct operand {
    int64_t buffer;                     /* which of the caller's buffers; -1 is the workspace */
    int64_t at;                         /* bytes into it */
    int64_t type;
    int64_t depth, lag, slot;           /* of a ring of `depth` values, the one of step t - lag; bytes between them */
    int64_t layout;                     /* int64s into the layouts: rank, lengths, strides in bytes; -1: no gaps */
    int64_t stream;                     /* of random bits, for formats that are rounded by them */
    int64_t scales;                     /* in 8 bits: which of the caller's buffers holds the blocks' scales */
    int64_t length;                     /* of a vector per axis, how many numbers it has */
};

/* The tensors that take the same case: they share the step scalars and the numbers of the model. */
struct group {
    int64_t step;                       /* which function computes step scalars, -1 for none */
    int64_t wide_at, narrow_at;         /* the step scalars as doubles and as floats */
    int64_t model_at;                   /* numbers of the model, doubles */
};

enum space { OF_STEP, OF_TENSOR, OF_MODEL };

/* A single number that goes from an array to a table of numbers before the step, or back after it. */
struct transfer {
    int64_t space;
    int64_t at, bits;                   /* the table, and the type of its entries */
    int64_t entry;                      /* of the table */
    int64_t operand;                    /* -1: the value itself follows */
    int64_t value;
};

enum form { STRETCHES, ACROSS, BANDS, COPY, JOIN };

/* One kernel for one tensor. */
struct item {
    int64_t function;                   /* -1: none, for COPY, JOIN, and where there are but totals */
    int64_t form;
    int64_t bits, group, rank;
    int64_t tensor_at;                  /* its numbers; -1: it is of the model */
    int64_t numbers;                    /* that it goes through */
    int64_t line, rows;                 /* a stretch lies within one line unless `within` says otherwise;
                                           0: anywhere */
    int64_t chunk, first_chunk, chunks; /* what one thread does at a time; counted within the phase */
    int64_t arguments, argument_count;
    int64_t totals, total_count;
    /* ACROSS: result o is reduced from `runs` stretches of `length` numbers, which begin at
       o*result_stride + r*run_stride.
       BANDS: `results` matrices of `runs` rows and `length` columns, `chunk` at a time, or parts of them: at most
       `run_stride` rows of `result_stride` columns. They are reduced along rows or down columns.
       JOIN: result (m, i) is reduced from the numbers (m, k, i) for k < runs; i < length. */
    int64_t results, runs, length, run_stride, result_stride;
    int64_t within;                     /* what a stretch lies within, see sizes.h */
};

enum indexing { SAME, LINE, COLUMN, MATRIX, AXES, PART };
enum access_mode { IN = 1, OUT = 2, INOUT = 3 };
enum direction { ALONG, DOWNWARD };
enum reduction { SUM, MAX, MIN };

/* An array that a kernel takes. */
struct argument {
    int64_t operand;                    /* of AXES the first of as many as there are axes */
    int64_t indexing;                   /* which of its numbers belong to those that the kernel goes through */
    int64_t access;                     /* of a PART of BANDS: ALONG or DOWNWARD */
    int64_t reduction;                  /* of a PART */
    int64_t parts_at;                   /* of a PART of STRETCHES: where the result of each chunk goes, a double */
    int64_t type;                       /* as which the kernel takes it; other than the arithmetic's only where the
                                           array is stored so, without gaps */
};

/* Partial results that are reduced before a kernel runs. */
struct total {
    int64_t reduction, parts_at, part_count;
    int64_t space, entry;
};

/* Items that do not wait for each other. */
struct phase {
    int64_t first, item_count, chunks;
};

#endif

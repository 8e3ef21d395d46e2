/* Sizes that kernels, the driver and optgen/runtime/native/chunks.py have in common. */

#ifndef OPTGEN_SIZES_H
#define OPTGEN_SIZES_H

/* Numbers that a kernel is handed at once where the driver keeps some beside the arrays: they stay in the first cache. */
#define OPTGEN_STRETCH 1024

/* Numbers of a row that one thread reduces, at most. */
#define OPTGEN_WIDEST 4096

/* A kernel takes at most this many arrays; one that takes more is not run. */
#define OPTGEN_MOST_ARGUMENTS 96

/* What a stretch of a kernel lies within that reads numbers of rows, columns or matrices. Within a row those of the
   columns stand side by side and that of the row is one; of several lines, each number has its own. */
enum optgen_within { OPTGEN_ROW, OPTGEN_COLUMN, OPTGEN_LINES };

#endif

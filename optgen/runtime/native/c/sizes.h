/* Sizes that kernels, the driver and optgen/runtime/native/chunks.py have in common. */

#ifndef OPTGEN_SIZES_H
#define OPTGEN_SIZES_H

/* Numbers that a kernel is handed at once where the driver keeps some beside the arrays: they stay in the first cache. */
#define OPTGEN_STRETCH 1024

/* A kernel takes at most this many arrays; one that takes more is not run. */
#define OPTGEN_MOST_ARGUMENTS 96

#endif

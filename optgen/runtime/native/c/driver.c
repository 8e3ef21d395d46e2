/*
 * Runs the kernels of a model in the order of a table, see table.h.
 *
 * The work of a phase is cut into chunks that do not depend on how many threads there are: each chunk computes the same
 * numbers whoever does it, and partial results are reduced in a fixed order, so that every number of threads gives the
 * same bits.
 */

#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bands.h"
#include "threads.h"

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
                int64_t low = 0, high = phase->item_count - 1;
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
        ((float *)table)[one->entry] = (float)value;
    else
        ((double *)table)[one->entry] = value;
}

static void transfer_out(const struct run *run, const struct transfer *one)
{
    const struct operand *o = operand_of(run, one->operand);
    const char *table = run->workspace + one->at;
    const double value = one->bits == 32 ? ((const float *)table)[one->entry] : ((const double *)table)[one->entry];
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

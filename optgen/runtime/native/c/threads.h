/*
 * Threads that help whoever calls: they live as long as the process and sleep between steps.
 *
 * The caller does all the work itself where the helpers are late, or busy with another caller's, so that nobody waits
 * for a thread to wake up.
 */

#ifndef OPTGEN_THREADS_H
#define OPTGEN_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__i386__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ __volatile__("yield")
#else
#define relax() ((void)0)
#endif

#define MOST_HELPERS 255
/* How often a thread looks again before it lets others run. */
#define TURNS 2000
/* How often a helper looks for further work before it goes to sleep: some microseconds. */
#define TURNS_AWAKE 1000

typedef void job_function(void *);

/* As libgomp's GOMP_parallel: has a team of threads call a function, the caller among them, and waits for all. */
typedef void parallel_function(job_function *, void *, unsigned, unsigned);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int helpers, wanted, working, owned;
    int64_t number;                     /* counts the jobs, so that no helper takes one twice */
    job_function *function;
    void *given;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static pthread_key_t scratch_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void pause_for(int64_t turns)
{
    if (turns < TURNS)
        relax();
    else
        sched_yield();
}

/* After a fork there is the calling thread alone; a lock held by another one would never be released. */
static void after_fork(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pool.helpers = pool.wanted = pool.working = pool.owned = 0;
    pool.function = NULL;
}

static void set_up(void)
{
    pthread_key_create(&scratch_key, free);
    pthread_atfork(NULL, NULL, after_fork);
}

/* Memory of the calling thread, the same at every call; NULL if there is none. */
static void *thread_scratch(size_t bytes)
{
    void *memory;
    pthread_once(&once, set_up);
    memory = pthread_getspecific(scratch_key);
    if (!memory) {
        if (posix_memalign(&memory, 64, bytes))
            return NULL;
        pthread_setspecific(scratch_key, memory);
    }
    return memory;
}

static void *help(void *unused)
{
    int64_t last = 0;
    (void)unused;
    for (;;) {
        for (int64_t turns = 0; turns < TURNS_AWAKE && __atomic_load_n(&pool.number, __ATOMIC_ACQUIRE) == last; turns++)
            relax();
        pthread_mutex_lock(&pool.lock);
        while (!pool.function || pool.number == last || pool.working >= pool.wanted) {
            if (pool.number != last && (!pool.function || pool.working >= pool.wanted))
                last = pool.number;     /* over, or enough others are at it */
            pthread_cond_wait(&pool.wake, &pool.lock);
        }
        last = pool.number;
        pool.working++;
        job_function *function = pool.function;
        void *given = pool.given;
        pthread_mutex_unlock(&pool.lock);
        function(given);
        pthread_mutex_lock(&pool.lock);
        pool.working--;
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

static void add_helpers(int wanted)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Signals are for the threads of the program. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.helpers < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, NULL))
            break;
        pthread_detach(thread);
        pool.helpers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Has the calling thread and up to `threads - 1` helpers call a function, and returns when all have returned. */
static void run_with_threads(job_function *function, void *given, int64_t threads)
{
    int wanted = threads - 1 < MOST_HELPERS ? (int)threads - 1 : MOST_HELPERS, owns = 0;
    if (wanted > 0) {
        pthread_mutex_lock(&pool.lock);
        if (!pool.owned) {
            owns = pool.owned = 1;
            add_helpers(wanted);
            pool.function = function;
            pool.given = given;
            pool.wanted = wanted;
            __atomic_store_n(&pool.number, pool.number + 1, __ATOMIC_RELEASE);
            pthread_cond_broadcast(&pool.wake);
        }
        pthread_mutex_unlock(&pool.lock);
    }
    function(given);
    if (!owns)
        return;
    pthread_mutex_lock(&pool.lock);
    pool.function = NULL;
    for (int64_t turns = 0; pool.working > 0; turns++) {
        pthread_mutex_unlock(&pool.lock);
        pause_for(turns);
        pthread_mutex_lock(&pool.lock);
    }
    pool.owned = 0;
    pthread_mutex_unlock(&pool.lock);
}

#endif

/* Another date for a whole family of processes: preloaded, it moves what the C library says of the
 * wall clock by MOVED_CLOCK_SECONDS. What measures durations stays as it is: the monotonic clocks
 * are not touched, and a wait until an instant of the moved clock is handed on as the real instant.
 * Times of files move too, as if the machine had written them on that date.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#define NEXT(name) ((__typeof__(&name))next(#name))
#define BEGAN 1000000000 /* a reading beyond is of the wall clock: no machine is up for 31 years */

static time_t moved;

__attribute__((constructor)) static void begin(void)
{
    const char *said = getenv("MOVED_CLOCK_SECONDS");
    moved = said ? atoll(said) : 0;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static __typeof__(&clock_gettime) real;
    if (!real)
        real = NEXT(clock_gettime);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += moved;
    return failed;
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static __typeof__(&gettimeofday) real;
    if (!real)
        real = NEXT(gettimeofday);
    int failed = real(now, zone);
    if (!failed)
        now->tv_sec += moved;
    return failed;
}

time_t time(time_t *kept)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept)
        *kept = now.tv_sec;
    return now.tv_sec;
}

/* Waits until an instant. */

static struct timespec real_instant(const struct timespec *until)
{
    struct timespec instant = *until;
    if (instant.tv_sec > BEGAN)
        instant.tv_sec -= moved;
    return instant;
}

int sem_timedwait(sem_t *restrict waited, const struct timespec *restrict until)
{
    struct timespec instant = real_instant(until);
    return NEXT(sem_timedwait)(waited, &instant);
}

int sem_clockwait(sem_t *restrict waited, clockid_t clock, const struct timespec *restrict until)
{
    struct timespec instant = real_instant(until);
    return NEXT(sem_clockwait)(waited, clock, &instant);
}

int pthread_cond_timedwait(pthread_cond_t *restrict waited, pthread_mutex_t *restrict held,
                           const struct timespec *restrict until)
{
    static __typeof__(&pthread_cond_timedwait) real;
    if (!real) /* the newest of two versions: dlsym alone may find the one of 2002 */
        real = (__typeof__(real))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real)
        real = NEXT(pthread_cond_timedwait);
    struct timespec instant = real_instant(until);
    return real(waited, held, &instant);
}

int pthread_cond_clockwait(pthread_cond_t *waited, pthread_mutex_t *held, clockid_t clock,
                           const struct timespec *until)
{
    struct timespec instant = real_instant(until);
    return NEXT(pthread_cond_clockwait)(waited, held, clock, &instant);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict wanted, const struct timespec *restrict until)
{
    struct timespec instant = real_instant(until);
    return NEXT(pthread_mutex_timedlock)(wanted, &instant);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec instant = flags & TIMER_ABSTIME ? real_instant(until) : *until;
    return NEXT(clock_nanosleep)(clock, flags, &instant, left);
}

/* Times of files. */

static int shown(int failed, struct stat *found)
{
    if (!failed) {
        found->st_mtim.tv_sec += moved;
        found->st_ctim.tv_sec += moved;
        found->st_atim.tv_sec += moved;
    }
    return failed;
}

int stat(const char *restrict path, struct stat *restrict found)
{
    return shown(NEXT(stat)(path, found), found);
}

int lstat(const char *restrict path, struct stat *restrict found)
{
    return shown(NEXT(lstat)(path, found), found);
}

int fstat(int file, struct stat *found)
{
    return shown(NEXT(fstat)(file, found), found);
}

int fstatat(int folder, const char *restrict path, struct stat *restrict found, int flags)
{
    return shown(NEXT(fstatat)(folder, path, found, flags), found);
}

/* `struct stat64` is the same on 64-bit machines, where alone this is built. */
int stat64(const char *restrict path, struct stat64 *restrict found)
{
    return stat(path, (struct stat *)found);
}

int lstat64(const char *restrict path, struct stat64 *restrict found)
{
    return lstat(path, (struct stat *)found);
}

int fstat64(int file, struct stat64 *found)
{
    return fstat(file, (struct stat *)found);
}

int fstatat64(int folder, const char *restrict path, struct stat64 *restrict found, int flags)
{
    return fstatat(folder, path, (struct stat *)found, flags);
}

int statx(int folder, const char *restrict path, int flags, unsigned int mask,
          struct statx *restrict found)
{
    int failed = NEXT(statx)(folder, path, flags, mask, found);
    if (!failed) {
        found->stx_mtime.tv_sec += moved;
        found->stx_ctime.tv_sec += moved;
        found->stx_atime.tv_sec += moved;
        found->stx_btime.tv_sec += moved;
    }
    return failed;
}

static const struct timespec *kept(const struct timespec given[2], struct timespec real[2])
{
    if (!given)
        return NULL;
    for (int each = 0; each < 2; each++) {
        real[each] = given[each];
        if (given[each].tv_nsec != UTIME_NOW && given[each].tv_nsec != UTIME_OMIT)
            real[each].tv_sec -= moved;
    }
    return real;
}

int utimensat(int folder, const char *path, const struct timespec given[2], int flags)
{
    struct timespec real[2];
    return NEXT(utimensat)(folder, path, kept(given, real), flags);
}

int futimens(int file, const struct timespec given[2])
{
    struct timespec real[2];
    return NEXT(futimens)(file, kept(given, real));
}

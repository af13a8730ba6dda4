"""A wall clock that a test moves while processes run; the monotonic clock goes on as ever.

A library over clock_gettime(2), laid before libc by LD_PRELOAD: it adds the seconds that a file
holds to CLOCK_REALTIME. Needs a C compiler.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    char text[32] = {0};
    int file = open(getenv("WALL_CLOCK_SHIFT"), O_RDONLY);
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int said = real(clock, at);
    if (!said && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += shift();
    return said;
}

time_t time(time_t *out) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out) *out = at.tv_sec;
    return at.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    at->tv_sec = exact.tv_sec;
    at->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
"""


class WallClock:
    """`variables` for the environment of processes whose clock `move` sets."""

    def __init__(self, folder: Path) -> None:
        """Raises `FileNotFoundError` without a compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise FileNotFoundError("no C compiler")
        source, library = folder / "wall_clock.c", folder / "wall_clock.so"
        self._shift = folder / "wall_clock.shift"
        source.write_text(_SOURCE, encoding="ascii")
        words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(words, check=True, capture_output=True)
        self.move(0)
        self.variables = {"LD_PRELOAD": str(library), "WALL_CLOCK_SHIFT": str(self._shift)}

    def move(self, seconds: int) -> None:
        """Seconds ahead of the right time; negative is behind."""
        self._shift.write_text(str(seconds), encoding="ascii")

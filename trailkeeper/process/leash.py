"""`leash.py PARENT SIGNAL PROGRAM [ARGUMENT…]`: become PROGRAM, and die when PARENT dies.

Run as a script, before the program, so that nothing has to happen between fork and exec in a
process that may have threads. The kernel sends the signal whatever ended the parent, `kill -9`
included (prctl(2), PR_SET_PDEATHSIG); the setting survives execve. Elsewhere than on Linux there is
no such call: there a killed parent leaves its children to be stopped by hand.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send us `number` when the thread that started us ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def main(words: list[str]) -> None:
    parent, number, program = int(words[0]), int(words[1]), words[2:]
    die_with_parent(number)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)
    os.execv(program[0], program)  # noqa: S606 - the supervisor's own words, no shell


if __name__ == "__main__":
    main(sys.argv[1:])

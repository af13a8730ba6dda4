"""The world of one worker process, built after the fork."""

from __future__ import annotations

import os

from trailkeeper.bootstrap import World
from trailkeeper.settings import Settings, find_folder, load

_worlds: dict[int, World] = {}
_siblings = 0


def begin(processes: int) -> None:
    """Before the fork: this worker has so many processes, that pull where it takes that queue."""
    global _siblings
    _siblings = processes


def settings() -> Settings:
    """The configuration, read anew: a door holds nothing between a start and a fork."""
    return load(find_folder())


def open_world() -> World:
    """This process's world; a child never gets its parent's."""
    pid = os.getpid()
    if pid not in _worlds:
        _worlds.clear()
        _worlds[pid] = World(settings(), pullers=_siblings)
    return _worlds[pid]


def close_world() -> None:
    world = _worlds.pop(os.getpid(), None)
    if world:
        world.close()

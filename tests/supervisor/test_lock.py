"""The lock of the data folder, and a look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trailkeeper.errors import Unavailable
from trailkeeper.process.lock import LOCK_FILE, data_folder, is_held


def test_a_look_takes_nothing(tmp_path: Path) -> None:
    """Whether a service runs is seen from outside; looking neither makes nor keeps anything."""
    assert not is_held(tmp_path)
    assert not (tmp_path / LOCK_FILE).exists()
    with data_folder(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(Unavailable, match="is running"), data_folder(tmp_path):
            pass
    assert not is_held(tmp_path)
    with data_folder(tmp_path):
        assert is_held(tmp_path)

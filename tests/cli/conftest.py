"""What the tests of the command line share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def run(runner, data_folder, tmp_path, monkeypatch) -> Any:
    """Return what runs a command with the synthetic data, in a folder of its own; nothing may end in a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XHARNESS_DATA_DIR", str(data_folder))

    def call(*arguments: object) -> Any:
        found = runner(*arguments)
        assert "Traceback" not in found.err
        return found

    return call

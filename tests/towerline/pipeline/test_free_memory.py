"""The memory that is free for a process, as Linux tells it."""

from pathlib import Path

import pytest

from towerline.pipeline import free_memory


def test_free_memory_is_that_of_the_machine_or_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:       4000000 kB\nMemAvailable:    3000000 kB\n")
    monkeypatch.setattr(free_memory, "MACHINE", machine)
    monkeypatch.setattr(free_memory, "CONTAINER", tmp_path)
    assert free_memory.free_bytes() == 3_072_000_000
    # 2.5 GB, of which 1 GB is used, a half of that by cached files.
    for name, text in {"max": "2500000000", "current": "1000000000", "stat": "anon 500000000\nfile 500000000"}.items():
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    assert free_memory.free_bytes() == 2_000_000_000
    (tmp_path / "memory.max").write_text("max\n")
    machine.unlink()
    assert free_memory.free_bytes() == float("inf")

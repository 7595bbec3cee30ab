"""What is kept of a reason to stop."""

from pathlib import Path

from node.stopped import read_stop, remember_stop


def test_four_kibibytes_of_a_reason_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "stopped"
    remember_stop(path, "x" * 5_000)
    assert path.read_bytes() == b"x" * 4_096 + b"\n"
    assert read_stop(path) == "x" * 4_096

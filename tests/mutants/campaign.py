"""Runs tests against mutants of whole modules, each in a process of its own.

``python -m tests.mutants.campaign MODULE…`` prints what became of every mutant of these modules,
all of one package, and ends with status 1 unless exactly those live that ``survivors`` names.
``--only TEXT`` takes the mutants that have it in their names.

The processes are forked from this one, which has imported what no mutant changes: so a mutant costs
what its tests cost. One that does not end in time counts as killed: the tests would hang.
"""

import argparse
import importlib.abc
import importlib.util
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

import pytest

from tests.mutants.covering import BELOW, COVERING
from tests.mutants.modules import ModuleMutant, mutants_of, path_of
from tests.mutants.survivors import SURVIVORS

SIZES = "not cluster and not browser and not long and not ci"
PATIENCE = 3
"""So many times as long as without a mutant, and some seconds, the tests may take."""
PATIENCE_S = 10.0
NO_LIMIT_S = 600.0
HANGS = "time is up"


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of a mutant."""

    mutant: ModuleMutant
    killer: str
    """The test that noticed it, empty if none did."""
    seconds: float


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports other code instead of a module's own."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module = module
        self._code = code

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._module:
            return None
        return importlib.util.spec_from_file_location(name, path_of(name), loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


class _First:
    """Remembers the first test that failed, or that could not be imported."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid}, on import"


def fates(module: str, only: str = "") -> Iterator[Fate]:
    """Yield what becomes of each mutant of a module; its tests must pass without one."""
    files = COVERING[module]
    began_s = time.monotonic()
    failed = run(module, None, files, NO_LIMIT_S)
    assert not failed, f"without any mutant: {failed}"
    limit_s = PATIENCE_S + PATIENCE * (time.monotonic() - began_s)
    for mutant in mutants_of(module):
        if only in mutant.name:
            began_s = time.monotonic()
            killer = run(module, mutant.code(), files, limit_s)
            yield Fate(mutant=mutant, killer=killer, seconds=time.monotonic() - began_s)


def run(module: str, code: CodeType | None, files: Sequence[str], limit_s: float) -> str:
    """Run tests with other code instead of a module's; return which one failed, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            os.setsid()
            os.write(writing, f"{_test(module, code, files)}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        return _first_line(reading, limit_s)
    finally:
        os.close(reading)
        try:
            os.killpg(child, signal.SIGKILL)  # what its tests have started too
        except OSError:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _test(module: str, code: CodeType | None, files: Sequence[str]) -> str:
    assert module not in sys.modules, f"{module} was imported too early"
    if code is not None:
        sys.meta_path.insert(0, _Instead(module, code))
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    first = _First()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        said_less = ("-x", "-q", "-p", "no:cacheprovider", "-m", SIZES)
        status = pytest.main([*said_less, "--basetemp", f"{folder}/tests", *files], [first])
    return first.failed or ("" if status == pytest.ExitCode.OK else f"pytest ends with {status}")


def _first_line(reading: int, limit_s: float) -> str:
    """Return the line that a process writes before it ends, or that it did not in time."""
    until_s = time.monotonic() + limit_s
    said = b""
    while not said.endswith(b"\n"):
        if not select.select([reading], [], [], max(0.0, until_s - time.monotonic()))[0]:
            return HANGS
        piece = os.read(reading, 4_096)
        if not piece:
            return "the process broke off"
        said += piece
    return said.decode().strip()


def main(modules: Sequence[str], only: str) -> int:
    """Print the fate of each mutant and in the end a count; return whether none is news."""
    (package,) = {module.partition(".")[0] for module in modules}
    for name in BELOW[package]:
        importlib.import_module(name)
    met: dict[str, str] = {}
    for module in modules:
        for fate in fates(module, only):
            met[fate.mutant.name] = fate.killer
            print(f"{fate.mutant.name}\n    {fate.killer or 'LIVES'} ({fate.seconds:.1f} s)")
            sys.stdout.flush()
    living = {name for name, killer in met.items() if not killer}
    news = sorted(living ^ (set(SURVIVORS) & set(met)))
    print(f"{len(met)} mutants, {len(met) - len(living)} killed")
    for name in news:
        print(f"{'lives' if name in living else 'is killed by now'}: {name}")
    return 1 if news else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", metavar="MODULE", choices=sorted(COVERING))
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    sys.exit(main(arguments.modules, arguments.only))

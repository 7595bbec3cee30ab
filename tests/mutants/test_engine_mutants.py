"""Consensus and node: every check is needed, every bound exact, or it is said why none notices."""

import ast
import marshal
import subprocess
import sys

import pytest

from tests.mutants.covering import BELOW, COVERING
from tests.mutants.modules import ROOT, ModuleMutant, modules_of, mutants_of, path_of
from tests.mutants.survivors import SURVIVORS

LEAST = {"consensus": 200, "node": 550}
"""There are more mutants than this."""
KILLED_PERCENT_MIN = 95


@pytest.fixture(scope="module")
def all_mutants() -> dict[str, ModuleMutant]:
    """Every mutant by its name."""
    return {mutant.name: mutant for module in COVERING for mutant in mutants_of(module)}


@pytest.mark.parametrize("package", BELOW)
def test_every_module_with_something_to_mutate_names_its_tests(package: str) -> None:
    assert [one for one in COVERING if one.startswith(f"{package}.")] == modules_of(package)
    for files in COVERING.values():
        assert all((ROOT / file).is_file() for file in files)


def test_the_survivors_are_few_and_still_mutants(all_mutants: dict[str, ModuleMutant]) -> None:
    assert SURVIVORS.keys() <= all_mutants.keys(), SURVIVORS.keys() - all_mutants.keys()
    for package, least in LEAST.items():
        assert sum(name.startswith(f"{package}.") for name in all_mutants) > least
    killed = len(all_mutants) - len(SURVIVORS)
    assert 100 * killed >= KILLED_PERCENT_MIN * len(all_mutants)


def test_a_mutant_is_its_module_but_for_one_place(all_mutants: dict[str, ModuleMutant]) -> None:
    untouched = (ROOT / "consensus" / "votebook.py").read_text(encoding="utf-8")
    codes = {
        marshal.dumps(mutant.code())
        for mutant in all_mutants.values()
        if mutant.module == "consensus.votebook"
    }
    assert len(codes) > 20, "each is another one"
    assert (
        marshal.dumps(compile(untouched, str(path_of("consensus.votebook")), "exec")) not in codes
    )
    name = "consensus.votebook.VoteBook.enter_round: without `del self._beyond[slot]`"
    removed = set(ast.unparse(ast.parse(untouched)).splitlines())
    removed -= set(ast.unparse(all_mutants[name].tree()).splitlines())
    assert {line.strip() for line in removed} == {"del self._beyond[slot]"}


def campaign(*arguments: str) -> str:
    """Run a campaign; return what it says if it says that something is news, else nothing."""
    command = [sys.executable, "-m", "tests.mutants.campaign", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return "" if done.returncode == 0 else done.stdout.partition(" killed\n")[2] or done.stderr


@pytest.mark.ci
def test_a_campaign_tells_what_lives_from_what_is_killed() -> None:
    assert campaign("consensus.forks") == ""


@pytest.mark.long
@pytest.mark.parametrize("module", COVERING)
def test_every_mutant_is_killed_or_it_is_said_why_it_lives(module: str) -> None:
    assert campaign(module) == ""

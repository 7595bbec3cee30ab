"""The root: groups load when used, every verb takes -o, every failure has its exit code."""

import io
import json
import os
import subprocess
import sys
from types import ModuleType

import click
import pytest

from tally import __version__, cli
from tally.exits import (
    AuditFinding,
    Exit,
    KeyTrouble,
    NotCertain,
    NotFound,
    Refused,
    TallyError,
    Unreachable,
    UsageError,
)
from tally.output import emit

FAILURES: dict[str, BaseException] = {
    "not-found": NotFound("no such voucher"),
    "refused": Refused("exhausted"),
    "not-certain": NotCertain("pending"),
    "key": KeyTrouble("locked"),
    "unreachable": Unreachable("nobody answers"),
    "finding": AuditFinding("a root differs"),
    "usage": UsageError("no"),
    "own-code": TallyError("other", Exit.REFUSED),
    "click-usage": click.BadParameter("not so"),
    "interrupt": KeyboardInterrupt(),
    "no-answer": EOFError(),
    "bug": ZeroDivisionError("a fault of ours"),
}


@click.group()
def sample() -> None:
    """Stand for any group."""


@sample.command()
def show() -> None:
    """Emit one document."""
    emit({"amount_fen": 100})


@sample.command()
@click.argument("name")
def fail(name: str) -> None:
    """Fail by name."""
    raise FAILURES[name]


@sample.command()
def ask() -> None:
    """Ask a question."""
    click.prompt("Which")


@pytest.fixture(autouse=True)
def sample_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the sample as a group that is loaded by name."""
    module = ModuleType("sample_commands")
    module.group = sample  # type: ignore[attr-defined]  # a module made by hand
    monkeypatch.setitem(sys.modules, "sample_commands", module)
    monkeypatch.setitem(cli.GROUPS, "sample", cli.Entry("sample_commands:group", "A sample."))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("not-found", 3),
        ("refused", 4),
        ("not-certain", 5),
        ("key", 6),
        ("unreachable", 7),
        ("finding", 8),
        ("usage", 2),
        ("own-code", 4),
        ("click-usage", 2),
        ("interrupt", 130),
        ("no-answer", 2),
        ("bug", 1),
    ],
)
def test_each_failure_has_its_exit_code(name: str, code: int) -> None:
    assert cli.run(["sample", "fail", name]) == code


def test_a_question_that_nobody_answers_is_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.run(["sample", "ask"]) == Exit.USAGE


def test_a_fault_of_ours_shows_its_traceback_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["-o", "json", "sample", "fail", "bug"])
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["kind"] == "internal"
    assert "ZeroDivisionError" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [["-o", "json", "sample", "show"], ["sample", "show", "-o", "json"]],
    ids=["before the noun", "after the verb"],
)
def test_output_may_be_chosen_before_and_after(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"amount_fen": 100}


def test_the_choice_after_the_verb_wins(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["-o", "json", "sample", "show", "-o", "csv"])
    assert capsys.readouterr().out == "amount_fen\n100\n"


def test_a_choice_does_not_outlive_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["sample", "show", "-o", "json"])
    capsys.readouterr()
    cli.run(["sample", "show"])
    assert capsys.readouterr().out == "amount (yuan)  1.00\n"


@pytest.mark.parametrize(
    ("arguments", "locale", "shown"),
    [
        (["--lang", "zh"], "C.UTF-8", "金额（元）  1.00\n"),
        ([], "zh_CN.UTF-8", "金额（元）  1.00\n"),
        (["--lang", "en"], "zh_CN.UTF-8", "amount (yuan)  1.00\n"),
        ([], "de_DE.UTF-8", "amount (yuan)  1.00\n"),
    ],
)
def test_the_language_is_the_asked_one_then_the_locales(
    arguments: list[str],
    locale: str,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert cli.run([*arguments, "sample", "show"]) == 0
    assert capsys.readouterr().out == shown


def test_an_unknown_language_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--lang", "tlh", "sample", "show"]) == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["sample", "nonsense"], ["sample", "show", "--nonsense"], ["-o", "xml"]],
)
def test_wrong_words_exit_2_and_leave_stdout_empty(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tally: ")


def test_wrong_words_are_one_json_document_where_json_was_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["sample", "nonsense", "-o", "json"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["exit"] == 2


def test_help_lists_every_group_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, entry in cli.GROUPS.items():
        assert f"  {name} " in shown
        assert entry.summary.split()[0] in shown


def test_version_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tallystick"] == __version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["completion", shell]) == 0
    assert "_TALLY_COMPLETE" in capsys.readouterr().out


def test_main_leaves_with_the_code() -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["sample", "fail", "key"])
    assert leaving.value.code == Exit.KEY


def test_start_up_imports_no_layer_and_no_server() -> None:
    program = (
        "import sys; from tally.cli import run; run(['--help']);"
        "print(sorted(m for m in sys.modules if m.partition('.')[0] in"
        " {'ledger', 'consensus', 'node', 'wallet', 'api', 'asyncio', 'msgspec', 'fastapi',"
        " 'desk', 'wcwidth'} or m.startswith(('words.acts', 'words.answers', 'words.dates'))),"
        " file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stderr == "[]\n"


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    program = (
        "import sys; from tally import cli; from tally.output import emit\n"
        "@cli.root.command()\n"
        "def flood(): emit([{'n': n} for n in range(200_000)])\n"
        "cli.main(['flood'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == Exit.INTERNAL


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [["version"], ["version", "-o", "json"], ["--help"], ["nonsense", "-o", "json"]],
    ids=["table", "json", "help", "error"],
)
def test_a_full_stdout_exits_1_with_one_line(words: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "tally", *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert finished.returncode == Exit.INTERNAL
    (line,) = finished.stderr.splitlines()
    assert line.startswith("tally: can't write to stdout: No space left")


def test_a_flood_into_a_full_stdout_shows_no_traceback() -> None:
    program = (
        "from tally import cli; from tally.output import emit\n"
        "@cli.root.command()\n"
        "def flood(): emit([{'n': n} for n in range(200_000)])\n"
        "cli.main(['flood'])"
    )
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert finished.returncode == Exit.INTERNAL
    assert len(finished.stderr.splitlines()) == 1


def test_with_stdout_closed_nothing_is_begun() -> None:
    finished = subprocess.run(
        ["sh", "-c", 'exec "$0" -m tally version >&-', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == Exit.INTERNAL
    assert finished.stderr == "tally: stdout is closed; nothing was done\n"


def test_a_letter_that_stdout_cannot_write_is_shown_by_its_number() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tally", "--lang", "zh", "tx", "kinds"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert rb"\u" in finished.stdout
    assert finished.stderr == b""

"""House rules that no other tool holds; each rule is shown to fire.

Determinism first: every replica must compute the same bytes, so below `node` there are no floats,
no clocks, and nothing that depends on the order of a set.
"""

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    *("ledger", "consensus", "engines", "node", "words", "desk", "wallet", "api"),
    *("audit", "localnet", "tally", "trials", "verifier"),
)
SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules"}
TEXT_ENDINGS = {
    *(".py", ".md", ".txt", ".in", ".toml", ".sh", ".json", ".html", ".css", ".js", ".po"),
    *("", ".yml", ".yaml", ".csv", ".go", ".mod", ".sum", ".mjs"),
}

IMPURE_MODULES = {
    *("asyncio", "socket", "time", "random", "os", "logging"),
    # Threads are import-linter's business: the codec alone needs a lock.
    *("secrets", "uuid", "subprocess", "multiprocessing"),
}
CLOCKS = {"now", "utcnow", "today"}
ORDER_DEPENDENT = {"list", "tuple", "enumerate", "iter", "next", "zip", "map", "filter", "reversed"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
MAY_CATCH_EVERYTHING = {"node/__main__.py", "engines/failures.py", "tally/cli.py"}
FORBIDDEN_WORDS = ("TO" + "DO", "FIX" + "ME")
MACHINE_PATH = re.compile(r"(?<![\w.}>~])/(?:work|root|home|Users|opt/wheels)/")
REGISTRY_HOSTS = tuple(
    ".".join(name) for name in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))
)

OLD_WORDS = {
    "redeemers?|providers?": "centre, or data centre",
    "app[_ ]?hash(es)?": "record hash",
    "stop(s|ped|ping)? to validate": "stops validating",
    "laps(e|es|ed|ing)": "expiry, expires",
    "deeds?": "operation summary, act",
    "fault_?proofs?|proofs? of (faults|misbehaviour)": "evidence, evidence of misbehaviour",
}
"""Words that gave way to docs/GLOSSARY.md, and what they gave way to."""
OLD_WORDS_STAND_IN = ("CHANGELOG.md", "docs/GLOSSARY.md", "docs/adr/", "tests/test_tidy.py")
OLD_NAMES = {
    "look": "snapshot, read",
    "looks": "reads",
    "standing": "status",
    "Standing": "progress",
}
"""Names in Python that gave way; as words of a sentence they are plain English."""

Rule = Callable[[ast.AST], Iterator[tuple[int, str]]]
"""Takes a module's tree; yields line and complaint."""


def floats(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No float literal, no `float(…)`, no true division: their results may differ by platform."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex(), lineno=line):
                yield line, "a float literal"
            case ast.Name(id="float", lineno=line):
                yield line, "the type float"
            case ast.BinOp(op=ast.Div(), lineno=line) | ast.AugAssign(op=ast.Div(), lineno=line):
                yield line, "true division"


def set_order(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Nothing walks a set unsorted. Sees set expressions and names bound or declared as sets."""
    scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]
    complaints = set[tuple[int, str]]()
    for scope in scopes:
        names = _names_of_sets(scope)
        for node in ast.walk(scope):
            for walked in _walked(node):
                if _is_set(walked, names):
                    complaints.add((walked.lineno, "walks a set in no fixed order"))
    yield from sorted(complaints)


def _names_of_sets(scope: ast.AST) -> frozenset[str]:
    names = set[str]()
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_set(
                value, frozenset(names)
            ):
                names.add(name)
            case (
                ast.AnnAssign(target=ast.Name(id=name), annotation=kind)
                | ast.arg(arg=name, annotation=ast.expr() as kind)
            ) if re.match(r"(frozenset|set|AbstractSet|Set)\b", ast.unparse(kind)):
                names.add(name)
    return frozenset(names)


def _walked(node: ast.AST) -> list[ast.expr]:
    """Return the expressions that a node walks in their own order."""
    match node:
        case ast.For(iter=walked) | ast.comprehension(iter=walked):
            return [walked]
        case ast.Starred(value=walked):
            return [walked]
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ORDER_DEPENDENT:
            return arguments
        case ast.Call(func=ast.Attribute(attr="join"), args=arguments):
            return arguments
        case ast.Call(func=ast.Attribute(attr="pop", value=walked), args=[]):
            return [walked]
    return []


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Subscript(value=ast.Name(id="set" | "frozenset"))):
            return True
        case ast.Call(func=ast.Attribute(attr=method, value=value)) if method in SET_METHODS:
            return _is_set(value, names)
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub(), left=left, right=right):
            return _is_set(left, names) or _is_set(right, names)
    return False


def identity(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No `hash()` or `id()`: the first is salted per process, the second is an address."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="hash" | "id" as name), lineno=line):
                yield line, f"{name}() differs between processes"


def impurity(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No clock, socket, dice or logger: time and randomness come in as arguments."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names, lineno=line):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0, lineno=line):
                modules = [module]
            case ast.Call(func=ast.Attribute(attr=attribute), lineno=line) if attribute in CLOCKS:
                yield line, f"reads a clock: .{attribute}()"
                continue
            case _:
                continue
        for module in modules:
            if module.partition(".")[0] in IMPURE_MODULES:
                yield line, f"imports {module}"


def broad_except(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Nobody catches everything: a broad handler would swallow a broken invariant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = "everything" if node.type is None else ast.unparse(node.type)
            if re.search(r"\b(everything|Exception|BaseException)\b", caught):
                yield node.lineno, f"catches {caught}"


def empty_asserts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No assertion on a constant: it can't fail."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert(test=ast.Constant(value=value), lineno=line) if value:
                yield line, "asserts a constant"


def prints(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No `print`: results go through tally.output, the rest to a log."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print"), lineno=line):
                yield line, "prints"


def reexports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """An `__init__.py` holds its docstring and perhaps a version: importing it reads nothing."""
    assert isinstance(tree, ast.Module)
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.Assign(targets=[ast.Name(id="__version__")]):
                continue
        yield node.lineno, "an __init__.py with contents"


def wording(text: str) -> Iterator[tuple[int, str]]:
    """No reminder without an owner, no path of one machine, no package registry's address."""
    for number, line in enumerate(text.splitlines(), start=1):
        for word in FORBIDDEN_WORDS:
            if re.search(rf"\b{word}\b", line):
                yield number, f"says {word}"
        if MACHINE_PATH.search(line):
            yield number, "names a path of one machine"
        for host in REGISTRY_HOSTS:
            if host in line:
                yield number, f"names the package registry {host}"


def old_words(text: str) -> Iterator[tuple[int, str]]:
    """No word that gave way to another: two words for one idea are looked up twice."""
    patterns = [
        (re.compile(rf"(?<![A-Za-z0-9])({old})(?![A-Za-z0-9])", re.IGNORECASE), new)
        for old, new in OLD_WORDS.items()
    ]
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, new in patterns:
            for found in pattern.finditer(line):
                yield number, f"says {found.group()}, now {new}"


def old_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No name in code that gave way to another."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=name, lineno=line)
                | ast.Attribute(attr=name, lineno=line)
                | ast.arg(arg=name, lineno=line)
                | ast.FunctionDef(name=name, lineno=line)
                | ast.AsyncFunctionDef(name=name, lineno=line)
                | ast.ClassDef(name=name, lineno=line)
            ) if name.lstrip("_") in OLD_NAMES:
                yield line, f"is named {name}, now {OLD_NAMES[name.lstrip('_')]}"


def _is_deterministic(path: str) -> bool:
    return path.startswith(("ledger/", "consensus/"))


def _is_pure(path: str) -> bool:
    return _is_deterministic(path) and not path.startswith("ledger/store/")


def _is_package(path: str) -> bool:
    return path.startswith(tuple(f"{package}/" for package in PACKAGES))


RULES: dict[str, tuple[Rule, Callable[[str], bool]]] = {
    # The store joins paths with `/`, so it is left out of floats and impurity.
    "floats": (floats, _is_pure),
    "set order": (set_order, _is_deterministic),
    "identity": (identity, _is_deterministic),
    "impurity": (impurity, _is_pure),
    "broad except": (broad_except, lambda path: path not in MAY_CATCH_EVERYTHING),
    "empty asserts": (empty_asserts, lambda path: True),
    "prints": (
        prints,
        lambda path: (
            _is_package(path)
            and "/commands/" not in path
            and not path.startswith("tally/")
            and not path.endswith("/__main__.py")  # tells its parent on stdout that it is ready
        ),
    ),
    "reexports": (reexports, lambda path: path.endswith("__init__.py")),
    "old names": (old_names, lambda path: True),
}
"""Each rule with the files it holds for, by path relative to the root."""


def files() -> Iterator[Path]:
    """Yield the project's text files; of hidden places only `.ci/` and `.gitignore`."""
    for top in sorted(ROOT.iterdir()):
        if top.name.startswith(".") and top.name not in {".ci", ".gitignore"}:
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            is_skipped = SKIPPED_FOLDERS.intersection(path.relative_to(ROOT).parts)
            if path.is_file() and path.suffix in TEXT_ENDINGS and not is_skipped:
                yield path


@functools.cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Return every Python file: its path relative to the root, and its tree."""
    return tuple(
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in files()
        if path.suffix == ".py"
    )


@pytest.mark.parametrize("name", RULES)
def test_the_house_keeps_the_rule(name: str) -> None:
    rule, holds_for = RULES[name]
    read = [(path, tree) for path, tree in sources() if holds_for(path)]
    complaints = [f"{path}:{line}: {what}" for path, tree in read for line, what in rule(tree)]
    print(f"{name}: {len(read)} files read")
    assert read, "a rule that reads nothing holds nothing"
    assert complaints == []


def test_no_file_names_a_registry_a_machine_or_an_unowned_task() -> None:
    read = 0
    complaints = []
    for path in files():
        read += 1
        for line, what in wording(path.read_text(encoding="utf-8")):
            complaints.append(f"{path.relative_to(ROOT)}:{line}: {what}")
    print(f"wording: {read} files read")
    assert read > len(PACKAGES)
    assert complaints == []


def test_no_file_says_a_word_that_gave_way() -> None:
    read, complaints = 0, []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(OLD_WORDS_STAND_IN):
            read += 1
            found = old_words(path.read_text(encoding="utf-8"))
            complaints += [f"{name}:{line}: {what}" for line, what in found]
    assert read > len(PACKAGES)
    assert complaints == []


@pytest.mark.parametrize(
    "line",
    [
        "the redeemer",
        'payee = "provider"',
        "head.app_hash",
        "its app hash",
        "a key that stopped to validate",
        "def apply_lapses():",
        "RESERVE_LAPSED",
        "row.deed.act",
        "a proof of misbehaviour",
    ],
)
def test_the_rule_of_old_words_fires_on(line: str) -> None:
    assert len(list(old_words(f"fine\n{line}\n"))) == 1


def test_the_rule_of_old_words_leaves_alone() -> None:
    assert list(old_words("elapsed_s\ncollapsed\nindeed\n8deed1\n-p no:cacheprovider\n")) == []


def test_no_line_of_the_architecture_is_longer_than_100_characters() -> None:
    lines = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 100] == []


FIRES = [
    (floats, "x = 0.5"),
    (floats, "x = 1 / 2"),
    (floats, "x /= 2"),
    (floats, "x = float(y)"),
    (set_order, "for x in {1, 2}: pass"),
    (set_order, "[x for x in set(y)]"),
    (set_order, "list(frozenset(y))"),
    (set_order, "names = {1} | z\nfor n in names: pass"),
    (set_order, "def f(names: frozenset[str]):\n    return tuple(names)"),
    (set_order, "names = set[str]()\nfirst = names.pop()"),
    (set_order, "''.join({a, b})"),
    (set_order, "x = [*set(y)]"),
    (identity, "hash(x)"),
    (identity, "id(x)"),
    (impurity, "import time"),
    (impurity, "import os.path as p"),
    (impurity, "from random import choice"),
    (impurity, "d = date.today()"),
    (broad_except, "try: f()\nexcept Exception: pass"),
    (broad_except, "try: f()\nexcept (KeyError, BaseException): pass"),
    (broad_except, "try: f()\nexcept: pass"),
    (empty_asserts, "assert True"),
    (empty_asserts, "assert 'always'"),
    (prints, "print(1)"),
    (reexports, "from x import y"),
    (reexports, "'''Doc.'''\n__all__ = ['y']"),
    (old_names, "look = reader.begin()"),
    (old_names, "def f(standing): pass"),
    (old_names, "self._look()"),
    (old_names, "class Standing: pass"),
]

RESTS = [
    (floats, "x = 1 // 2"),
    (set_order, "for x in sorted({1, 2}): pass"),
    (set_order, "n = len(set(y)); found = x in {1, 2}"),
    (set_order, "for x in {1: 2}: pass"),
    (identity, "x.hash()"),
    (impurity, "from ledger.rules import calendar"),
    (broad_except, "try: f()\nexcept KeyError: pass"),
    (empty_asserts, "assert x is True"),
    (prints, "emit(1)"),
    (reexports, "'''Doc.'''\n__version__ = '1'"),
    (old_names, "looked_up = outstanding(claim)"),
]


@pytest.mark.parametrize(("rule", "source"), FIRES)
def test_the_rule_fires_on(rule: Rule, source: str) -> None:
    assert len(list(rule(ast.parse(source)))) == 1


@pytest.mark.parametrize(("rule", "source"), RESTS)
def test_the_rule_leaves_alone(rule: Rule, source: str) -> None:
    assert list(rule(ast.parse(source))) == []


def test_every_rule_is_shown_to_fire() -> None:
    shown = {rule for rule, _ in FIRES}
    assert shown == {rule for rule, _ in RULES.values()}


@pytest.mark.parametrize(
    "line",
    [
        f"# {FORBIDDEN_WORDS[0]}: later",
        f"# {FORBIDDEN_WORDS[1]}",
        "see /" + "home/alice/x",
        "PATH=/" + "root/bin",
        f"https://{REGISTRY_HOSTS[0]}/simple",
    ],
)
def test_the_wording_rule_fires_on(line: str) -> None:
    assert len(list(wording(f"fine\n{line}\n"))) == 1


def test_the_wording_rule_leaves_routes_and_relative_paths_alone() -> None:
    assert list(wording("GET /v1/vouchers\nscripts/homework/root.py\n~/home/x\n")) == []


def locked(name: str) -> dict[str, str]:
    """Return the pins of a lock file; every one of them carries hashes."""
    pins = {}
    for entry in (ROOT / name).read_text().replace("\\\n", " ").splitlines():
        package, _, rest = entry.partition("==")
        version, *hashes = rest.split()
        assert hashes, f"{package} is not locked to its bytes"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes), package
        pins[package] = version
    return pins


def wanted(name: str) -> set[str]:
    """Return the packages that a requirements file asks for, as a lock file spells them."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    names = [re.split(r"[<>=!;\[ ]", line)[0] for line in lines if line and line[0] != "-"]
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_the_locks_hold_all_that_is_asked_for_and_agree() -> None:
    runtime, test = locked("requirements.txt"), locked("requirements-test.txt")
    extra = locked("requirements-parquet.txt")
    assert wanted("requirements.in") <= runtime.keys()
    assert wanted("requirements-parquet.in") <= extra.keys() <= test.keys()
    assert wanted("requirements-test.in") <= test.keys()
    for asked in (runtime, extra):
        assert all(asked[name] == test[name] for name in asked.keys() & test.keys())

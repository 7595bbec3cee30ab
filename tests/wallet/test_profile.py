"""Profiles: the wallet knows which network it speaks to, whatever its folder holds."""

from pathlib import Path
from typing import Any

import pytest

from tally.exits import NotFound, UsageError
from wallet.profile import (
    NODES_MAX,
    NodeAddress,
    Profile,
    config_folder,
    default_name,
    keys_folder,
    list_profiles,
    load_profile,
    save_profile,
    use_profile,
)


def profile(name: str = "one", **changes: Any) -> Profile:
    """Return a profile of a network for trying things out."""
    values: dict[str, Any] = {
        "name": name,
        "network": "dev-test",
        "log_id": "ab" * 32,
        "nodes": (NodeAddress(name="a", url="http://127.0.0.1:1"),),
        "dev_seed": None,
    }
    return Profile(**(values | changes))


def test_what_is_saved_is_loaded() -> None:
    save_profile(profile(), make_default=True)
    assert load_profile() == load_profile("one") == profile()


def test_a_profile_is_replaced_by_a_newer_one() -> None:
    save_profile(profile())
    save_profile(profile(log_id="cd" * 32))
    assert load_profile("one").log_id == "cd" * 32
    assert len(list_profiles()) == 1


def test_the_option_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("one", "two", "three"):
        save_profile(profile(name), make_default=name == "one")
    monkeypatch.setenv("TALLY_PROFILE", "two")
    assert load_profile("three").name == "three"
    assert load_profile().name == "two"
    monkeypatch.delenv("TALLY_PROFILE")
    assert load_profile().name == "one"


def test_without_a_profile_the_sentence_says_how_to_get_one() -> None:
    with pytest.raises(NotFound, match="tally network up"):
        load_profile()


def test_only_a_known_profile_becomes_the_default() -> None:
    save_profile(profile("one"), make_default=True)
    with pytest.raises(NotFound, match="there is no profile two"):
        use_profile("two")
    assert default_name() == "one"


@pytest.mark.parametrize("name", ["../one", "", ".one", "a/b", "A", "x" * 65])
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(UsageError, match="is not a profile name"):
        save_profile(profile(name))
    with pytest.raises(UsageError, match="is not a network name"):
        keys_folder(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"log_id": "ab"},
        {"log_id": "AB" * 32},
        {"nodes": ()},
        {"nodes": (NodeAddress(name="a", url="ftp://host"),)},
        {"nodes": (NodeAddress(name="a", url="http://host"),) * (NODES_MAX + 1)},
        {"network": "a/b"},
    ],
    ids=["short id", "upper-case id", "no node", "no http", "too many nodes", "a path"],
)
def test_a_profile_that_cannot_be_is_not_saved(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        save_profile(profile(**changes))
    assert list_profiles() == ()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"name": 1}', "\xff", '{"name": "one", "colour": "red"}']
)
def test_a_damaged_file_is_named(text: str) -> None:
    path = save_profile(profile())
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"one\.json is not a profile"):
        load_profile("one")


def test_a_relative_configuration_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config_folder() == Path.home() / ".config" / "tallystick"


def test_the_dev_seed_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_text("0a" * 32 + "\n")
    assert profile(dev_seed=str(path)).master() == b"\x0a" * 32


def test_a_real_network_has_no_dev_seed(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_text("0a" * 32)
    assert profile(network="east-china", dev_seed=str(path)).master() is None


@pytest.mark.parametrize("content", [None, "not hex"])
def test_a_dev_seed_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "seed"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NotFound, match="dev seed"):
        profile(dev_seed=str(path)).master()


def test_a_pointer_that_names_no_profile_is_an_error_with_a_way_out() -> None:
    save_profile(profile(), make_default=True)
    (config_folder() / "default-profile").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="tally profile use"):
        load_profile()
    use_profile("one")
    assert load_profile() == profile()

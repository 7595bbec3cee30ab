"""A watch follows the validators as a wallet does: by what the log itself proves of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.watch import Code, Watch
from audit.web import Web
from ledger.encoding.policy import Group, Policy
from tests.audit.stories import Server, serving
from tests.wallet.fake_node import FakeNode, Reply
from tests.wallet.terminal import Tally
from wallet.client import NodeClient
from wallet.profile import Profile
from wallet.verified import DishonestServer, Verifier, following


@pytest.fixture
def web() -> Iterator[Web]:
    """Return a client."""
    made = Web()
    yield made
    made.close()


def present(profile: Profile, node: FakeNode) -> Policy:
    """Return the policy of the validators."""
    return Verifier(profile, NodeClient(node.url)).policy


def asked(node: FakeNode, path: str) -> bytes:
    """Return what the node answers."""
    return node.answer("GET", path, b"").body


def earlier(policy: Policy) -> Policy:
    """Return a policy that lacks one of the cosigners and is content with the two others."""
    known = tuple(one for one in policy.witnesses if one.name != "shanghai")
    group = Group(name="g", threshold=2, members=tuple(one.name for one in known))
    return Policy(logs=policy.logs, witnesses=known, groups=(group,), quorum="g")


def test_the_policy_of_new_validators_is_followed_and_outlives_a_restart(
    minted: Tally, node: FakeNode, profile: Profile, web: Web, tmp_path: Path
) -> None:
    new = present(profile, node)
    old = earlier(new)
    silent = Server([], replies={"/log/checkpoint": lambda: (200, asked(node, "/log/checkpoint"))})
    with serving(silent):
        watching = Watch([silent.url, node.url], [old], tmp_path / "state", web)
        statuses, _ = watching.round()
    assert [one.code for one in statuses] == [Code.OK, Code.OK]
    assert watching.policies == (old, new), "a node that proves nothing keeps nobody from asking"
    again = Watch([node.url], [old], tmp_path / "state", web)
    assert again.policies == (old, new)
    node.prover.cosigners = ("guian-hub", "guiyang", "shanghai")
    assert again.round()[0][0].code is Code.OK
    assert again.policies == (old, new)


def test_a_policy_that_is_not_proven_is_not_followed(
    minted: Tally, node: FakeNode, profile: Profile, web: Web, tmp_path: Path
) -> None:
    old = earlier(present(profile, node))
    node.replies["/v1/proofs/validators/all"] = Reply(200, b"{}")
    watching = Watch([node.url], [old], tmp_path / "state", web)
    assert watching.round()[0][0].code is Code.OK
    assert watching.policies == (old,)
    with pytest.raises(DishonestServer, match="malformed"):
        following(old, NodeClient(node.url))

"""A wallet with a folder of its own, a clock that stands at block time, and a node to talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import NOON_MS
from tests.wallet.fake_node import MASTER, NETWORK, FakeNode, serving
from tests.wallet.terminal import BUDGET, FACTS, MINT, PROGRAMME, Tally, enrol
from wallet import client, signing
from wallet.profile import NodeAddress, Profile, save_profile


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep profiles and keys of the machine out of the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TALLY_PROFILE", raising=False)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """Serve a node whose block time is the wallet's time."""
    monkeypatch.setattr(signing, "now_ms", lambda: NOON_MS)
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    with serving(FakeNode()) as served:
        yield served


@pytest.fixture
def profile(node: FakeNode, tmp_path: Path) -> Profile:
    """Save the node's network as the default profile, with the seed of all its keys."""
    dev_seed = tmp_path / "dev-seed"
    dev_seed.write_text(MASTER.hex())
    made = Profile(
        name="test",
        network=NETWORK,
        log_id=node.log_id.hex(),
        nodes=(NodeAddress(name="shanghai", url=node.url),),
        dev_seed=str(dev_seed),
    )
    save_profile(made, make_default=True)
    return made


@pytest.fixture
def tally(capsys: pytest.CaptureFixture[str], profile: Profile) -> Tally:
    """Return a terminal on a ledger without programmes."""
    return Tally(capsys)


@pytest.fixture
def funded(tally: Tally) -> Tally:
    """Return a terminal on a ledger with a funded programme, a firm, a centre, a recognition."""
    tally.must("programme", "publish", PROGRAMME, "--facts", FACTS, *BUDGET)
    tally.must("programme", "appropriate", PROGRAMME, "5,000,000", *BUDGET)
    enrol(tally, "firm-a")
    tally.must(
        *("centre", "accredit", "guian-hub", "--host", "guiyang", "--ownership", "public"),
        *("--pue-milli", "1200", "--device", "ascend-910b:domestic:2000:9:400"),
        *("--device", "nvidia-a100:foreign:2000:13.5:400"),
        *("--key", "guiyang/officer-1", "--key", "guiyang/officer-2"),
    )
    tally.must(
        *("centre", "recognise", "--issuer", "shanghai", "--programme", PROGRAMME),
        *("--host", "guiyang", *BUDGET),
    )
    return tally


@pytest.fixture
def minted(funded: Tally) -> Tally:
    """Return a terminal on a ledger with a voucher of a million yuan."""
    funded.must("voucher", "mint", PROGRAMME, "--row", "firm-a=1,000,000@17", *MINT)
    return funded

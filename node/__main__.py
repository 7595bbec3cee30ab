"""``python -m node --config FILE``: one node process, until SIGTERM or SIGINT."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

from engines.seam import EngineStopped
from ledger.execute import RulesUnknown
from ledger.genesis import GenesisInvalid
from ledger.store.lmdb_store import StoreDamaged, StoreFull
from node.build import start_node
from node.config import ConfigInvalid, load_config
from node.lock import FolderInUse, held
from node.runtime import Node
from node.scrub import StoreRotten

COLLECT_AFTER = 50_000
"""Allocations between two garbage collections: almost nothing here has cycles."""
SWITCH_INTERVAL_S = 0.001
"""The loop must get its turn soon while the host thread executes a block."""
EXPECTED = (
    *(ConfigInvalid, FolderInUse, GenesisInvalid, EngineStopped),
    *(StoreDamaged, StoreFull, StoreRotten, RulesUnknown),
)
"""What a sentence is enough for: it says what to do."""
_LOGGER = logging.getLogger("node")


async def run(config: Path) -> None:
    """Run a node until it is told to stop; raise whatever stops it otherwise."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the start reads the file anyway
    broken: list[str] = []

    def stop_on_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        loop.default_exception_handler(context)
        broken.append(str(context.get("exception") or context["message"]))
        stop.set()

    loop.set_exception_handler(stop_on_error)
    try:
        loaded = load_config(config)
    except OSError as error:
        raise ConfigInvalid(f"{config} cannot be read: {error.strerror}") from None
    with held(loaded.lock):
        node = await start_node(loaded)
        loop.add_signal_handler(signal.SIGHUP, read_again, config, node)
        print("ready", flush=True)
        node.finished.add_done_callback(lambda _: stop.set())
        await stop.wait()
        await node.stop()
    if broken:
        raise RuntimeError(f"a callback of the event loop failed: {broken[0]}")


def read_again(config: Path, node: Node) -> None:
    """Take the configuration anew; one that cannot be used changes nothing."""
    try:
        node.reconfigure(load_config(config))
    except (ConfigInvalid, OSError) as error:
        _LOGGER.error("the configuration in force stays: %s", error)


def main() -> int:
    """Return the process's exit status."""
    assert __debug__, "never run with -O: assertions guard the ledger"
    parser = argparse.ArgumentParser(prog="python -m node", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    try:
        asyncio.run(run(arguments.config))
    except EXPECTED as error:
        _LOGGER.critical("the node stops: %s", error)
        return 1
    except Exception:
        # The one broad handler: whatever broke, the node stops, and says so.
        _LOGGER.critical("the node stops", exc_info=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

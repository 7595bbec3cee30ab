"""Keys of networks for trying things out: all derived from one seed, and refused elsewhere."""

from ledger.encoding.crypto import tagged_hash

DEV_PREFIX = "dev-"


def is_dev(network: str) -> bool:
    """Return whether a network's name says that its keys protect nothing."""
    return network.startswith(DEV_PREFIX)


def derive(network: str, master: bytes, *names: str) -> bytes:
    """Return the 32-byte key seed of a name such as ("shanghai", "officer-1").

    Raises ValueError on a network that is not for trying things out.
    """
    if not is_dev(network):
        raise ValueError(f"derived keys work only on networks named {DEV_PREFIX}…, not {network}")
    return tagged_hash("tallystick/dev-key/v1", master, *(name.encode() for name in names))


def tag_key_of(network: str, master: bytes) -> bytes:
    """Return the key of epoch 1 for tags (Z6); raise ValueError as ``derive``."""
    return derive(network, master, "tag-key")

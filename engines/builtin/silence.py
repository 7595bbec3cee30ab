"""When a key whose record was lost may sign again (spec N10). Pure: no I/O, no clock."""

from collections.abc import Mapping


class Silence:
    """Listens to where others are until nothing that the key may have signed can matter."""

    def __init__(self) -> None:
        self._heights: dict[str, int] = {}

    def heard(self, party: str, height: int) -> None:
        """Note the height that a peer says it is deciding now."""
        self._heights[party] = max(height, self._heights.get(party, 0))

    def may_have_signed(self, own: str, height: int, powers: Mapping[str, int]) -> int | None:
        """Return the largest height at which the key may have signed, or None if that is unknown.

        ``height`` is the one this node decides, ``powers`` are those of its validators by party.
        """
        others = {party: power for party, power in powers.items() if party != own}
        level = [party for party in others if self._heights.get(party, height + 1) <= height]
        power, total = sum(others[party] for party in level), sum(powers.values())
        # All others are enough if the liars among them cannot make a quorum with this key.
        is_small = 3 * powers.get(own, 0) <= total or len(others) == 1
        if not others or not (3 * power > 2 * total or (is_small and len(level) == len(others))):
            return None
        # Had the key signed at height + 2, a quorum would have decided height + 1, and one of
        # those correct validators would have said so.
        return height + 1

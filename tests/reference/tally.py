"""A naive twin of the vouchers' arithmetic: plain dictionaries, nothing of the ledger's rules.

It knows one programme that one city pays, mints, transfers, redemptions within the automatic
band, and expiry. What it says must be what the ledger says.
"""

from dataclasses import dataclass, field

DAY_MS = 86_400_000
EIGHT_HOURS_MS = 8 * 3_600_000


@dataclass
class Slip:
    """A voucher."""

    holder: str
    available: int
    expires_at_ms: int
    redeemed: int = 0
    expired: int = 0


@dataclass
class Tally:
    """Who has what; every act says whether it held."""

    appropriated: int
    validity_days: int
    rate_percent: int
    slips: dict[int, Slip] = field(default_factory=dict)
    bills: list[str] = field(default_factory=list)
    owed: dict[str, int] = field(default_factory=dict)
    minted: int = 0
    returned: int = 0

    def lapse(self, now_ms: int) -> None:
        """Let go what is past its last day."""
        for slip in self.slips.values():
            if slip.expires_at_ms <= now_ms:
                slip.expired += slip.available
                self.returned += slip.available
                slip.available = 0

    def mint(self, holder: str, amount: int, now_ms: int) -> bool:
        """Grant a voucher if the money is there."""
        if self.minted - self.returned + amount > self.appropriated:
            return False
        self.minted += amount
        day = (now_ms + EIGHT_HOURS_MS) // DAY_MS
        expires_at_ms = (day + self.validity_days + 1) * DAY_MS - EIGHT_HOURS_MS
        self.slips[len(self.slips) + 1] = Slip(holder, amount, expires_at_ms)
        return True

    def _usable(self, serial: int, holder: str, amount: int, now_ms: int) -> Slip | None:
        slip = self.slips.get(serial)
        if slip is None or slip.holder != holder:
            return None
        return slip if now_ms < slip.expires_at_ms and amount <= slip.available else None

    def transfer(self, serial: int, holder: str, to: str, amount: int, now_ms: int) -> bool:
        """Cut a new slip off an old one."""
        slip = self._usable(serial, holder, amount, now_ms)
        if slip is None or holder == to:
            return False
        slip.available -= amount
        self.slips[len(self.slips) + 1] = Slip(to, amount, slip.expires_at_ms)
        return True

    def redeem(
        self, serial: int, holder: str, centre: str, amount: int, bill: str, net: int, now_ms: int
    ) -> bool:
        """Burn part of a slip against a bill."""
        slip = self._usable(serial, holder, amount, now_ms)
        if slip is None or bill in self.bills or amount * 100 > net * self.rate_percent:
            return False
        slip.available -= amount
        slip.redeemed += amount
        self.bills.append(bill)
        self.owed[centre] = self.owed.get(centre, 0) + amount
        return True

    def balances(self) -> dict[str, int]:
        """Return what every holder can still spend."""
        found: dict[str, int] = {}
        for slip in self.slips.values():
            found[slip.holder] = found.get(slip.holder, 0) + slip.available
        return found

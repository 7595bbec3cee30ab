"""Who validates and who may link, as the ledger and the operator say; on the host thread (P6)."""

import logging
from collections.abc import Callable

from engines.builtin.p2p.roster import Registered, Roster, allowed_peers, misnamed
from engines.seam import EngineStopped, Neighbours
from ledger.ledger import Ledger

_LOGGER = logging.getLogger(__name__)


class WrongParty(EngineStopped):
    """The ledger has this node's consensus key as another party's."""


class Membership:
    """Makes the roster anew when the validators or the configuration changed."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        named: Neighbours,
        own_key: bytes,
        link_key: bytes,
        publish: Callable[[Roster], None],
    ) -> None:
        self._ledger = ledger
        self._named = named
        self._own_key = own_key
        self._link_key = link_key
        self._publish = publish
        self._sets = self._acting_sets()

    def take(self, named: Neighbours) -> None:
        """Take what the operator says now."""
        self._named = named
        self.update()

    def committed(self) -> None:
        """Look whether the last block changed who validates."""
        if self._acting_sets() != self._sets:
            self.update()

    def update(self) -> None:
        """Publish who validates and who may link; raise WrongParty."""
        self._sets = self._acting_sets()
        ledger, named, height = self._ledger, self._named, self._ledger.last().height + 1
        now, later = ledger.validators(height), ledger.validators(height + 1)
        owner = ledger.validator_key_owner(self._own_key)
        if owner is not None and owner != named.party:
            raise WrongParty(
                f"party: the ledger has this node's consensus key as {owner}'s, not {named.party}'s"
            )
        stated = [peer.link_key for peer in named.peers if peer.link_key]
        stated += [observer.link_key for observer in named.observers]
        registered = Registered(
            validators=tuple(
                (validator.party, validator.keys.link)
                for validator in (*now.validators, *later.validators)
            ),
            seen=tuple(key for key in stated if ledger.validator_key_owner(key) is not None),
        )
        for observer in misnamed(named, registered):
            _LOGGER.warning(
                "[[observers]] %s is not let in: a validator has this name and another link key",
                observer.name,
            )
        self._publish(
            Roster(
                height=height,
                powers=tuple((acting.party, acting.keys.power) for acting in now.validators),
                validates=any(acting.keys.consensus == self._own_key for acting in now.validators),
                peers=allowed_peers(named, registered, self._link_key),
            )
        )

    def _acting_sets(self) -> tuple[int, int]:
        """Return from which heights the sets of this height and the next one act."""
        height = self._ledger.last().height + 1
        return (
            self._ledger.validators(height).from_height,
            self._ledger.validators(height + 1).from_height,
        )

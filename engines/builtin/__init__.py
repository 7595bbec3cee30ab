"""The built-in engine: Tendermint over a full mesh of links, for some tens of validators."""

"""Proofs with one thing in them changed, as a dishonest server might."""

import copy
import random
from typing import Any

Answer = dict[str, Any]
"""What ``/v1/proofs/`` says."""

KINDS = ("value", "sequence", "siblings", "leaf", "no_leaf", "receipt", "lack", "more", "order")


def mutated(proof: Answer, dice: random.Random) -> Answer:
    """Return a proof with one thing in it changed."""
    made = copy.deepcopy(proof)
    siblings = made["siblings"]
    match dice.choice(KINDS):
        case "value" if made["value"] is not None:
            made["value"] = flipped(made["value"], dice)
        case "sequence" if made["value"] is not None:
            made["value"] = flipped(made["value"][:16], dice) + made["value"][16:]
        case "siblings" if siblings:
            at = dice.randrange(len(siblings))
            siblings[at] = flipped(siblings[at], dice)
        case "leaf" if made["leaf"] is not None:
            made["leaf"]["value_hash"] = flipped(made["leaf"]["value_hash"], dice)
        case "no_leaf" if made["leaf"] is not None:
            made["leaf"] = None
        case "lack" if siblings:
            del siblings[dice.randrange(len(siblings))]
        case "more":
            siblings.insert(dice.randrange(len(siblings) + 1), dice.randbytes(32).hex())
        case "order" if len(siblings) > 1:
            siblings.append(siblings.pop(0))
        case _:
            text = made["receipt"]
            at = dice.randrange(text.index("index"), len(text))
            others = "AZaz09+/= \n".replace(text[at], "")
            made["receipt"] = text[:at] + dice.choice(others) + text[at + 1 :]
    return made


def flipped(text: str, dice: random.Random) -> str:
    """Return hex with one bit changed."""
    data = bytearray.fromhex(text)
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data.hex()

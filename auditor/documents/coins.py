"""Coins: independent fair ones by the name of a unit, from a secret seed that a hash commits to before training."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ..version import __version__
from .files import document, for_owner, read_document, to_text

__all__ = ["Coins", "coin", "commitment", "new_coins", "of_group", "of_text", "read_coins", "write_coins"]

COINS_VERSION = "1.0"
COINS = "coins.json"

_SEED = re.compile(r"[0-9a-f]{64}")


@document
class Coins:
    """The seed of all coins of a split or of a set of canaries; secret until the audit."""

    kind: Literal["coins"] = "coins"
    """Kind of the document."""
    schema_version: str = COINS_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    seed: str
    """Seed of the coins: 256 random bits as hexadecimal digits."""

    def contradictions(self) -> Iterator[str]:
        """Say that the seed is none."""
        if not _SEED.fullmatch(self.seed):
            yield "its seed is not 64 hexadecimal digits"


def new_coins() -> Coins:
    """Draw a seed from the operating system's randomness; no `--seed` can bring it back."""
    return Coins(auditor_version=__version__, seed=secrets.token_hex(32))


def commitment(seed: str) -> str:
    """Return the SHA-256 that commits to a seed and tells nothing of it, as hexadecimal digits.

    Examples
    --------
    >>> commitment("00" * 32)[:16]
    '3df95085e7852539'
    """
    return hashlib.sha256(b"auditor coins " + bytes.fromhex(seed)).hexdigest()


def coin(seed: str, unit: str) -> bool:
    """Throw the coin of a unit: True is in. It depends on the seed and the unit's name alone.

    The coin is a bit of HMAC-SHA256 under the seed: whoever does not know the seed cannot tell it from a fair coin that
    is independent of all others.
    """
    return bool(hmac.new(bytes.fromhex(seed), unit.encode(), hashlib.sha256).digest()[0] & 1)


def of_text(sha256: str) -> str:
    """Name the unit that is one text, by the plain hash of it."""
    return f"text:{sha256}"


def of_group(group: str) -> str:
    """Name the unit that is all texts of a group."""
    return f"group:{group}"


def write_coins(coins: Coins, path: Path) -> None:
    """Write the secret for its owner alone; what is there is replaced, and a link is not followed.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", opener=for_owner) as file:
        file.write(to_text(coins))


def read_coins(path: Path) -> Coins:
    """Read a secret seed: the file, or its folder.

    Raises
    ------
    ResultError
        If it is none.
    """
    file = path / COINS if path.is_dir() else path
    return read_document(file, Coins, version=COINS_VERSION, what="file of coins (`auditor split --coins`)")

"""A salt: a secret that keys the hashes of texts, so that whoever reads a document cannot try out texts on them."""

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from .result import AuditResult, SideData

__all__ = ["Salt", "read_salt"]

LEAST_BYTES, MOST_BYTES = 16, 2**16


class Salt:
    """The key of hashes in documents.

    Parameters
    ----------
    key : bytes
        The secret.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def name(self) -> str:
        """What tells this salt from others, and says nothing of it: 16 hexadecimal digits."""
        return self.keyed("auditor salt")[:16]

    def keyed(self, sha256: str) -> str:
        """Return the HMAC-SHA256 of a plain hash, as hexadecimal digits."""
        return hmac.new(self._key, sha256.encode(), hashlib.sha256).hexdigest()

    def result(self, result: AuditResult) -> AuditResult:
        """Key every hash of texts in a result."""
        memorization = result.memorization
        if memorization is not None:
            samples = (replace(one, text_sha256=self.keyed(one.text_sha256)) for one in memorization.top_samples)
            memorization = replace(memorization, top_samples=tuple(samples))
        members, non_members = result.data.members, result.data.non_members
        return replace(
            result,
            provenance=replace(result.provenance, salt=self.name),
            data=replace(
                result.data,
                members=self._side(members),
                non_members=None if non_members is None else self._side(non_members),
            ),
            memorization=memorization,
        )

    def _side(self, side: SideData) -> SideData:
        return replace(side, sha256=self.keyed(side.sha256))


def read_salt(path: str | Path | None) -> Salt | None:
    """Read the file of a salt; None if none is named.

    Raises
    ------
    ConfigError
        If it cannot be read, or is too short to be a secret.
    """
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            key = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the salt {path}: {error.strerror}") from error
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ConfigError(
            f"the salt {path} is no secret of {LEAST_BYTES} to {MOST_BYTES:,} bytes; make one with "
            "`head -c 32 /dev/urandom > FILE`"
        )
    return Salt(key)

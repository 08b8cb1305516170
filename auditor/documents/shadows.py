"""Shadow models as documents: how each was trained, and which texts it saw.

``auditor shadows`` writes them, an audit reads them. Texts are named by their hashes only: no text and no id is
kept. The order of the fields is the file format.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, ResultError
from .files import document, read_document

__all__ = [
    "MANIFEST",
    "NO_GAP",
    "SHADOW",
    "Shadow",
    "ShadowManifest",
    "ShadowRun",
    "ShadowSet",
    "ShadowSettings",
    "load_shadows",
    "pack_seen",
    "read_shadow",
    "unpack_seen",
]

MANIFEST, SHADOW = "manifest.json", "shadow.json"
VERSION = "1.2"

NO_GAP = 0.01
"""Share of the bits of unseen texts that seen ones must cost less, or the shadows have memorised next to nothing."""

_FOLDER = re.compile(r"shadow-[0-9]{2,6}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@document
class ShadowSettings:
    """All that decides the weights of a shadow besides its number: shadows of one set agree in it."""

    start: Literal["scratch", "full", "lora"]
    """New weights; a base of which all weights are trained; a base with a LoRA adapter."""
    architecture: str
    """Class of the model."""
    config_sha256: str
    """SHA-256 of the configuration that the shadows have, the target's or the base's."""
    tokenizer_sha256: str
    """SHA-256 of the tokenizer that the shadows have, the target's or the base's."""
    base_sha256: str | None
    """Fingerprint of the base's weights; null if shadows start from new weights."""
    lora_rank: int | None
    """Rank of the LoRA adapter; null without one."""
    prefix_ids: tuple[int, ...]
    """Tokens before every text, as in an audit."""
    window: int | None
    """Most tokens of a text that are read, the rest being cut; null without a limit."""
    epochs: float | None
    """Passes over a half; null if the number of steps was given."""
    steps: int | None
    """Number of training steps; null if epochs were given."""
    batch_size: int
    """Number of texts of a training step."""
    learning_rate: float
    """Largest learning rate of the training."""
    seed: int
    """Seed of the halves, and with a shadow's number of its weights and its order."""
    data_sha256: str
    """SHA-256 of texts, their copies, and which of them belong together."""
    score: str = "all"
    """Which tokens the shadows were trained on: all, or those of the completion."""
    chat_template_sha256: str | None = None
    """SHA-256 of the chat template on the conversations; null for plain texts."""

    def differences(self, other: "ShadowSettings") -> list[str]:
        """Name what differs in another one: ``learning-rate (0.01 there, 0.001 now)``, this being there."""
        found = []
        for name in (field.name for field in fields(self)):
            there, now = getattr(self, name), getattr(other, name)
            if there != now:
                found.append(_HASHED.get(name) or f"{name.replace('_', '-')} ({there} there, {now} now)")
        return found


_HASHED = {
    "config_sha256": "the model's configuration",
    "tokenizer_sha256": "the tokenizer",
    "base_sha256": "the weights of the base",
    "data_sha256": "the texts or their groups",
    "chat_template_sha256": "the chat template",
}


@document
class ShadowRun:
    """One shadow model, trained on one half."""

    folder: str
    """Name of its folder beside the manifest: a model, or a PEFT adapter."""
    weights_sha256: str
    """Fingerprint of its weights, as an audit takes it."""
    saw: str
    """Texts it was trained on, in hexadecimal: bit i is text i of the manifest, the first in the highest bit."""
    seed: int
    """Seed of its first weights and of the order of its texts."""
    steps: int
    """Number of training steps."""
    tokens: int
    """Number of tokens predicted over all steps."""
    loss_bits_per_token: float
    """Mean training loss over the last tenth of the steps, bits per token."""
    seen_bits_per_token: float
    """Mean code length, after training, of up to 200 texts it was trained on, bits per token."""
    unseen_bits_per_token: float
    """Mean code length, after training, of as many texts it was not trained on, bits per token."""
    n_checked: int
    """Texts behind these two, seen and unseen together."""
    device: str
    """Device that it ran on."""
    seconds: float
    """Wall time in seconds."""
    packages: Mapping[str, str]
    """Versions that it was trained with."""
    config_sha256: str | None = None
    """SHA-256 of its configuration; null in older files."""
    tokenizer_sha256: str | None = None
    """SHA-256 of its tokenizer; null in older files."""

    def __post_init__(self) -> None:
        if not _FOLDER.fullmatch(self.folder):
            raise ValueError("a folder is called shadow-NN")
        if re.fullmatch("([0-9a-f]{2})*", self.saw) is None:
            raise ValueError("what a shadow saw is written in hexadecimal")

    @property
    def gap_bits_per_token(self) -> float:
        """What an unseen text costs more than a seen one, in bits per token."""
        return self.unseen_bits_per_token - self.seen_bits_per_token


@document
class Shadow:
    """``shadow.json``: what lies beside the weights of a finished shadow, so that a later run knows it again."""

    kind: Literal["shadow"] = "shadow"
    """Kind of the document."""
    schema_version: str = VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    settings: ShadowSettings
    """Settings that all shadows of a set share."""
    run: ShadowRun
    """Training of this shadow."""


@document
class ShadowManifest:
    """``manifest.json``: a set of shadow models, and who saw what.

    Shadows ``2j`` and ``2j + 1`` are trained on the two halves of one random split, so that each text is seen by
    one of them: by half of all shadows.
    """

    kind: Literal["shadows"] = "shadows"
    """Kind of the document."""
    schema_version: str = VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    target: str
    """The model whose shadows they are, as it was given."""
    base: str | None
    """Model that they start from, as it was given; null from scratch."""
    settings: ShadowSettings
    """Settings that all shadows share."""
    texts: tuple[str, ...]
    """SHA-256 of each different text, UTF-8, in increasing order."""
    n_samples: int
    """Number of texts with their copies: a text is trained on as often as the data hold it."""
    n_units: int
    """Number of units that the halves were drawn from: a text with its copies and groups."""
    shadows: tuple[ShadowRun, ...]
    """Every shadow model."""
    warnings: tuple[str, ...] = ()
    """Warnings to a reader of the figures."""
    content_sha256: str | None = None
    """SHA-256 of all other fields; null in older files."""

    def __post_init__(self) -> None:
        if not self.texts or not all(_SHA256.fullmatch(text) for text in self.texts):
            raise ValueError("texts are SHA-256 hashes, at least one")
        if any(one >= other for one, other in zip(self.texts[:-1], self.texts[1:], strict=True)):
            raise ValueError("the hashes of the texts are different ones in increasing order")
        if not self.shadows or len({run.folder for run in self.shadows}) < len(self.shadows):
            raise ValueError("shadows are at least one, each in a folder of its own")
        if any(len(run.saw) != 2 * -(-len(self.texts) // 8) for run in self.shadows):
            raise ValueError(f"what a shadow saw is not {len(self.texts)} bits long")

    def seen(self) -> NDArray[np.bool_]:
        """Say which shadow was trained on which text, shape (n_shadows, n_texts)."""
        return np.stack([unpack_seen(run.saw, len(self.texts)) for run in self.shadows])


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSet:
    """The shadow models in a folder, as an audit uses them.

    Parameters
    ----------
    models : tuple of Path
        Folder of each model or adapter, for `ModelSpec.parse`.
    weights_sha256 : tuple of str
        What the manifest says that their weights hash to; compare with `ModelFiles.weights_sha256`.
    manifest : ShadowManifest
    """

    models: tuple[Path, ...]
    weights_sha256: tuple[str, ...]
    manifest: ShadowManifest

    def seen(self, text_sha256: Sequence[str]) -> NDArray[np.bool_]:
        """Say which shadow was trained on which of some texts.

        Parameters
        ----------
        text_sha256 : sequence of str, length n
            Hashes of whole texts, UTF-8.

        Returns
        -------
        ndarray of bool, shape (n_shadows, n)
            False for a text that no shadow was offered: none saw it (see `n_unknown`).
        """
        places, known = self._places(text_sha256)
        return self.manifest.seen()[:, places] & known

    def n_unknown(self, text_sha256: Sequence[str]) -> int:
        """Count the texts that are in neither half: unseen by all shadows, so that online LiRA cannot judge them."""
        return int(np.sum(~self._places(text_sha256)[1]))

    def _places(self, text_sha256: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Find each text among those of the manifest, and say whether it is there."""
        texts, wanted = np.array(self.manifest.texts), np.array(text_sha256, dtype="U64")
        places = np.minimum(np.searchsorted(texts, wanted), len(texts) - 1)
        return places, texts[places] == wanted


def pack_seen(seen: ArrayLike) -> str:
    """Write which texts were seen as hexadecimal bits.

    Examples
    --------
    >>> pack_seen([True, False, False, True, False, False, False, False, True])
    '9080'
    """
    return np.packbits(np.asarray(seen, dtype=np.bool_)).tobytes().hex()


def unpack_seen(saw: str, n_texts: int) -> NDArray[np.bool_]:
    """Read what `pack_seen` wrote, shape (n_texts,)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(saw), dtype=np.uint8), count=n_texts).astype(np.bool_)


def read_shadow(folder: Path) -> Shadow:
    """Read what lies beside the weights of a finished shadow.

    Raises
    ------
    ResultError
        If it is not there, or not what it claims to be.
    """
    return read_document(folder / SHADOW, Shadow, version=VERSION, what="shadow model (`auditor shadows`)")


def load_shadows(folder: str | Path) -> ShadowSet:
    """Read the manifest of a folder of shadow models, and find the models; no weights are read.

    Raises
    ------
    ConfigError
        If there is no manifest: the shadows are not finished, or this is another folder.
    ResultError
        If the manifest is not what it claims to be, or a model is not there.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise ConfigError(
            f"shadows {folder}: no {MANIFEST} in this folder; give the --out of `auditor shadows`, and if that was "
            "interrupted, run it again to finish"
        )
    manifest = read_document(
        folder / MANIFEST, ShadowManifest, version=VERSION, what="manifest of shadow models (`auditor shadows`)"
    )
    models = tuple(folder / run.folder for run in manifest.shadows)
    for model, run in zip(models, manifest.shadows, strict=True):
        if not any((model / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise ResultError(f"shadows {folder}: the model {model.name} is not there; run `auditor shadows` again")
        found = read_shadow(model)
        if (found.settings, found.run) != (manifest.settings, run):
            raise ResultError(
                f"shadows {folder}: {model.name} is not the model that the manifest describes; run `auditor shadows` "
                "again to finish"
            )
    return ShadowSet(
        models=models, weights_sha256=tuple(run.weights_sha256 for run in manifest.shadows), manifest=manifest
    )

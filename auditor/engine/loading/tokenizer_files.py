"""Tokenizers as they lie beside models: whose files are read, what tokenizer.json itself says, and none made up."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError
from .configs import first_line, located, refuse_code_elsewhere, refuse_foreign_code
from .panics import no_panics

__all__ = [
    "TOKENIZER_OPTIONS",
    "OwnFile",
    "find_tokenizer",
    "load_tokenizer",
    "refuse_made_up",
    "stated_class",
]

TOKENIZER_OPTIONS = "name the right one with --tokenizer M (that of a reference with --reference-tokenizer M)"
"""What to do about a model's tokenizer that cannot be used, in words."""

_ANOTHER = "name another one with --tokenizer M"

_VOCABULARIES = ("tokenizer.json", "tekken.json", "vocab.json", "vocab.txt", "*.model", "*.model.v*", "*.tiktoken",
                 "*.vocab")  # fmt: skip
"""Files that hold the entries of a tokenizer, as patterns."""

_NO_VOCABULARIES = ("tokenizer_config.json", "normalizer.json", "merges.txt")
"""Files that some classes name among their vocabularies, and that hold no entries."""

_HANDFUL = 32
"""Entries below which a tokenizer of a model with over ten times as many is one that transformers made up."""

_FETCHED = ("*.json", "*.model", "*.model.v*", "*.txt", "*.jinja", "*.tiktoken")


def find_tokenizer(
    spec: ModelSpec, source: Path | None = None, *, trust_remote_code: bool = False, fetch: bool = True
) -> Path:
    """Say whose tokenizer reads a model's texts: the one that is named, that of its adapter, or its own.

    Parameters
    ----------
    spec : ModelSpec
    source : Path, optional
        Where the model is; else its path, or what the hub gives for it: files of the tokenizer only.
    trust_remote_code, fetch : bool
        Whether code may be fetched with it, and whether a hub id may be asked for at all.

    Returns
    -------
    Path
        A folder, a ``tokenizer.json`` or a GGUF file.

    Raises
    ------
    ModelError
        If there is no such folder or file.
    """
    if spec.tokenizer is not None:
        return _local(ModelSpec.parse(spec.tokenizer), f"tokenizer {spec.tokenizer}", trust_remote_code, fetch)
    if spec.adapter is not None and _has_vocabulary(Path(spec.adapter)):
        return Path(spec.adapter)
    return source or _local(spec, str(spec), trust_remote_code, fetch)


def load_tokenizer(
    spec: ModelSpec,
    place: Path | None = None,
    *,
    config: Any = None,
    trust_remote_code: bool = False,
    way_out: str = _ANOTHER,
) -> Any:
    """Load a tokenizer: of a folder as transformers does, of a ``tokenizer.json`` as the file says.

    Parameters
    ----------
    spec : ModelSpec
        The model whose texts it reads.
    place : Path, optional
        Where it is; found if not given.
    config : transformers.PretrainedConfig, optional
        The model's, whose type decides on the class where the place has no configuration of its own.
    way_out : str
        What to do if there is none, in words.

    Raises
    ------
    ModelError
        If there is none, or it is damaged.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    place = place or find_tokenizer(spec, trust_remote_code=trust_remote_code)
    folder = place if place.is_dir() else place.parent
    refuse_code_elsewhere(spec, folder, trust_remote_code=trust_remote_code)
    try:
        if place.suffix == ".json" and place.is_file():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(
                folder, tokenizer_file=str(place), local_files_only=True
            )
        else:
            own = place.is_file() or (place / "config.json").is_file()
            options = {} if own or config is None else {"config": config}
            with _alone(place) as here:
                tokenizer = AutoTokenizer.from_pretrained(
                    **located(here), **options, trust_remote_code=trust_remote_code
                )
    except Exception as error:  # a missing or damaged tokenizer fails in many ways
        refuse_foreign_code(spec, error, trust_remote_code=trust_remote_code)
        if place.is_dir() and not _has_vocabulary(place):
            raise ModelError(_none_here(place, way_out)) from error
        raise ModelError(f"{place}: the tokenizer cannot be loaded: {first_line(error)}") from error
    names = getattr(type(tokenizer), "vocab_files_names", {}).values()  # tokenizers of bytes have no vocabulary
    if names and place.is_dir() and not _has_vocabulary(place, names):
        made_up = f"; the {type(tokenizer).__name__} of {_entries(len(tokenizer))} that transformers gives is made up"
        raise ModelError(_none_here(place, way_out, made_up))
    return tokenizer


def refuse_made_up(tokenizer: Any, place: Path, *, n_vocabulary: int, way_out: str = TOKENIZER_OPTIONS) -> None:
    """Refuse a tokenizer that has a handful of entries beside the model's many.

    Raises
    ------
    ModelError
        Naming folder and class.
    """
    n = len(tokenizer)
    if n < _HANDFUL and n * 10 < n_vocabulary:
        raise ModelError(
            f"{place}: the tokenizer there ({type(tokenizer).__name__}) has {_entries(n)}, and the model's vocabulary "
            f"{n_vocabulary:,}: it is not this model's; {way_out}"
        )


@dataclass(frozen=True, slots=True)
class OwnFile:
    """The ``tokenizer.json`` of a model, as the library ``tokenizers`` alone reads texts by it."""

    path: Path
    tokenizer: Any

    @classmethod
    def find(cls, place: Path) -> "OwnFile | None":
        """Read the file where a tokenizer is, as `find_tokenizer` says; None if there is none.

        Raises
        ------
        ModelError
            If the file cannot be read.
        """
        from tokenizers import Tokenizer

        file = place if place.is_file() else place / "tokenizer.json"
        if file.suffix != ".json" or not file.is_file():
            return None
        try:
            own = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing more particular
            raise ModelError(f"{file}: not a file of the library tokenizers: {first_line(error)}") from error
        own.no_truncation()
        own.no_padding()
        return cls(file, own)

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens around it."""
        with no_panics(f"the tokenizer {self.path}"):
            return [one.ids for one in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def makes(self, tokenizer: Any) -> bool:
        """Whether it makes the very tokenizer that was loaded, so that both read all texts alike.

        Then both have the same state, and the class adds nothing of its own to how texts are read.
        """
        from transformers import TokenizersBackend

        kind = type(tokenizer)
        return (
            issubclass(kind, TokenizersBackend)
            and kind.__call__ is TokenizersBackend.__call__
            and kind._encode_plus is TokenizersBackend._encode_plus
            and not tokenizer.split_special_tokens
            and tokenizer.backend_tokenizer.to_str() == self.tokenizer.to_str()
        )


def stated_class(place: Path) -> str | None:
    """Name the class that the files of a tokenizer say they are for; None if they name none."""
    file = (place if place.is_dir() else place.parent) / "tokenizer_config.json"
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["tokenizer_class"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) and name.isidentifier() and len(name) < 80 else None


@contextmanager
def _alone(place: Path) -> Iterator[Path]:
    """Yield a GGUF file in a folder of its own: beside a tokenizer.json transformers would read that one instead."""
    if place.suffix != ".gguf":
        yield place
        return
    with TemporaryDirectory(prefix="auditor-gguf-") as folder:
        link = Path(folder) / place.name
        link.symlink_to(place.resolve())
        yield link


def _local(spec: ModelSpec, called: str, trust_remote_code: bool, fetch: bool) -> Path:
    """Return a local folder or file as it is, and fetch the tokenizer's files of a hub id."""
    path = Path(spec.path)
    if spec.path and (path.is_dir() or (path.is_file() and path.suffix in (".gguf", ".json"))):
        if spec.revision is not None:
            raise ModelError(f"{called}: a revision needs a hub id, but {spec.path} is here")
        return path
    if not spec.path or path.exists() or spec.path.startswith((".", "/", "~")) or spec.path.count("/") > 1:
        raise ModelError(f"{called}: no such tokenizer; give a folder, a tokenizer.json, a .gguf or a hub id")
    if not fetch:
        raise ModelError(f"{called}: not here, and nothing is fetched")
    from huggingface_hub import snapshot_download

    patterns = [*_FETCHED, *(["*.py"] if trust_remote_code else [])]
    try:
        return Path(snapshot_download(spec.path, revision=spec.revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds; all mean: it is not to be had
        raise ModelError(f"{called}: neither a local folder nor one that the hub gives: {first_line(error)}") from error


def _has_vocabulary(folder: Path, more: Sequence[str] | Any = ()) -> bool:
    """Whether a folder holds the entries of a tokenizer, in a usual file or in one of more names."""
    names = {*_VOCABULARIES, *more}.difference(_NO_VOCABULARIES)
    return any(file.is_file() for name in names for file in folder.glob(name))


def _none_here(folder: Path, way_out: str, more: str = "") -> str:
    return (
        f"{folder}: this folder has no tokenizer (no tokenizer.json, tokenizer.model or vocabulary{more}); put its "
        f"files there, or {way_out}"
    )


def _entries(n: int) -> str:
    return "1 entry" if n == 1 else f"{n} entries"

"""The frozen description of one audit: from a TOML file, from flags, or from Python."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .amounts import parse_amount
from .errors import ConfigError
from .toml_files import parse_toml, read_toml_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "AttackSpec",
    "AuditConfig",
    "DataSpec",
    "Dtype",
    "Engine",
    "ExtractSpec",
    "LongTexts",
    "ModelSpec",
    "Score",
    "is_count",
    "load_config_file",
]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
LongTexts = Literal["cut", "stride"]
Engine = Literal["local", "ray"]
Score = Literal["completion", "all"]
CanaryForm = Literal["text", "prompt-completion", "messages"]

DEVICE_MAPS = ("auto", "balanced", "sequential")
"""Ways to spread a model over devices; ``auto`` and ``balanced`` fill them evenly, ``sequential`` one after another."""


def is_count(text: str) -> bool:
    """Whether a string is a number written in digits 0 to 9 that no computer would choke on.

    Examples
    --------
    >>> is_count("12"), is_count("²"), is_count("-1")
    (True, False, False)
    """
    return text.isascii() and text.isdecimal() and len(text) < 19


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Where a causal language model comes from.

    Parameters
    ----------
    path : str
        A local folder, a GGUF file, or a hub id.
    revision : str, optional
        Branch, tag or commit of a hub id (``name@revision`` on the command line).
    adapter : str, optional
        A folder with a PEFT adapter to put on the model.
    tokenizer : str, optional
        What reads texts instead of the adapter's or the model's own tokenizer: a folder, a hub id, a GGUF file, or a
        ``tokenizer.json``, which is read as it is.
    """

    path: str
    revision: str | None = None
    adapter: str | None = None
    tokenizer: str | None = None

    @classmethod
    def parse(cls, text: str, *, adapter: str | None = None, tokenizer: str | None = None) -> "ModelSpec":
        """Read ``FOLDER``, ``FILE.gguf``, ``ID`` or ``ID@REVISION``; an existing folder may contain an ``@``."""
        path, at, revision = text.rpartition("@")
        if not at or Path(text).exists():
            return cls(path=text, adapter=adapter, tokenizer=tokenizer).with_base()
        if not path or not revision:
            raise ConfigError(f"model {text!r} is not FOLDER, ID or ID@REVISION")
        return cls(path=path, revision=revision, adapter=adapter, tokenizer=tokenizer)

    def with_base(self) -> "ModelSpec":
        """Turn a folder that holds only a PEFT adapter into its base with that adapter; return any other as it is.

        Raises
        ------
        ConfigError
            If the adapter names no base, or an adapter is to be put on an adapter.
        """
        file = Path(self.path) / "adapter_config.json"
        if not file.is_file() or (file.parent / "config.json").exists():
            return self
        if self.adapter is not None:
            raise ConfigError(f"model {self.path!r} is an adapter itself; give its base, or leave {self.adapter!r} out")
        try:
            stated = json.loads(file.read_text(encoding="utf-8"))
            base, revision = stated["base_model_name_or_path"], stated.get("revision")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{file}: not the configuration of a PEFT adapter, or it names no base") from error
        if not isinstance(base, str) or not base:
            raise ConfigError(f"{file}: names no base (base_model_name_or_path); give the base, and this as adapter")
        revision = None if Path(base).exists() else revision
        return ModelSpec(path=base, revision=revision, adapter=self.path, tokenizer=self.tokenizer)

    def is_model(self, other: "ModelSpec") -> bool:
        """Whether this is another's model and adapter, whatever reads their texts."""
        return replace(self, tokenizer=None) == replace(other, tokenizer=None)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.path}{revision}" + (f" + adapter {self.adapter}" if self.adapter else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where texts come from: a file, a folder, or a ``datasets`` id (``name:config`` for a configuration)."""

    path: str
    text_field: str = "text"
    split: str = "train"

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSpec:
    """An attack by name with its parameters, as in ``min_k:k=0.1``."""

    name: str
    params: Mapping[str, object]

    @classmethod
    def parse(cls, text: str) -> "AttackSpec":
        """Read ``NAME`` or ``NAME:key=value,key=value``; values are read as TOML, else as plain words."""
        name, colon, rest = text.partition(":")
        params: dict[str, object] = {}
        for part in rest.split(",") if colon else ():
            key, equals, value = part.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise ConfigError(f"attack {text!r} is not NAME or NAME:key=value,key=value (e.g. min_k:k=0.1)")
            try:
                params[key.strip()] = tomllib.loads(f"value = {value.strip()}")["value"]
            except tomllib.TOMLDecodeError:
                params[key.strip()] = value.strip()
        return cls(name=name.strip(), params=params)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractSpec:
    """What extraction is read of each text: so many tokens to be given, and so many after them to be written."""

    prefix: int = 50
    suffix: int = 50

    @classmethod
    def parse(cls, text: str, *, window: int | None = None) -> "ExtractSpec | None":
        """Read ``PREFIX/SUFFIX``, ``none``, or ``auto``: 50/50, or the halves of a window that is shorter.

        Raises
        ------
        ConfigError
            For anything else, and for more tokens than a window has.

        Examples
        --------
        >>> ExtractSpec.parse("32/16"), ExtractSpec.parse("auto", window=64), ExtractSpec.parse("none")
        (ExtractSpec(prefix=32, suffix=16), ExtractSpec(prefix=32, suffix=32), None)
        """
        if text == "none":
            return None
        if text == "auto":
            half = 50 if window is None else min(50, max(1, window // 2))
            return cls(prefix=half, suffix=half)
        prefix, slash, suffix = text.partition("/")
        if not slash or not all(is_count(part) and int(part) >= 1 for part in (prefix, suffix)):
            raise ConfigError(
                f"extract must be PREFIX/SUFFIX, two numbers of tokens from 1 on such as 50/50, or none, got {text!r}"
            )
        found = cls(prefix=int(prefix), suffix=int(suffix))
        if window is not None and found.prefix + found.suffix > window:
            raise ConfigError(
                f"extract {text} takes {found.prefix + found.suffix:,} tokens of a text at once, and the target reads "
                f"{window:,} (its context window, or max-tokens): ask for fewer tokens, or leave it out for auto"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """One audit: what is asked, of which models, on which texts. Everything else follows from it.

    Parameters
    ----------
    target : ModelSpec
        The audited model.
    references : tuple of ModelSpec
        Models that did not train on the members; none means no bits of memorization.
    members, non_members : DataSpec
        Texts the target trained on, and texts of the same distribution that it did not.
    shots : DataSpec, optional
        Texts like the non-members and on neither side, which ReCaLL puts before every text. They are read in order, as
        many as fill half the context window at most.
    member_shots : DataSpec, optional
        Texts like the members, trained on and on neither side, which Con-ReCaLL puts before every text.
    neighbour_model : str, optional
        Masked language model that rewrites texts for the neighbourhood attack: a folder or a hub id.
    neighbours : int
        Rewritings of each text.
    frequency_corpus : DataSpec, optional
        Texts apart from both sides whose token frequencies DC-PDD divides by.
    shadows : str, optional
        Models trained on known random halves of the texts by ``auditor shadows``: its folder. They serve as references
        for the texts that they did not see.
    retrained : ModelSpec, optional
        A model trained like the target but never on the members: what the target should be like after unlearning.
    retrained_margin : float
        Change of AUC below which target and retrained model count as the same.
    split_manifest : str, optional
        Manifest of ``auditor split``, which the texts are checked against.
    coins : str, optional
        Secret of the coins of ``auditor split --coins``: its file or folder. Left out, it is looked for beside the
        manifest.
    delta : float
        Delta of the claim of differential privacy that coins are held against.
    guess_share : float
        Share of the coins that is guessed, declared before looking.
    canaries : str, optional
        Folder of ``auditor canaries``, whose canaries are looked for in the target.
    canary_form : {"text", "prompt-completion", "messages"}, optional
        Form in which they were inserted. Left out, it is the one that was recorded.
    drop_ids : str, optional
        File of sample ids, one a line, that are left out (and counted).
    salt : str, optional
        File of a secret that keys the hashes of texts in all documents, so that short texts cannot be guessed from
        them. Audits that are compared need the same.
    attacks : tuple of AttackSpec
        Empty means every built-in attack that the inputs allow and that costs no more than two passes; a single
        ``all`` those that cost more, too.
    attack_files : tuple of str
        Python files that define attacks of one's own, which are run beside the others. Their code is run: name only
        files that you trust.
    headline : str, optional
        Label of the attack that the verdict rests on, declared before looking; None is the reference attack where
        there is a reference, and the loss attack elsewhere.
    max_tokens : int, optional
        Score at most this many tokens of a text under any model, besides each context window.
    long_texts : {"cut", "stride"}
        Cut texts beyond the context window at the same character for all models, or score all of them in
        windows that overlap by half.
    score : {"completion", "all"}
        Which tokens of conversations, and of prompts with completions, are scored: those of the completion (all turns
        of the assistant), as they are usually trained on, or all. Of plain texts, all are.
    chat_template : str, optional
        File of the chat template with which every model reads conversations, instead of its tokenizer's own.
    prefix_token : str
        ``auto``, ``none``, ``bos``, ``eos`` or a token id: what stands before the first token of each text.
    dtype : {"auto", "float32", "bfloat16", "float16"}
        Precision of the weights while scoring; ``auto`` is float32 on CPU and the stored precision elsewhere.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    device_map : str, optional
        ``auto``, ``balanced`` or ``sequential``: spread each model over all devices, and over memory and disk if it
        does not fit.
    batch_tokens : int, optional
        Padded tokens in a batch; None chooses by device.
    engine : {"local", "ray"}
        Score in this process (and those of ``torchrun``), or on the workers of a Ray cluster.
    ray_workers : int, optional
        None is one a GPU of the cluster, and one a node if it has none.
    extract : str
        ``PREFIX/SUFFIX``: tokens of a text that the target is given, and tokens after them that it has to write to
        count as extracted, read off the scores; ``auto`` is 50/50 (less in a shorter window), ``none`` leaves it out.
        Texts that are shorter are cut in halves.
    extract_temperatures : tuple of float
        Temperatures besides 1 at which extraction is read as well, by one more pass over the texts.
    near_verbatim : int, optional
        So many texts a side, drawn at random, are searched for ends that differ in a tenth of their tokens at most.
    confirm_extraction : int, optional
        Let the target write so many of the suffixes that it writes by its scores, and compare.
    confidence : float
        Level of every interval.
    fpr_targets : tuple of float
        False-positive rates at which the true-positive rate is reported.
    seed : int
        Of the bootstrap and of the split behind the certified bound; scoring is deterministic.
    include_text : bool
        Write sample texts into the outputs. Off by default: members are what is being protected.
    bits_per_parameter : float, optional
        Capacity constant; None takes the paper's for the precision in which the target is stored.
    capacity : str, optional
        A capacity measured by ``auditor capacity``, instead of the paper's: its file or folder.
    train_samples, train_tokens : float, optional
        Size of the target's whole training set, each sample counted once: samples of about the members' length, or
        tokens; at most one of them. The report then sets what size lets expect beside what was measured. These and
        ``epochs`` may be written as ``"1.5M"``.
    epochs : float, optional
        Passes of the target over its training set.
    fine_tuned : bool
        The target was not trained from scratch; an adapter says so by itself.
    calibration : str, optional
        A membership law measured by ``auditor calibrate``, instead of the paper's: its file or folder.
    """

    target: ModelSpec
    members: DataSpec
    references: tuple[ModelSpec, ...] = ()
    non_members: DataSpec | None = None
    shots: DataSpec | None = None
    member_shots: DataSpec | None = None
    neighbour_model: str | None = None
    neighbours: int = 10
    frequency_corpus: DataSpec | None = None
    shadows: str | None = None
    retrained: ModelSpec | None = None
    retrained_margin: float = 0.02
    split_manifest: str | None = None
    coins: str | None = None
    delta: float = 0.0
    guess_share: float = 0.2
    canaries: str | None = None
    canary_form: CanaryForm | None = None
    drop_ids: str | None = None
    salt: str | None = None
    headline: str | None = None
    attacks: tuple[AttackSpec, ...] = ()
    attack_files: tuple[str, ...] = ()
    max_tokens: int | None = None
    long_texts: LongTexts = "cut"
    score: Score = "completion"
    chat_template: str | None = None
    prefix_token: str = "auto"
    dtype: Dtype = "auto"
    device: str = "auto"
    device_map: str | None = None
    batch_tokens: int | None = None
    engine: Engine = "local"
    ray_workers: int | None = None
    extract: str = "auto"
    extract_temperatures: tuple[float, ...] = ()
    near_verbatim: int | None = None
    confirm_extraction: int | None = None
    confidence: float = 0.95
    fpr_targets: tuple[float, ...] = (0.001, 0.01, 0.05)
    seed: int = 0
    include_text: bool = False
    bits_per_parameter: float | None = None
    capacity: str | None = None
    train_samples: float | None = None
    train_tokens: float | None = None
    epochs: float | None = None
    fine_tuned: bool = False
    calibration: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(f"confidence must be in [0.5, 1), got {self.confidence}; a percentage? use 0.95")
        if not self.fpr_targets:
            raise ConfigError("fpr must name at least one false-positive rate, e.g. 0.01")
        for fpr in self.fpr_targets:
            if not 0 < fpr < 1:
                hint = f"; a percentage? use {fpr / 100:g}" if 1 <= fpr < 100 else ""
                raise ConfigError(f"fpr must be in (0, 1), got {fpr}{hint}")
        references = [(Path(spec.path), spec.revision, spec.adapter) for spec in self.references]
        for i, spec in enumerate(self.references):
            if references[i] in references[:i]:
                raise ConfigError(f"the reference {str(spec)!r} is given twice; it would count twice in the mixture")
        for name in ("max_tokens", "batch_tokens", "ray_workers", "neighbours", "confirm_extraction", "near_verbatim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name.replace('_', '-')} must be at least 1, got {value}")
        if ExtractSpec.parse(self.extract) is None and self.confirm_extraction is not None:
            raise ConfigError(
                "confirm-extraction tests what extraction claims, and extract is none: give extract PREFIX/SUFFIX, or "
                "leave confirm-extraction out"
            )
        asked = [one for one in ("near-verbatim", "extract-temperatures") if getattr(self, one.replace("-", "_"))]
        if asked and ExtractSpec.parse(self.extract) is None:
            raise ConfigError(f"extract is none, so leave {asked[0]} out, or give extract PREFIX/SUFFIX")
        for temperature in self.extract_temperatures:
            if not 0.01 <= temperature <= 10:
                raise ConfigError(
                    f"extract-temperature must be in [0.01, 10], got {temperature:g}; 0 is the greedy rate"
                )
        if not 0 <= self.delta < 1:
            raise ConfigError(f"delta must be in [0, 1), far below one in the number of coins, got {self.delta:g}")
        if not 0 < self.guess_share <= 1:
            hint = f"; a percentage? use {self.guess_share / 100:g}" if 1 < self.guess_share <= 100 else ""
            raise ConfigError(f"guess-share must be in (0, 1], got {self.guess_share:g}{hint}")
        if not 0 < self.retrained_margin < 0.5:
            raise ConfigError(f"retrained-margin must be in (0, 0.5), a change of AUC, got {self.retrained_margin}")
        if self.bits_per_parameter is not None and not 0.01 <= self.bits_per_parameter < 64:
            raise ConfigError(f"bits-per-parameter must be in [0.01, 64), got {self.bits_per_parameter}")
        if self.capacity is not None and self.bits_per_parameter is not None:
            raise ConfigError("give capacity or bits-per-parameter, not both")
        for name in _AMOUNTS:
            value = getattr(self, name)
            if value is not None and not 0 < value <= _LARGEST:
                raise ConfigError(f"{name.replace('_', '-')} must be greater than 0 and at most 1e18, got {value:g}")
        if self.train_samples is not None and self.train_tokens is not None:
            raise ConfigError("give train-samples or train-tokens, not both")
        if self.dtype not in get_args(Dtype):
            raise ConfigError(f"dtype must be one of {', '.join(get_args(Dtype))}, got {self.dtype!r}")
        if self.device_map is not None and self.device_map not in DEVICE_MAPS:
            raise ConfigError(f"device-map must be one of {', '.join(DEVICE_MAPS)}, got {self.device_map!r}")
        if self.device_map is not None and self.device != "auto":
            raise ConfigError(f"give device or device-map, not both (device is {self.device!r})")
        if self.engine not in get_args(Engine):
            raise ConfigError(f"engine must be one of {', '.join(get_args(Engine))}, got {self.engine!r}")
        if self.engine == "ray" and (self.device_map is not None or ":" in self.device):
            raise ConfigError(
                "engine ray gives each worker one GPU, with a whole model on it: leave device-map out, and give "
                f"device as auto, cpu or cuda (device is {self.device!r})"
            )
        if self.engine != "ray" and self.ray_workers is not None:
            raise ConfigError(f"ray-workers is for engine ray, but engine is {self.engine!r}")
        if self.device.partition(":")[0] == "meta":
            raise ConfigError("device meta holds no weights, so it cannot score; use auto, cpu, cuda, cuda:N or mps")
        if self.long_texts not in get_args(LongTexts):
            raise ConfigError(f"long-texts must be one of {', '.join(get_args(LongTexts))}, got {self.long_texts!r}")
        if self.canary_form not in (None, *get_args(CanaryForm)):
            raise ConfigError(f"canary-form must be one of {', '.join(get_args(CanaryForm))}, got {self.canary_form!r}")
        if self.score not in get_args(Score):
            raise ConfigError(f"score must be one of {', '.join(get_args(Score))}, got {self.score!r}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if self.prefix_token not in ("auto", "none", "bos", "eos") and not is_count(self.prefix_token):
            raise ConfigError(f"prefix-token must be auto, none, bos, eos or a token id, got {self.prefix_token!r}")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "AuditConfig":
        """Build from plain values, as a TOML file or flags give them; unknown keys are errors.

        Models and data are strings (``ID@REVISION``, a path), attacks are strings (``min_k:k=0.1``).
        ``text_field``, ``split``, ``non_members_split``, ``adapter``, ``tokenizer`` (of the target and the retrained
        model) and ``reference_tokenizer`` are given once, at the top.

        Raises
        ------
        ConfigError
            For an unknown key, a missing ``target`` or ``members``, or a value of the wrong kind.
        """
        known = {f.name for f in fields(cls)} | _DATA_KEYS | set(_MODEL_KEYS)
        for key in options:
            if key not in known:
                close = get_close_matches(key, sorted(known), n=1)
                close += [name for name in sorted(known) if name.startswith(f"{key}_")]
                hint = f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(sorted(known))}"
                raise ConfigError(f"unknown key {key!r} in the audit's configuration{hint}")
        given = {key: value for key, value in options.items() if value is not None}
        for key in ("target", "members"):
            if key not in given:
                raise ConfigError(f"no {key} given: use --{key} or the key {key!r} of the configuration file")
        for key, value in given.items():
            _check_kind(key, value)
        given |= {key: _amount(key, value) for key, value in given.items() if key in _AMOUNTS}

        text_field, split = given.pop("text_field", "text"), given.pop("split", "train")
        splits = {"members": split, "non_members": given.pop("non_members_split", split)}
        adapter, *tokenizers = (given.pop(key, None) for key in _MODEL_KEYS)
        given["target"] = ModelSpec.parse(given["target"], adapter=adapter, tokenizer=tokenizers[0])
        if given["target"].adapter is not None and "references" not in given:
            given["references"] = (replace(given["target"], adapter=None, tokenizer=tokenizers[1]),)
        else:
            texts = given.get("references", ())
            given["references"] = tuple(ModelSpec.parse(text, tokenizer=tokenizers[1]) for text in texts)
        if tokenizers[1] is not None and not given["references"]:
            raise ConfigError(
                f"reference-tokenizer {tokenizers[1]} is that of a reference, and there is none: give a reference, or "
                "leave it out (shadow models are read with --tokenizer, too)"
            )
        given["attacks"] = tuple(AttackSpec.parse(text) for text in given.get("attacks", ()))
        given["attack_files"] = tuple(given.get("attack_files", ()))
        if "extract_temperatures" in given:
            temperatures = {float(one) for one in given["extract_temperatures"]}
            given["extract_temperatures"] = tuple(sorted(temperatures))
        if "fpr_targets" in given:
            given["fpr_targets"] = tuple(sorted({float(fpr) for fpr in given["fpr_targets"]}))
        if "retrained" in given:
            given["retrained"] = ModelSpec.parse(given["retrained"], tokenizer=tokenizers[0])
        for side in ("members", "non_members", "shots", "member_shots", "frequency_corpus"):
            if side in given:
                given[side] = DataSpec(path=given[side], text_field=text_field, split=splits.get(side, split))
        return cls(**given)


_DATA_KEYS = {"text_field", "split", "non_members_split"}
_MODEL_KEYS = ("adapter", "tokenizer", "reference_tokenizer")
_AMOUNTS = ("train_samples", "train_tokens", "epochs")
_LARGEST = 1e18

_KINDS: dict[Any, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    int | float | str: "a number",
    bool: "true or false",
    Sequence[str]: "a list",
    Sequence[float]: "a list",
}
"""Kinds of values that keys take, in words."""

_KIND_OF: dict[str, Any] = {
    **dict.fromkeys(("references", "attacks", "attack_files"), Sequence[str]),
    **dict.fromkeys(("fpr_targets", "extract_temperatures"), Sequence[float]),
    **dict.fromkeys(("max_tokens", "batch_tokens", "ray_workers", "neighbours", "seed"), int),
    **dict.fromkeys(("confirm_extraction", "near_verbatim"), int),
    **dict.fromkeys(("retrained_margin", "confidence", "bits_per_parameter", "delta", "guess_share"), float),
    **dict.fromkeys(_AMOUNTS, int | float | str),
    **dict.fromkeys(("fine_tuned", "include_text", "trust_remote_code"), bool),
}
"""Kind of each key as it is written; of all others a string."""


@cache
def _checked(key: str) -> "TypeAdapter[Any]":
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(_KIND_OF.get(key, str), config=ConfigDict(strict=True))


def _check_kind(key: str, value: object) -> None:
    """Refuse a value that is not of the kind its key takes, before anything uses it; ranges are checked later."""
    from pydantic import ValidationError

    try:
        _checked(key).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"key {key!r} takes {_KINDS[_KIND_OF.get(key, str)]}, got {value!r}") from error


def _amount(key: str, value: float | str) -> float:
    """Read an amount, which may be written as ``1.5M``."""
    try:
        return parse_amount(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{key.replace('_', '-')}: {error}") from error


def load_config_file(path: str | Path) -> dict[str, Any]:
    """Read the options of one audit from a TOML file.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not TOML.
    """
    text = read_toml_text(Path(path), "configuration file")
    return parse_toml(text, f"the configuration file {path}")

"""The models of an audit before their weights are loaded: files, tokenizers, windows and the keys of their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attacks.base import AFTER_MEMBER_SHOTS, AFTER_SHOTS

from ..config import AuditConfig, ModelSpec
from ..errors import ConfigError
from ..in_memory import HeldModel
from .chat import ChatReader, agreed, choose_template, read_template
from .loading.adapters import changes_its_base, why_not_its_base
from .loading.held import held_device, open_held, refuse_unready
from .loading.models import ModelFiles, choose_device, choose_dtype, open_model
from .store import PassKey
from .tokens import Encoder, tokenizer_fingerprint

__all__ = ["OpenedModel", "Shots", "chat_reader", "open_models", "open_one", "reading_alike"]

_OPTION = {AFTER_SHOTS: "--shots", AFTER_MEMBER_SHOTS: "--member-shots"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Texts that stand before every text of a view.

    Parameters
    ----------
    ids : tuple of int
        Their token ids, end to end.
    n_fitting, n_given : int
        How many texts these are, and how many there were to take them from.
    """

    ids: tuple[int, ...]
    n_fitting: int
    n_given: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A model as this audit uses it.

    Parameters
    ----------
    shots : mapping of str to Shots
        By name of the view, the texts that attacks put before every text.
    alias : str
        Its name for whoever waits; its role if empty.
    """

    role: str
    files: ModelFiles
    encoder: Encoder
    key: PassKey
    device: str
    shots: Mapping[str, Shots] = field(default_factory=dict)
    scoring_path: str = "not run: all scores were stored"
    alias: str = ""

    @property
    def called(self) -> str:
        """Name for whoever waits."""
        return self.alias or self.role

    def with_shots(self, texts: Sequence[str], *, view: str = AFTER_SHOTS) -> "OpenedModel":
        """Take as many texts, from the first on, as fill half the window at most, and put them before a view's texts.

        Raises
        ------
        ConfigError
            If there is none, or not even the first fits.
        """
        if not len(texts):
            raise ConfigError(f"{_OPTION[view]}: there are no texts to put before the others")
        window = self.encoder.window
        ids: list[int] = []
        n_fitting = 0
        for tokens in self.encoder.encode(texts):
            if window is not None and len(ids) + len(tokens) > window // 2:
                break
            ids += tokens
            n_fitting += 1
        if not ids:
            raise ConfigError(
                f"{_OPTION[view]}: the first text alone fills more than half the window of {window} tokens; give "
                "shorter ones"
            )
        shots = Shots(ids=tuple(ids), n_fitting=n_fitting, n_given=len(texts))
        return replace(self, shots={**self.shots, view: shots})

    def shots_notes(self) -> list[str]:
        """Say of each kind of shots how many were left out, if any."""
        return [
            f"{shots.n_fitting} of {shots.n_given} {_OPTION[view].removeprefix('--').replace('-', ' ')} stand before "
            f"every text ({len(shots.ids)} tokens): more would fill over half the context window"
            for view, shots in self.shots.items()
            if shots.n_fitting < shots.n_given
        ]

    def cut_by_shots_note(self, n_cut: int, n: int) -> str:
        """Say how many of n texts had to be cut to fit after the shots."""
        n_tokens = max(len(shots.ids) for shots in self.shots.values())
        return (
            f"{n_cut} of {n} texts were cut, or cut shorter, because they have to fit after the shots ({n_tokens} "
            "tokens of them); every attack sees the cut texts: give fewer or shorter shots"
        )

    def is_base_of(self, other: "OpenedModel") -> bool:
        """Whether the other model is this one with an adapter on it, which leaves it as it is when switched off."""
        adapter = other.files.spec.adapter
        if adapter is None or not self.files.spec.is_model(replace(other.files.spec, adapter=None)):
            return False
        held = other.files.held
        return not (changes_its_base(adapter) if held is None else why_not_its_base(held.model))


def open_models(
    config: AuditConfig,
    *,
    local_rank: int | None = None,
    device: str | None = None,
    held: Mapping[str, HeldModel] | None = None,
    form: str = "text",
) -> list[OpenedModel]:
    """Open the target and each reference; no weights are loaded.

    Parameters
    ----------
    config : AuditConfig
    local_rank : int, optional
        Place among the processes of this machine, each of which takes a GPU of its own if there are several.
    device : str, optional
        Where models will run if not in this process; it need not exist here.
    held : mapping of str to HeldModel, optional
        Models in memory, by the path of their specifications; they stay on the device where they are.
    form : str
        Form of the texts, one of `auditor.data.chat.FORMS`.

    Raises
    ------
    ModelError, ConfigError
        If a model cannot be used, or the device does not exist.
    """
    device = device or choose_device(config.device)
    if local_rank is not None and device == "cuda":
        device = choose_device(f"cuda:{local_rank}")
    specs = [("target", config.target), *(("reference", spec) for spec in config.references)]
    models = [open_one(spec, role, config, device, held=(held or {}).get(spec.path), form=form) for role, spec in specs]
    return _same_windows(models) if config.long_texts == "stride" else models


def reading_alike(models: Sequence[OpenedModel]) -> tuple[list[OpenedModel], list[str]]:
    """Settle how the models of one audit read its conversations, so that the same characters are scored; and notes.

    Raises
    ------
    ConfigError
        If conversations are to be read and there is no chat template.
    """
    readers = [model.encoder.chat for model in models if model.encoder.chat is not None]
    if not readers:
        return list(models), []
    if readers[0].form != "prompt_completion" and readers[0].template is None:
        raise ConfigError(
            f"{models[0].files.spec}: its tokenizer has no chat template, and the texts are conversations: give the "
            "one that it was trained with by --chat-template FILE (such as chat_template.jinja of a chat model), or "
            "give plain texts"
        )
    readers, notes = agreed(readers)
    return [
        replace(model, encoder=replace(model.encoder, chat=reader))
        for model, reader in zip(models, readers, strict=True)
    ], notes


def chat_reader(tokenizer: Any, *, form: str, score: str, template_file: str | None) -> ChatReader | None:
    """Say how conversations of a form are read with a tokenizer; None for plain texts.

    Raises
    ------
    ConfigError
        If the file of the template cannot be read.
    """
    if form == "text":
        return None
    given = None if template_file is None else read_template(template_file)
    return ChatReader(tokenizer=tokenizer, form=form, template=choose_template(tokenizer, given), score=score)


def open_one(
    spec: ModelSpec,
    role: str,
    config: AuditConfig,
    device: str,
    *,
    held: HeldModel | None = None,
    form: str = "text",
) -> OpenedModel:
    """Open a model's files and settle how an audit that runs it on a device reads texts with it."""
    if held is None:
        files = open_model(spec, trust_remote_code=config.trust_remote_code)
    else:
        _refuse_elsewhere(role, config)
        refuse_unready(held.model, role, device=config.device, dtype=config.dtype)
        files = open_held(spec, held)
        device = held_device(held.model)
    encoder = Encoder.build(
        files.tokenizer,
        rule=config.prefix_token,
        n_vocabulary=files.n_vocabulary,
        context_window=files.context_window,
        max_tokens=config.max_tokens,
        adds_bos=files.adds_bos,
        form=form,
        chat=chat_reader(files.tokenizer, form=form, score=config.score, template_file=config.chat_template),
    )
    key = PassKey(
        weights_sha256=files.weights_sha256,
        config_sha256=files.config_sha256,
        tokenizer_sha256=tokenizer_fingerprint(files.tokenizer),
        prefix_token_ids=encoder.prefix.ids,
        dtype=files.compute_dtype if held else choose_dtype(config.dtype, device=device, stored=files.compute_dtype),
    )
    return OpenedModel(role=role, files=files, encoder=encoder, key=key, device=device)


def _refuse_elsewhere(role: str, config: AuditConfig) -> None:
    """Refuse to run a model in memory anywhere but where it is."""
    for option, value in (("device-map", config.device_map), ("engine", None if config.engine == "local" else "ray")):
        if value is not None:
            raise ConfigError(f"{role}: {option} {value} places models anew, and this one is in memory; leave it out, "
                              "or give the model's folder")  # fmt: skip


def _same_windows(models: Sequence[OpenedModel]) -> list[OpenedModel]:
    """Give all models the shortest window: a longer context alone would look like memorization."""
    window = min((model.encoder.window for model in models if model.encoder.window is not None), default=None)
    return [replace(model, encoder=replace(model.encoder, window=window)) for model in models]

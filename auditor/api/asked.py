"""The arguments of a program, turned into a configuration and what stands in memory behind its words."""

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from attacks import BUILTIN, Attack

from ..auditing.own_attacks import as_attack
from ..config import AttackSpec, AuditConfig, ModelSpec
from ..data.held_texts import described
from ..engine.loading.held import is_adapted, refuse_unready
from ..engine.loading.tokenizer_files import load_tokenizer
from ..errors import ConfigError
from ..in_memory import HeldModel, InMemory

__all__ = ["Asked", "settled"]

_TEXTS = ("members", "non_members", "shots", "member_shots", "frequency_corpus")


class Asked:
    """Options as the command line has them, filled with words for what is in memory; `config` makes them whole.

    Attributes
    ----------
    models : dict of str to HeldModel
    texts : dict of str to object
    attacks : dict of str to subclass of Attack
        What the words stand for.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = {name: _plain(value) for name, value in settings.items()}
        self.models: dict[str, HeldModel] = {}
        self.texts: dict[str, Any] = {}
        self.attacks: dict[str, type[Attack]] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._attacks: list[AttackSpec] = []

    def model(self, role: str, model: Any, tokenizer: Any) -> str:
        """Take a model: return its path, or words for one in memory, which is checked.

        Raises
        ------
        ConfigError, ModelError
            If a model in memory has no tokenizer, or is not ready to be scored.
        """
        if isinstance(model, str | os.PathLike):
            return str(os.fspath(model))
        device, dtype = self.options.get("device", "auto"), self.options.get("dtype", "auto")
        refuse_unready(model, role, device=device, dtype=dtype)
        if tokenizer is None:
            raise ConfigError(
                f"{role}: a model in memory comes without a tokenizer; give it as tokenizer=... (that of a reference "
                "as reference_tokenizer=..., if it is another one)"
            )
        bare = model.get_base_model() if is_adapted(model) else model
        words = f"{type(bare).__name__} in memory ({role})"
        adapter = f"{_kind_of_adapter(model)} in memory ({role})" if is_adapted(model) else None
        named = None if hasattr(tokenizer, "get_vocab") else str(os.fspath(tokenizer))
        spec = ModelSpec(path=words, adapter=adapter, tokenizer=named)
        own = copy.deepcopy(tokenizer) if named is None else load_tokenizer(spec)
        self.models[words], self._specs[words] = HeldModel(model=model, tokenizer=own), spec
        return words

    def text(self, name: str, texts: Any) -> None:
        """Take texts: a path as it is, words for an object."""
        if isinstance(texts, str | os.PathLike):
            self.options[name] = str(os.fspath(texts))
        elif texts is not None:
            words = f"{name.replace('_', '-')} in memory ({described(texts)})"
            self.options[name], self.texts[words] = words, texts

    def choose(self, attacks: Iterable[Any]) -> None:
        """Take attacks: names as on the command line, functions, classes and instances.

        Raises
        ------
        ConfigError
            If one is none of these, or two of one's own have one name.
        """
        if isinstance(attacks, str) or not isinstance(attacks, Iterable):
            raise ConfigError(f"attacks is a list of names, functions and classes, got {type(attacks).__name__}")
        for one in attacks:
            if isinstance(one, str):
                self._attacks.append(AttackSpec.parse(one))
                continue
            kind, spec = as_attack(one)
            known = BUILTIN.get(kind.name) or self.attacks.setdefault(kind.name, kind)
            if known is not kind:
                raise ConfigError(f"attacks: there are two attacks {kind.name!r}; rename one")
            self._attacks.append(spec)

    @property
    def config(self) -> AuditConfig:
        """The whole configuration.

        Raises
        ------
        ConfigError
            As for the command line.
        """
        config = AuditConfig.from_options(self.options)
        target = self._specs.get(config.target.path, config.target)
        references = tuple(self._specs.get(one.path, one) for one in config.references)
        if target.path in self._specs and not references and target.adapter is not None:
            references = (replace(target, adapter=None),)
        retrained = config.retrained and self._specs.get(config.retrained.path, config.retrained)
        return replace(config, target=target, references=references, retrained=retrained, attacks=tuple(self._attacks))

    @property
    def given(self) -> InMemory:
        """What the configuration's words stand for."""
        return InMemory(models=self.models, texts=self.texts, attacks=self.attacks)


def settled(
    target: Any,
    *,
    reference: Any = None,
    members: Any,
    tokenizer: Any = None,
    reference_tokenizer: Any = None,
    attacks: Iterable[Any] = (),
    settings: Mapping[str, Any],
) -> Asked:
    """Settle what an audit is asked, from the arguments of :func:`auditor.audit`.

    Raises
    ------
    ConfigError, ModelError
        For what cannot be asked.
    """
    if target is None:
        raise ConfigError("no target given: a path, an id, or a model in memory")
    if members is None:
        raise ConfigError("no members given: texts that the target was trained on")
    asked = Asked(settings)
    references = [] if reference is None else list(reference) if isinstance(reference, list | tuple) else [reference]
    theirs = tokenizer if reference_tokenizer is None else reference_tokenizer
    asked.options["target"] = asked.model("target", target, tokenizer)
    numbered = {i: "reference" if len(references) == 1 else f"reference {i}" for i in range(1, len(references) + 1)}
    if references:
        asked.options["references"] = [asked.model(numbered[i], one, theirs) for i, one in enumerate(references, 1)]
    if (retrained := settings.get("retrained")) is not None:
        asked.options["retrained"] = asked.model("retrained", retrained, tokenizer)
    _name_tokenizers(asked, target, references, tokenizer, reference_tokenizer)
    for name in _TEXTS:
        asked.text(name, members if name == "members" else settings.get(name))
    asked.choose(attacks)
    return asked


def _name_tokenizers(asked: Asked, target: Any, references: list[Any], tokenizer: Any, theirs: Any) -> None:
    """Name the tokenizers of models that are given by path; an object goes with a model in memory only."""
    for name, value, models in (("tokenizer", tokenizer, [target]), ("reference_tokenizer", theirs, references)):
        by_path = [one for one in models if isinstance(one, str | os.PathLike)]
        if value is None or not by_path:
            continue
        if not isinstance(value, str | os.PathLike):
            raise ConfigError(
                f"{name}: a {type(value).__name__} goes with a model in memory; {by_path[0]} has its own tokenizer: "
                f"leave {name} out, or give a folder, an id or a tokenizer.json"
            )
        asked.options[name] = str(os.fspath(value))


def _plain(value: Any) -> Any:
    """Write a value as a configuration file would."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _kind_of_adapter(model: Any) -> str:
    kind = next(iter(model.peft_config.values())).peft_type
    return str(getattr(kind, "value", kind))

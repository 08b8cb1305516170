"""The inputs of an audit, read before a model is opened: texts of both sides and of the attacks, and who saw what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attacks import Attack, Need

from ..config import AuditConfig, DataSpec, ModelSpec
from ..data import SampleSet, load_samples, load_texts
from ..data.chat import FORMS
from ..documents.coins import Coins
from ..documents.salt import read_salt
from ..documents.shadows import ShadowSet, load_shadows
from ..documents.split import SplitManifest, read_manifest
from ..engine.request import ScoringRequest
from ..errors import ConfigError
from ..in_memory import NOTHING, InMemory
from ..soundness.split import check_coins, check_salt, committed_coins
from .attack_choice import Headline, choose_attacks, choose_headline, is_by_name, needs_of
from .own_attacks import own_attacks

__all__ = ["Inputs", "read_inputs"]

_SERVES = {
    "shots": {Need.SHOTS},
    "member_shots": {Need.MEMBER_SHOTS},
    "frequency_corpus": {Need.TOKEN_COUNTS},
    "neighbour_model": {Need.NEIGHBOURS},
    "shadows": {Need.REFERENCE, Need.SEVERAL_REFERENCES, Need.SHADOWS},
}
"""Options that are there for attacks, and the needs that each of them meets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything but the models.

    Parameters
    ----------
    config : AuditConfig
        As given, but that shadow models stand among the references.
    attacks : tuple of Attack
    headline : Headline
    data : SampleSet
    shots, member_shots, frequency_texts : tuple of str
    shadows : ShadowSet or None
        What the last references are, if shadow models were given.
    seen : ndarray of bool, shape (n_references, n_samples), or None
        Which reference trained on which text, as far as known.
    warnings : tuple of str
        What was left out on the way.
    given : InMemory
        Objects that stand behind words of the configuration.
    manifest : SplitManifest or None
        Of the split that the texts come from, if it was given.
    coins : Coins or None
        What drew the sides of that split, checked against its commitment; None if it threw none, or hides them.
    """

    config: AuditConfig
    attacks: tuple[Attack, ...]
    headline: Headline
    data: SampleSet
    shots: tuple[str, ...]
    member_shots: tuple[str, ...]
    frequency_texts: tuple[str, ...]
    shadows: ShadowSet | None
    seen: NDArray[np.bool_] | None
    warnings: tuple[str, ...]
    given: InMemory = NOTHING
    manifest: SplitManifest | None = None
    coins: Coins | None = None

    @property
    def request(self) -> ScoringRequest:
        """What the engine is asked for these attacks."""
        return ScoringRequest(
            sample_ids=self.data.ids,
            texts=self.data.texts,
            form=self.data.form,
            needs=needs_of(self.attacks, self.config),
            shots=self.shots,
            member_shots=self.member_shots,
            frequency_texts=self.frequency_texts,
            shadows=self.shadows,
            seen=self.seen,
            held=self.given.models,
            extract=self.config.extract,
        )


def read_inputs(config: AuditConfig, given: InMemory = NOTHING) -> Inputs:
    """Choose the attacks and read every text.

    Parameters
    ----------
    config : AuditConfig
    given : InMemory
        Models, texts and attacks in memory, for which the configuration has words.

    Raises
    ------
    ConfigError, DataError
        For attacks whose needs are not met, and for texts that cannot be used.
    """
    own = own_attacks(config, given)
    attacks, warnings = choose_attacks(config, own)
    warnings += own.notes_on(attacks)
    manifest, coins = _read_split(config)  # a mistake is told before hours of scoring
    data = load_samples(
        config.members,
        config.non_members,
        drop=None if config.drop_ids is None else Path(config.drop_ids),
        held=given.texts,
    )
    if manifest is not None and coins is not None:
        check_coins(manifest, coins, data, read_salt(config.salt))
    if config.non_members is None:
        warnings.append("no non-members were given: bits and rankings only, no AUC; totals are uncalibrated")
    if config.retrained is not None and any(config.retrained.is_model(one) for one in config.references):
        warnings.append("the retrained model is a reference, too: attacks on it with that reference find nothing")
    if config.retrained is not None and config.retrained.is_model(config.target):
        raise ConfigError(f"--retrained {config.retrained} is the target: give a model that never saw the members")
    _refuse_same_shots(config)
    texts = {}
    for name in ("shots", "member_shots", "frequency_corpus"):
        texts[name], notes = _other_texts(getattr(config, name), f"--{name.replace('_', '-')}", data, given)
        warnings += [f"{name.replace('_', ' ')}: {note}" for note in notes]
    seen, shadows = None, None
    if config.shadows is not None:
        shadows = load_shadows(config.shadows)
        seen = _who_saw_what(shadows, len(config.references), data)
        _refuse_shadow_as_retrained(config, shadows)
        attacks, left_out = _possible(config, attacks, seen, shadows, data)
        warnings += left_out
        models = tuple(ModelSpec.parse(str(model), tokenizer=config.target.tokenizer) for model in shadows.models)
        if config.references:
            warnings.append(
                "shadow models stand beside --reference: bits and attacks with a reference are held against a mixture "
                f"of {len(config.references)} references and those of {len(models)} shadows that never saw a text, not "
                "against the references alone"
            )
        config = replace(config, references=(*config.references, *models))
    if unused := _unused(config, attacks):
        by = "the attacks named" if is_by_name(config) else "any attack that is run"
        warnings.append(f"not used by {by}: {', '.join(unused)}")
    return Inputs(
        config=config,
        attacks=tuple(attacks),
        headline=choose_headline(config, attacks, own),
        data=data,
        shots=texts["shots"],
        member_shots=texts["member_shots"],
        frequency_texts=texts["frequency_corpus"],
        shadows=shadows,
        seen=seen,
        warnings=tuple(warnings),
        manifest=manifest,
        coins=coins,
        given=given,
    )


def _read_split(config: AuditConfig) -> tuple[SplitManifest | None, Coins | None]:
    """Read the manifest of the split, and its coins where it threw some and they are revealed."""
    given = None if config.coins is None else Path(config.coins)
    if config.split_manifest is None:
        if given is not None:
            raise ConfigError(f"--coins {given} are those of a split: give its --split-manifest, too")
        return None, None
    path = Path(config.split_manifest)
    manifest = read_manifest(path)
    check_salt(manifest, read_salt(config.salt))
    return manifest, committed_coins(manifest, path, given)


def _other_texts(
    spec: DataSpec | None, option: str, data: SampleSet, given: InMemory
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read texts that stand beside the evaluated ones, none of which may be among them; and what was left out.

    An evaluated text among the shots would recognise itself.
    """
    if spec is None:
        return (), ()
    found, notes = load_texts(spec, given.texts)
    if found.form != data.form and {found.form, data.form} != {"messages", "conversations"}:
        raise ConfigError(
            f"{option}: {FORMS[found.form]}, and the members are {FORMS[data.form]}: give them in the same form"
        )
    evaluated = set(data.text_sha256)
    shared = sum(one in evaluated for one in found.text_sha256)
    if shared:
        raise ConfigError(
            f"{option}: {shared} of {len(found)} texts are among the members or non-members; texts that are evaluated "
            "too fake an AUC: take other texts"
        )
    return tuple(found.texts), notes


def _refuse_same_shots(config: AuditConfig) -> None:
    """Refuse the same texts as members and as non-members: what one kind does, the other would undo."""
    one, other = config.shots, config.member_shots
    if one is not None and other is not None and (_place(one.path), one.split) == (_place(other.path), other.split):
        raise ConfigError(f"--shots and --member-shots are both {one}: give non-members and members, one file each")


def _refuse_shadow_as_retrained(config: AuditConfig, shadows: ShadowSet) -> None:
    """Refuse a retrained model that is a shadow model, which trained on half of the texts."""
    retrained = config.retrained
    if retrained is not None and _place(retrained.adapter or retrained.path) in map(_place, shadows.models):
        raise ConfigError(
            f"--retrained {retrained} is one of the --shadows, which trained on half of the texts: give a model that "
            "never saw the members"
        )


def _place(path: str | Path) -> Path:
    """Where a path leads, links followed."""
    return Path(path).resolve()


def _unused(config: AuditConfig, attacks: Sequence[Attack]) -> list[str]:
    """Name the options that were given and that no attack needs."""
    needs = frozenset[Need]().union(*(attack.needs for attack in attacks))
    return [
        f"--{name.replace('_', '-')}"
        for name, served in _SERVES.items()
        if getattr(config, name) is not None and not needs & served
    ]


def _who_saw_what(shadows: ShadowSet, n_references: int, data: SampleSet) -> NDArray[np.bool_]:
    """Which reference trained on which text: plain references on none, shadows on those of their half."""
    seen = shadows.seen(data.text_sha256)
    return np.concatenate([np.zeros((n_references, len(data)), dtype=np.bool_), seen])


def _possible(
    config: AuditConfig, attacks: Sequence[Attack], seen: NDArray[np.bool_], shadows: ShadowSet, data: SampleSet
) -> tuple[list[Attack], list[str]]:
    """Leave out attacks that these shadow models are too few for; refuse if they were asked for by name."""
    n_in, n_out = seen.sum(axis=0), (~seen).sum(axis=0)
    fewest = {Need.SHADOWS: int(np.minimum(n_in, n_out).min()), Need.SEVERAL_REFERENCES: int(n_out.min())}
    unknown = shadows.n_unknown(data.text_sha256)
    why = f" ({unknown} texts were never given to `auditor shadows`)" if unknown else " (train more: --models)"
    notes = []
    asked_for = {attack.label for attack in attacks} if is_by_name(config) else {config.headline}
    kept = list(attacks)
    for need, what in ((Need.SHADOWS, "saw and two that did not see"), (Need.SEVERAL_REFERENCES, "did not see")):
        left_out = [attack.label for attack in kept if need in attack.needs and fewest[need] < 2]
        if refused := [label for label in left_out if label in asked_for]:
            raise ConfigError(f"attack {', '.join(refused)}: not every text has two shadow models that {what} it{why}")
        if left_out:
            notes.append(f"left out, as not every text has two models that {what} it{why}: {', '.join(left_out)}")
        kept = [attack for attack in kept if attack.label not in left_out]
    if int(n_out.min()) < 1:
        raise ConfigError(
            "--shadows: a text was seen by every model; nothing that never saw it is left to compare with"
        )
    return kept, notes

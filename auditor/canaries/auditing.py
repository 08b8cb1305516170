"""The audit of canaries: the loss of a model on every secret, ranked among those that coins left out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.base import TokenScores

from ..config import AuditConfig
from ..data.quoting import listing, plain
from ..documents.canaries import Canary, CanaryForm, CanaryResult
from ..documents.coins import of_text
from ..documents.epsilon import Condition
from ..engine.plan import Pass
from ..engine.ranks import ALONE, Rank
from ..engine.request import ScoringRequest
from ..engine.scoring import ScoringProgress
from ..engine.signals import Collected, collect_signals
from ..engine.tokens import encode
from ..errors import ConfigError, DataError
from ..estimates.canaries import measure_tiers
from ..estimates.epsilon import Claim, declared_conditions
from ..phases import CANARIES, OnPhase, Phase, unwatched
from ..stats.exposure import null_mean
from ..version import __version__
from .checking import explain
from .folder import CanarySet, is_in, read_canaries, read_check, read_insertions
from .insertion import shown

__all__ = ["audit_canaries", "canary_request"]

_LARGE_SHARE, _VERY_LARGE_SHARE = 0.001, 0.01


def audit_canaries(
    config: AuditConfig,
    folder: Path,
    *,
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None = None,
    on_phase: OnPhase = unwatched,
    rank: Rank = ALONE,
) -> CanaryResult:
    """Score all canaries, those that were left out as well, and measure every tier.

    Parameters
    ----------
    config : AuditConfig
        Target, references, and how they are run; its texts are not read.
    folder : Path
        Of the canaries.
    scores_folder : Path
        The score store.
    on_progress, on_phase : callable, optional
        Told of every batch scored, and of every phase that begins, of `auditor.phases.CANARIES`.
    rank : Rank

    Raises
    ------
    ConfigError, DataError
        If coins do not match their commitment, the final data do not hold the canaries, or a canary does not fit.
    """
    on_phase(Phase(label=CANARIES[1]))
    canaries, form, held = _recorded(folder, config.canary_form)
    on_phase(Phase(label=CANARIES[2]))
    request = _request(config, canaries, form)
    collected = collect_signals(config, request, scores_folder=scores_folder, on_progress=on_progress, rank=rank)
    on_phase(Phase(label=CANARIES[3]))
    ours = canaries.secrets.canaries
    scores = _secret_scores(collected, ours, form)
    inside = np.array([is_in(canaries.secrets, one) for one in ours])
    n_out = int((~inside).sum())
    claim = Claim(delta=config.delta, confidence=config.confidence, guess_share=config.guess_share)
    attack = "reference" if config.references else "loss"
    target, *references = collected.models
    return CanaryResult(
        auditor_version=__version__,
        canaries=str(folder),
        coins_sha256=canaries.manifest.coins_sha256,
        target=str(target.files.spec),
        target_sha256=target.files.weights_sha256,
        references=tuple(str(one.files.spec) for one in references),
        form=form,
        attack=attack,
        n_canaries=len(ours),
        n_ranked_against=n_out,
        null_exposure=null_mean(n_out) if n_out else None,
        largest_exposure=float(np.log2(n_out)) if n_out else None,
        tiers=measure_tiers(
            [of_text(one.sha256) for one in ours],
            scores,
            inside,
            np.array([one.copies for one in ours]),
            claim=claim,
            attack=attack,
            conditions=(*_conditions(folder, canaries, held, bool(references)), *declared_conditions(
                headline=f"the loss on the secret{' beyond the reference' if references else ''}", by_default=True,
                guess_share=config.guess_share,
            )),
        ),
        warnings=(*_warnings(folder), *collected.notes),
    )  # fmt: skip


def canary_request(config: AuditConfig) -> ScoringRequest:
    """Return what the engine is asked for the canaries of an audit.

    Raises
    ------
    ConfigError, DataError
        As `audit_canaries` does, before anything is scored.
    """
    canaries, form, _ = _recorded(Path(config.canaries or ""), config.canary_form)
    return _request(config, canaries, form)


def _recorded(folder: Path, form: CanaryForm | None) -> tuple[CanarySet, CanaryForm, bool]:
    """Read the canaries, their form, and whether the final data were seen to hold them."""
    canaries, check = read_canaries(folder), read_check(folder)
    if check is not None and not check.holds:
        raise DataError(f"{explain(check)}; mend the data, check them again, and train on them")
    return canaries, form or _recorded_form(folder), check is not None


def _recorded_form(folder: Path) -> CanaryForm:
    """Return the form in which the canaries were inserted; which of two is meant is not for us to guess."""
    insertions = read_insertions(folder)
    how = "with --form (auditor canaries audit) or --canary-form (auditor audit)"
    if not insertions:
        raise ConfigError(
            f"{folder}: no insertion was recorded, so the form of the canaries is not known: say text, "
            f"prompt-completion or messages {how}"
        )
    first, *others = dict.fromkeys(one.form for one in insertions)
    if others:
        each = listing([f"{one.form} in {plain(one.out)}" for one in insertions])
        raise ConfigError(f"{folder}: canaries were inserted in several forms ({each}): say which was trained on {how}")
    return first


def _request(config: AuditConfig, canaries: CanarySet, form: CanaryForm) -> ScoringRequest:
    ours = canaries.secrets.canaries
    texts = _chats(config, ours) if form == "messages" else [one.text for one in ours]
    return ScoringRequest(sample_ids=[one.id for one in ours], texts=texts)


def _chats(config: AuditConfig, canaries: Sequence[Canary]) -> list[str]:
    """Write canaries as the target's chat template does."""
    from ..engine.loading.tokenizer_files import TOKENIZER_OPTIONS, load_tokenizer

    tokenizer = load_tokenizer(config.target, trust_remote_code=config.trust_remote_code, way_out=TOKENIZER_OPTIONS)
    if not tokenizer.chat_template:
        raise ConfigError(
            f"{config.target}: its tokenizer has no chat template, and the canaries stand in messages; name the one "
            "that it was trained with (--tokenizer M)"
        )
    turns = [
        [{"role": "user", "content": one.prefix}, {"role": "assistant", "content": shown(one, "messages")}]
        for one in canaries
    ]
    found = [str(tokenizer.apply_chat_template(one, tokenize=False)) for one in turns]
    if lost := [one.id for one, text in zip(canaries, found, strict=True) if shown(one, "messages") not in text]:
        raise ConfigError(f"{config.target}: its chat template changes the secrets of {listing(lost)}")
    return found


def _secret_scores(collected: Collected, canaries: Sequence[Canary], form: CanaryForm) -> NDArray[np.float64]:
    """Score each canary by the loss on its secret alone, beyond that of the references where there are some.

    Returns
    -------
    ndarray of float64, shape (n_canaries,), nats
        ``ln p(secret | prefix)`` under the target, less its mean under the references. Higher is remembered better.
    """
    found = collected.signals
    texts = [str(text) for text in collected.plan.texts]
    views = collected.plan.n_views
    target = _on_secrets(collected.plan.passes[0], found.target, texts, canaries, form)
    others = [
        _on_secrets(one, scores, texts, canaries, form)
        for one, scores in zip(collected.plan.passes[views:], found.references, strict=True)
    ]
    return target - np.mean(others, axis=0) if others else target


def _on_secrets(
    one: Pass, scores: TokenScores, texts: Sequence[str], canaries: Sequence[Canary], form: CanaryForm
) -> NDArray[np.float64]:
    """Sum the log-probabilities of the tokens of each secret, shape (n_canaries,), nats."""
    tokenizer = one.encoder.tokenizer
    sums, beyond = [], []
    for canary, text, logprobs in zip(canaries, texts, scores.per_text(scores.logprob), strict=True):
        secret = shown(canary, form)
        start = text.rfind(secret)
        if start < 0 or (one.encoder.window is not None and len(encode(tokenizer, [text])[0]) > one.encoder.window):
            beyond.append(canary.id)
            continue
        before, after = _tokens_around(tokenizer, text, start, start + len(secret))
        n_unscored = len(encode(tokenizer, [text])[0]) - logprobs.size
        sums.append(float(logprobs[max(0, before - n_unscored) : logprobs.size - after].sum()))
    if beyond:
        raise DataError(
            f"{one.model.files.spec}: {len(beyond)} of {len(canaries)} canaries do not fit its window: "
            f"{listing(beyond)}; leave --max-tokens out, or make shorter ones"
        )
    return np.array(sums)


def _tokens_around(tokenizer: Any, text: str, start: int, stop: int) -> tuple[int, int]:
    """Count the tokens that lie wholly before, and wholly after, a part of a text."""
    whole, head, tail = encode(tokenizer, [text, text[:start] or " ", text[stop:] or " "])
    head, tail = head if start else [], tail if stop < len(text) else []
    return _shared(whole, head), _shared(whole[::-1], tail[::-1])


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the first entries that two sequences have in common."""
    n = 0
    while n < min(len(one), len(other)) and one[n] == other[n]:
        n += 1
    return n


def _conditions(folder: Path, canaries: CanarySet, held: bool, with_reference: bool) -> tuple[Condition, ...]:
    """Say what of the canaries was checked, and what could not be."""
    n, n_insertions = len(canaries.secrets.canaries), len(read_insertions(folder))
    return (
        Condition(
            name="independent_fair_coins",
            verdict="met",
            detail=f"each of {n} canaries has a coin of its own, and the seed of the coins is the one that the "
            f"manifest committed to ({canaries.manifest.coins_sha256[:16]}…)",
        ),
        Condition(
            name="every_unit_audited",
            verdict="met",
            detail=f"all {n} canaries were scored, those that were left out as well",
        ),
        Condition(
            name="one_coin_per_unit",
            verdict="met",
            detail="each canary is a record of nobody else's; its copies are a group, and share its coin",
        ),
        Condition(
            name="in_the_final_data",
            verdict="met" if held else "unchecked",
            detail="the tokenised data were checked, and hold every canary as often as its coin says"
            if held
            else "nobody looked at the data as the trainer read them (`auditor canaries check`); lost canaries make "
            "the bound low, not wrong",
        ),
        *(
            [
                Condition(
                    name="inserted_once",
                    verdict="unchecked",
                    detail=f"the canaries were inserted into {n_insertions} sets of data: a target trained on several "
                    "saw each more often than its tier says, and the bound of a record is then too high",
                )
            ]
            if n_insertions > 1
            else []
        ),
        *(
            [
                Condition(
                    name="reference_blind",
                    verdict="unchecked",
                    detail="the reference must not have been trained on data that hold these canaries",
                )
            ]
            if with_reference
            else []
        ),
    )


def _warnings(folder: Path) -> list[str]:
    """Say where so many canaries were inserted that they are a part of the training."""
    insertions, check = read_insertions(folder), read_check(folder)
    share = check.share_of_tokens if check else max((one.share_of_characters for one in insertions), default=0.0)
    if share <= _LARGE_SHARE:
        return []
    much = "so many change what is trained" if share > _VERY_LARGE_SHARE else "0.1% is usual at most"
    return [f"canaries are {share:.2%} of the training data: {much}"]

"""The sequential audit: texts in random order, every gate looked at after each few, until all are decided."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from attacks import Signals

from ..config import AuditConfig
from ..documents.gates import EarlyStop, GateOutcome, GateReport
from ..documents.salt import read_salt
from ..engine.gradual import GradualTarget, Watch
from ..engine.signals import Collected
from ..errors import ConfigError
from ..estimates.scores import score_samples
from ..gates.judge import conclude, explain_unsound, state_outcome
from ..gates.policy import Policy
from ..gates.sequential import Question, topics_of
from ..gates.subject import Judged, explain_inversion
from ..phases import UNTIL_DECIDED, OnPhase, Phase, unwatched
from ..soundness.checks import is_same_model
from ..stats.sequential import level_per_gate
from .before_scoring import Prepared, prepare
from .inputs import read_inputs

__all__ = ["audit_until_decided", "parts_of"]

TEXTS_PER_LOOK = 32
"""Texts scored from one look to the next, at least, in whole blocks: enough for a forward pass to be worth it."""


def audit_until_decided(
    config: AuditConfig,
    policy: Policy,
    *,
    scores_folder: Path,
    today: date,
    warn_only: bool = False,
    on_progress: Watch = None,
    on_phase: OnPhase = unwatched,
) -> GateReport:
    """Run the target on texts in random order until every gate of a policy is decided.

    The references are run on all texts first (nothing is run that is in the score store, so a pack costs nothing), and
    all checks are made that take no target. If one of them vetoes, every gate is refused and the target is not run.

    Parameters
    ----------
    config : AuditConfig
    policy : Policy
    scores_folder : Path
        The score store; a run that was killed goes on where it was, and a full audit uses what was scored here.
    today : date
        The day on which waivers are read.
    warn_only : bool
        Report everything as it is, but with exit code 0.
    on_progress : callable, optional
        Told of every batch scored.
    on_phase : callable, optional
        Told of every phase that begins, of `auditor.phases.UNTIL_DECIDED`.

    Returns
    -------
    GateReport
        A gate that all texts do not decide is inconclusive. A gate on bits takes the interval of a full audit then, at
        a level that allows for the looks before; on rates none takes over, as it would be one look more than allowed.

    Raises
    ------
    ConfigError
        If a gate cannot be decided early, or the audit asks for what takes all texts.
    AuditError
        As :func:`auditor.auditing.pipeline.audit` does.

    Notes
    -----
    Intervals are confidence sequences (`auditor.stats.sequential`), together of the level of the configuration by
    Bonferroni's method over all pairs of gate and attack, unless the policy says ``correction = "none"``. Of a group
    (copies, near-copies, groups of the data) one text at random is scored. The order depends on the seed and on the
    hashes of the texts alone. Of the checks, the negative control is left out, as it takes the target's scores of all
    texts; it never vetoes.
    """
    _refuse_what_takes_all(config)
    on_phase(Phase(label=UNTIL_DECIDED[1]))
    inputs = read_inputs(config)
    config = inputs.config
    topics, elsewhere = topics_of(
        policy, inputs.attacks, headline=inputs.headline.label, has_reference=bool(config.references)
    )
    prepared = prepare(inputs, topics, scores_folder, on_progress, on_phase)
    questions = _questions(prepared, policy)
    target_notes: list[str] = []
    n_scored = n_tokens = 0
    same_model = False
    if prepared.soundness.verdict != "veto":
        on_phase(Phase(label=UNTIL_DECIDED[4]))
        with prepared.target(scores_folder, on_progress) as target:
            n_scored, same_model = _score_until_decided(prepared, target, questions)
            n_tokens = target.n_tokens_scored
        target_notes = target.notes
    judged = _judged(prepared, same_model)
    data = inputs.data
    refusal = _refusal(judged, questions, inputs.headline.label)
    report = conclude(
        policy,
        judged,
        [_outcome(question, policy, today, len(questions), refusal, judged.vetoes) for question in questions],
        correction=_said_correction(policy, config.confidence, questions),
        notes=(
            *_said_of_texts(prepared, questions, n_scored, config.seed),
            *inputs.warnings,
            *prepared.notes,
            *target_notes,
        ),
        elsewhere=elsewhere,
        today=today,
        warn_only=warn_only,
    )
    salt = read_salt(config.salt)
    keyed = str if salt is None else salt.keyed
    stop = EarlyStop(
        n_texts_scored=n_scored,
        n_texts=len(prepared.order),
        n_texts_left_out=len(data) - len(prepared.order),
        n_tokens_scored=n_tokens,
        seed=config.seed,
        headline=inputs.headline.label,
        members_sha256=keyed(data.sha256("members")),
        non_members_sha256=keyed(data.sha256("non_members")),
    )
    return replace(report, early_stop=stop)


def _refuse_what_takes_all(config: AuditConfig) -> None:
    """Refuse what an audit that stops early cannot give."""
    if config.non_members is None:
        raise ConfigError("--until-decided compares both sides: give --non-members")
    if config.retrained is not None:
        raise ConfigError("--retrained compares two models on all texts: leave it or --until-decided out")
    if config.engine == "ray":
        raise ConfigError("--until-decided scores a few texts at a time, in this process: leave --engine ray out")


def _questions(prepared: Prepared, policy: Policy) -> list[Question]:
    """Ask of each gate and attack whether it is decided, at levels that hold together."""
    level = prepared.inputs.config.confidence
    if policy.correction != "none":
        level = level_per_gate(level, len(prepared.topics))
    return [Question(topic=topic, level=level, block=prepared.block, cap=prepared.cap) for topic in prepared.topics]


def _score_until_decided(prepared: Prepared, target: GradualTarget, questions: Sequence[Question]) -> tuple[int, bool]:
    """Score and look; return the number of texts, and whether the target is one with the reference in what it says."""
    signals = replace(prepared.references, files=(*target.files, *prepared.references.files))
    n, n_scored, is_same = len(prepared.order), 0, bool(prepared.inputs.config.references)
    for places in parts_of(n, sum(prepared.block)):
        target.score(places)
        scores = score_samples(prepared.attacks, _Part(signals, places))
        for question in questions:
            question.look(scores, prepared.is_member[places], last=places.stop == n)
        n_scored = places.stop
        is_same = is_same and scores.bits is not None and is_same_model(scores.bits.signed)
        if all(question.decision != "undecided" for question in questions):
            break
    return n_scored, is_same


def parts_of(n_texts: int, block: int) -> Iterator[slice]:
    """Yield the places of the texts that are scored from one look to the next."""
    step = block * math.ceil(TEXTS_PER_LOOK / block)
    return (slice(start, min(start + step, n_texts)) for start in range(0, n_texts, step))


@dataclass(frozen=True, slots=True)
class _Part:
    """The signals of consecutive samples."""

    collected: Collected
    places: slice

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Id of each sample."""
        return self.collected.sample_ids[self.places]

    @property
    def signals(self) -> Signals:
        """All of them."""
        return self.collected.read(self.places)

    def blocks(self) -> Iterator[tuple[slice, Signals]]:
        """Yield places and signals, as one block."""
        yield slice(0, len(self.sample_ids)), self.signals


def _judged(prepared: Prepared, is_same_model: bool) -> Judged:
    """Name the target in place of a document, with what forbids a verdict and what should make readers careful."""
    checks = prepared.soundness.checks
    vetoes = tuple(check.name for check in checks if check.verdict == "veto")
    if is_same_model:
        vetoes = ("distinct_models",)
    files = prepared.references.models[0].files
    return Judged(
        path=str(files.spec),
        sha256=files.weights_sha256,
        kind="audit",
        subject=files.spec.path,
        soundness="veto" if vetoes else prepared.soundness.verdict,
        vetoes=vetoes,
        doubts=tuple(check.name for check in checks if check.verdict == "warn"),
        figures={},
        missing={},
    )


def _refusal(judged: Judged, questions: Sequence[Question], headline: str) -> str | None:
    """Say why no gate may be decided: a check vetoes, or the headline attack is inverted."""
    if judged.vetoes:
        return explain_unsound(judged.vetoes)
    for question in questions:
        attack = question.topic.attack
        if question.decision == "refused" and attack is not None and attack.label == headline:
            return explain_inversion("the headline attack is inverted", "AUC", question.figure)
    return None


def _outcome(
    question: Question, policy: Policy, today: date, n_questions: int, refusal: str | None, vetoes: Sequence[str]
) -> GateOutcome:
    """Say what became of a gate."""
    outcome, reason = question.decision, question.reason
    refused = refusal is not None or outcome == "refused"
    p_value = question.p_value
    adjusted = None if p_value is None or policy.correction == "none" else min(1.0, p_value * n_questions)
    return state_outcome(
        question.topic.gate,
        question.figure,
        "refused" if refused else "inconclusive" if outcome == "undecided" else outcome,
        refusal or reason,
        policy=policy,
        today=today,
        several=question.topic.several,
        p_value=None if refused else p_value,
        p_value_adjusted=None if refused else adjusted,
        vetoes=vetoes,
    )


def _said_correction(policy: Policy, level: float, questions: Sequence[Question]) -> str:
    """Say how looking often, and at several gates, is corrected for."""
    looks = "intervals hold at all looks at once"
    if policy.correction == "none":
        return f"{looks}; none for several gates: each is decided wrongly as often as its interval misses"
    if len(questions) == 1:
        return f"{looks}; none needed for one gate"
    each = f"{100 * questions[0].level:.4g}%"
    return f"{looks}; Bonferroni over {len(questions)}: each is of {each}, all together of {100 * level:g}%"


def _said_of_texts(prepared: Prepared, questions: Sequence[Question], n_scored: int, seed: int) -> list[str]:
    """Say how many texts the target was run on, and which were not looked at."""
    n, n_all = len(prepared.order), len(prepared.inputs.data)
    if not n_scored:
        return [f"the target was not run: checks of the {n_all} texts forbid a verdict"]
    n_open = sum(question.decision == "undecided" for question in questions)
    said = f"decided after {n_scored} of {n} texts, in random order (seed {seed})"
    if n_open:
        said = f"{n_open} of {len(questions)} gates not decided after all {n} texts"
    left_out = f"{n_all - n} of {n_all} texts left out: one of each group is scored"
    return [said, *([left_out] if n < n_all else [])]

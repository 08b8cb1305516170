"""The evidence annex: what was measured, beside what four public documents ask to be shown. HTML and Markdown.

No judgement of law is made here: of each subject the annex says what the audit shows, what it does not, and how strong
that is, with the key of ``result.json`` that each figure stands under. What the paragraphs ask is given at second hand,
in our words.

References
----------
.. [1] EDPB, *Opinion 28/2024 on certain data protection aspects related to the processing of personal data in the
   context of AI models*, 17 December 2024, paragraphs 46 and 55.
.. [2] NIST, *AI 600-1: Generative Artificial Intelligence Profile*, July 2024, section 2.4, actions MS-2.7-007,
   MS-2.10-001 and MS-2.10-003.
.. [3] Regulation (EU) 2024/1689 (AI Act), annexes IV and XI.
.. [4] Regulation (EU) 2016/679 (GDPR), article 35(7).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from auditor.documents.estimate import Estimate
from auditor.documents.result import AuditResult

from . import escaping
from .attacks import headline_attack
from .figure_rows import models
from .numbers import Change, Count, Quantity, count, percent, plain, plural
from .soundness import is_vetoed, trust
from .to_html import style_sheet, templates
from .to_markdown import code, escaped, table_lines
from .tones import Tone

__all__ = ["ANNEX_RENDERERS", "Files", "Found", "Requirement", "Source", "annex", "to_html", "to_markdown"]

Shown = Literal["shown", "partly shown", "not shown"]

TONES: dict[Shown, Tone] = {"shown": "ok", "partly shown": "info", "not shown": "warn"}
"""How a word on coverage is coloured: it says what there is evidence of, never that the evidence is good news."""


class Found(NamedTuple):
    """A figure of the audit: its key in ``result.json``, what it is, and value with interval or why there is none.

    ``counts`` tells whether it is evidence: a figure that is undefined or uncalibrated is listed and shows nothing.
    ``is_fact`` holds of what was not estimated, such as a hash or a date, which no soundness check can void.
    """

    key: str
    what: str
    said: str
    counts: bool = True
    is_fact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A subject that a paragraph asks about, and what this audit says of it.

    ``most`` is what an audit of this kind can show of the subject at best, ``missing`` what it leaves open even then.
    """

    place: str
    subject: str
    most: Shown
    found: tuple[Found, ...]
    missing: str
    shown: Shown = "not shown"
    strength: str = ""


class Source(NamedTuple):
    """A public document, and the subjects in it that the audit bears on."""

    title: str
    note: str
    requirements: tuple[Requirement, ...]


class FileSum(NamedTuple):
    """A file with its SHA-256, and whether that is what ``checksums.json`` says."""

    name: str
    sha256: str
    state: str


class Files(NamedTuple):
    """The files that an annex rests on, and what vouches for them."""

    sums: tuple[FileSum, ...] = ()
    checked: str = "No file was looked at: this annex was drawn from a document in memory."
    signed: str = "Not signed: nothing here says who made the files."


def annex(result: AuditResult) -> tuple[Source, ...]:
    """Map what was measured to what each public document asks about.

    Parameters
    ----------
    result : AuditResult

    Returns
    -------
    tuple of Source
        Subjects in the order of the documents, each with what is shown, from which figures, and what is not.
    """
    sources = (_edpb(result), _nist(result), _ai_act(result), _dpia(result))
    return tuple(
        source._replace(requirements=tuple(_judged(one, result) for one in source.requirements)) for source in sources
    )


def _judged(one: Requirement, result: AuditResult) -> Requirement:
    """Say whether the figures that there are show anything, and how strong they are."""
    figures = [found for found in one.found if not found.is_fact]
    if one.most == "not shown" or not one.found:
        return replace(one, strength="no evidence in this audit")
    if not figures:
        return replace(one, shown=one.most, strength="a statement of fact, without an interval")
    if not any(found.counts for found in figures):
        return replace(one, strength="none: nothing that was measured shows it, for the reasons beside the figures")
    if is_vetoed(result):
        return replace(
            one, strength="none: a soundness check forbids a verdict, and the figures are for diagnosis only"
        )
    return replace(one, shown=one.most, strength=_strength(result))


def _strength(result: AuditResult) -> str:
    """Say what the figures rest on: texts, checks, and whether anything debiases them."""
    data, checks = result.data, trust(result)
    others = data.non_members.n_samples if data.non_members else 0
    texts = f"one model, {plural(data.members.n_samples, 'member')} and {plural(others, 'non-member')}"
    if not others:
        return f"weak: no non-members to compare with; {texts}"
    if result.soundness is None or not checks.checks:
        return f"unknown: no soundness check was run; {texts}"
    if checks.names:
        return f"with caution, as checks warn ({', '.join(checks.names)}); {texts}"
    return f"as far as its interval and {plural(len(checks.checks), 'passed check')} reach; {texts}"


def _figure(key: str, quantity: Quantity) -> Found:
    level = f" ({quantity.level})" if quantity.defined else ""
    return Found(key, quantity.label, f"{quantity.text}{level}", counts=quantity.defined)


def _quantity(key: str, label: str, unit: str, estimate: Estimate, kind: type[Quantity] = Quantity) -> Found:
    return _figure(key, kind(label=label, unit=unit, estimate=estimate))


def _bare(key: str, what: str, said: object) -> Found:
    return Found(key, what, str(said), is_fact=True)


def _membership(result: AuditResult) -> Iterator[Found]:
    """Yield what was found of membership: the attack fixed in advance, its tail, all attacks, the grade."""
    attack = headline_attack(result)
    if attack is not None:
        key = f"attacks.{attack.attack}"
        yield _quantity(f"{key}.auc", f"AUC of the attack {attack.attack}, fixed in advance", "", attack.auc)
        for rate in sorted(attack.tpr_at_fpr, key=lambda one: one.fpr)[:1]:
            label = f"Members found at {percent(rate.fpr)} false alarms"
            yield _quantity(f"{key}.tpr_at_fpr.{rate.fpr:g}", label, "%", rate)
    if result.selection is not None:
        label = f"AUC of the best of {plural(result.selection.n_attacks, 'attack')}, chosen on other texts"
        yield _quantity("selection.best_auc", label, "", result.selection.best_auc)
    if result.combination is not None:
        yield _quantity("combination.auc", "AUC of all attacks together", "", result.combination.auc)
    stand_out = result.risk.stand_out if result.risk else None
    if stand_out is not None:
        key = "risk.stand_out.n_beyond_every_non_member"
        yield _quantity(key, "Members above every non-member", "members", stand_out.n_beyond_every_non_member, Count)
    if result.grade is not None and result.grade.overall is not None:
        yield _bare("grade.overall", "Strength of the signal, the worse of average and tail", result.grade.overall)


def _memory(result: AuditResult) -> Iterator[Found]:
    """Yield how many bits are held of the members, on average and of the worst."""
    memory = result.memorization
    if memory is None:
        return
    key, label = "debiased_bits_per_member", "Memorized bits, less those of non-members"
    if not memory.calibrated:
        key, label = "clipped_bits_per_member", "Bits, not less those of non-members: an upper figure"
    named = [(f"memorization.{key}", label, getattr(memory, key))]
    for tail in result.risk.tails[:1] if result.risk else ():
        label = f"Mean bits of the most memorized {percent(tail.share)} of the members"
        named.append((f"risk.tails.{tail.share:g}.mean_bits", label, tail.mean_bits))
    for path, label, estimate in named:
        found = _quantity(path, label, "bits per member", estimate)
        yield found._replace(counts=found.counts and memory.calibrated)


def _regurgitation(result: AuditResult) -> Iterator[Found]:
    """Yield how many members are written out word for word, beyond what the model can guess of texts it never saw."""
    part = result.extraction
    if part is None:
        return
    given = f"{part.suffix_tokens} tokens after {part.prefix_tokens}"
    yield _quantity("extraction.rate_members", f"Members drawn out ({given}; {part.sampler})", "%", part.rate_members)
    yield _quantity("extraction.rate_beyond", "The same beyond non-members", "%", part.rate_beyond, Change)
    greedy = part.greedy_rate_beyond
    yield _quantity("extraction.greedy_rate_beyond", "By greedy decoding, beyond non-members", "%", greedy, Change)
    by_heart = part.by_heart_rate_beyond
    yield _quantity(
        "extraction.by_heart_rate_beyond", "Not by the reference, beyond non-members", "%", by_heart, Change
    )
    if part.confirmed is not None:
        label = f"Of {count(part.confirmed.n_generated)} claims, confirmed by generation"
        yield _quantity("extraction.confirmed.rate", label, "%", part.confirmed.rate)


def _coins(result: AuditResult) -> Iterator[Found]:
    """Yield bounds that rest on coins thrown before training, and not on the sides being alike."""
    bounds = [("epsilon", "of the texts", result.epsilon)] if result.epsilon else []
    for tier in result.canaries.tiers if result.canaries else ():
        name = f"canaries.tiers.{tier.copies}"
        yield _quantity(f"{name}.exposure", f"Mean exposure of canaries, {tier.copies}x", "bits", tier.exposure)
        bounds.append((f"{name}.epsilon", f"of canaries, {tier.copies}x", tier.epsilon))
    for key, what, bound in bounds:
        low, label = bound.epsilon_lower_bound, f"Lower bound on epsilon {what}, by coins"
        if low is None:
            yield Found(key, label, f"— (not defined: {bound.undefined_reason})", counts=False)
        else:
            at = f"≥ {plain(low)}, with {percent(bound.confidence)} confidence at delta {bound.delta:g}"
            yield Found(key, label, f"{at}; at most {plain(bound.ceiling)} could have been shown")


def _checks(result: AuditResult, *names: str) -> Iterator[Found]:
    """Yield what soundness checks of these names found."""
    for check in result.soundness.checks if result.soundness else ():
        if not names or check.name in names:
            yield _bare(f"soundness.checks.{check.name}", check.name, f"{check.verdict}: {check.detail}")


def _texts(result: AuditResult) -> Iterator[Found]:
    """Yield which texts were audited."""
    for side in ("members", "non_members"):
        data = getattr(result.data, side)
        if data is not None:
            said = f"{plural(data.n_samples, 'text')}, {plural(data.n_tokens, 'scored token')}, SHA-256 {data.sha256}"
            yield _bare(f"data.{side}", f"Audited {side.replace('_', '-')}", said)


def _target(result: AuditResult) -> Iterator[Found]:
    """Yield which model was audited."""
    for model in models(result, "target"):
        parameters = plural(model.n_parameters, "parameter")
        yield _bare("provenance.models", "Architecture", f"{model.architecture}, {parameters}, scored in {model.dtype}")
        yield _bare("provenance.models", "Weights, SHA-256", model.weights_sha256)


def _run(result: AuditResult) -> Iterator[Found]:
    """Yield when and by what the audit was made."""
    run = result.provenance
    yield _bare("provenance.started_at", "Date of the test", run.started_at)
    yield _bare("provenance.auditor_version", "Made by", f"auditor {run.auditor_version}")


def _retrained(result: AuditResult) -> Iterator[Found]:
    """Yield how the target differs from a model that never saw the members."""
    if result.retrained is not None:
        label = "Bits per member beyond a model retrained without them"
        yield _quantity("retrained.net_bits_per_member", label, "bits per member", result.retrained.net_bits_per_member)


def _subject(
    place: str,
    subject: str,
    most: Shown,
    missing: str,
    result: AuditResult,
    *parts: Callable[[AuditResult], Iterator[Found]],
) -> Requirement:
    found = tuple(one for part in parts for one in part(result))
    return Requirement(place=place, subject=subject, most=most, found=found, missing=missing)


def _edpb(result: AuditResult) -> Source:
    return Source(
        "EDPB opinion 28/2024",
        "Of 17 December 2024. Paragraph 55 lists kinds of attack that a model may have been tested against; a passed "
        "test is evidence about the attacks that were run, and not about others.",
        (
            _subject(
                "paragraph 55 (i)", "Attribute and membership inference", "partly shown",
                "Attribute inference was not tried. Membership was inferred from token probabilities of whole texts; "
                "stronger attacks than those run may exist.",
                result, _membership, _memory, _coins,
            ),
            _subject(
                "paragraph 55 (ii)", "Exfiltration", "not shown",
                "No attempt was made to get at data or weights through a deployed system.", result,
            ),
            _subject(
                "paragraph 55 (iii)", "Regurgitation of training data", "shown",
                "Only audited texts, each from its own beginning, word for word; paraphrases, other prompts and the "
                "filters of a deployed system were not tried.",
                result, _regurgitation,
            ),
            _subject(
                "paragraph 55 (iv)", "Model inversion", "not shown",
                "No input was reconstructed from the weights or outputs; extraction, under (iii), starts from the "
                "beginnings of known texts.", result,
            ),
            _subject(
                "paragraph 55 (v)", "Reconstruction", "not shown",
                "No record was reconstructed without a beginning of its text.", result,
            ),
            _subject(
                "paragraph 46", "Context of the release", "not shown",
                "Who can reach the model, by which means and behind which filters is not in the audit: it read token "
                "probabilities, as whoever holds the weights can. To be written by who releases the model.",
                result,
            ),
        ),
    )  # fmt: skip


def _nist(result: AuditResult) -> Source:
    return Source(
        "NIST AI 600-1, data privacy",
        "Generative AI profile, July 2024. A voluntary profile.",
        (
            _subject(
                "section 2.4", "Leakage of data that the model was trained on", "partly shown",
                "What is personal in the texts was not looked for, and neither was what the model infers about people "
                "who are not in them.",
                result, _membership, _memory, _regurgitation,
            ),
            _subject(
                "MS-2.10-001", "Red-teaming: training samples put out, membership inferred", "partly shown",
                "Model extraction, reverse engineering, kinds of sensitive information and location were not tried.",
                result, _regurgitation, _membership, _coins,
            ),
            _subject(
                "MS-2.7-007", "Red-teaming against attacks on machine learning, membership inference among them",
                "partly shown", "Of these attacks, membership inference and extraction alone.", result, _membership,
            ),
            _subject(
                "MS-2.10-003", "Training samples without duplicates", "partly shown",
                "Only the audited texts were compared, not the whole training set.", result,
                lambda one: _checks(one, "overlap", "near_duplicates", "near_duplicates_within"),
            ),
        ),
    )  # fmt: skip


def _ai_act(result: AuditResult) -> Source:
    return Source(
        "EU AI Act, technical documentation",
        "Regulation (EU) 2024/1689: annex IV is about high-risk systems, annex XI about general-purpose models, its "
        "section 2 about those with systemic risk. Which of them applies is not judged here.",
        (
            _subject(
                "annex IV, point 2(g)", "Procedures, data, metrics and dated, signed reports of tests", "partly shown",
                "Of tests, those of memorization alone; the reports are dated, and not signed by a person.",
                result, _run, _texts, _membership, _regurgitation,
            ),
            _subject(
                "annex IV, point 2(h)", "Cybersecurity measures", "not shown", "An audit of a model, not of measures.",
                result,
            ),
            _subject(
                "annex XI, section 1, point 1(d)", "Architecture and number of parameters", "shown",
                "As read from the weights.", result, _target,
            ),
            _subject(
                "annex XI, section 1, point 2(c)", "Data of training, testing and validation", "partly shown",
                "Only of the audited texts, by count and hash; not where they came from nor how they were chosen.",
                result, _texts, _checks,
            ),
            _subject(
                "annex XI, section 2, point 1", "Strategy and results of evaluation, with its limitations",
                "partly shown", "Of evaluations, that of memorization alone.",
                result, _membership, _memory, _regurgitation, _checks,
            ),
            _subject(
                "annex XI, section 2, point 2", "Adversarial testing", "partly shown",
                "Membership inference and extraction alone, by who ran this audit.",
                result, _membership, _regurgitation, _coins,
            ),
        ),
    )  # fmt: skip


def _dpia(result: AuditResult) -> Source:
    return Source(
        "GDPR article 35(7), impact assessment",
        "Regulation (EU) 2016/679. An audit bears on the description of risks; the rest is for its author.",
        (
            _subject("point (a)", "Processing and its purposes", "not shown", "Outside an audit.", result),
            _subject("point (b)", "Necessity and proportionality", "not shown", "Outside an audit.", result),
            _subject(
                "point (c)", "Risks to the people concerned", "partly shown",
                "How likely texts are to be recognised or drawn out, and not how grave that would be for anyone; risks "
                "other than those of memorization are left out.",
                result, _membership, _memory, _regurgitation, _coins,
            ),
            _subject(
                "point (d)", "Measures against these risks", "partly shown",
                "What a measure (deduplication, fewer epochs, differential privacy, unlearning) changes is shown by an "
                "audit before and one after it (auditor compare), or beside a model retrained without the members.",
                result, _retrained,
            ),
        ),
    )  # fmt: skip


TITLE = "Evidence annex"
LEDE = (
    "What this audit measured, beside what four public documents ask about. It says what is shown and what is not; "
    "whether that is enough is not for an audit to say. What the documents ask is given at second hand, in our words: "
    "check each cited paragraph in the original."
)


def _opening(result: AuditResult) -> tuple[tuple[str, str], ...]:
    """Say in three rows what the whole annex rests on."""
    return (
        ("Target", ", ".join(model.path for model in models(result, "target")) or "—"),
        ("Date", result.provenance.started_at),
        ("Can the figures be trusted?", trust(result).answer_with_names),
    )


def to_html(result: AuditResult, files: Files | None = None) -> str:
    """Render the annex as one self-contained HTML document."""
    context: dict[str, Any] = {
        "title": TITLE,
        "lede": LEDE,
        "opening": _opening(result),
        "sources": annex(result),
        "files": files or Files(),
        "style": style_sheet(),
        "escaping": escaping,
        "tones": TONES,
    }
    return templates().get_template("annex.html.j2").render(context).rstrip() + "\n"


def to_markdown(result: AuditResult, files: Files | None = None) -> str:
    """Render the annex as GitHub-flavoured Markdown."""
    files = files or Files()
    lines = [f"# {TITLE}", "", LEDE, ""]
    lines += [f"- {label}: {escaped(said, escaping.PATH * 4)}" for label, said in _opening(result)]
    for source in annex(result):
        lines += ["", f"## {source.title}", "", source.note]
        for one in source.requirements:
            lines += ["", f"### {source.title}, {one.place}: {one.subject}", "", f"**{one.shown}**", ""]
            lines += [f"- How strong: {escaped(one.strength)}", f"- Not shown: {one.missing}", ""]
            lines += _table(one.found)
    sums = [(code(one.name), code(one.sha256), escaped(one.state)) for one in files.sums]
    lines += ["", "## Files that this annex rests on", "", escaped(files.checked), "", escaped(files.signed), ""]
    lines += table_lines(("File", "SHA-256", "As checksums.json says"), sums, right=9) if sums else []
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before).rstrip() + "\n"


def _table(found: Sequence[Found]) -> list[str]:
    rows = [(code(one.key, escaping.PATH), escaped(one.what), escaped(one.said)) for one in found]
    return table_lines(("Key in result.json", "What", "Figure, with its interval"), rows, right=9) if rows else []


ANNEX_RENDERERS: dict[str, Callable[[AuditResult, Files], str]] = {
    ".html": to_html,
    ".htm": to_html,
    ".md": to_markdown,
}
"""Renderers of the annex by the ending of its file."""

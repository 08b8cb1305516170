"""Every figure of an audit as labelled rows: the one list from which all formats draw their tables."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.documents.result import AuditResult, DataResult, MemorizationResult, ModelProvenance, SideData

from . import (
    attacks,
    canaries,
    extraction,
    knowledge,
    retrained,
    risk,
)
from .escaping import PATH, visible
from .numbers import Quantity, count, plain, plural, size, unseen

__all__ = [
    "CAPACITY_USED",
    "IN_FEW_LINES",
    "MODELS",
    "agreement",
    "capacity_line",
    "command",
    "described",
    "every_quantity",
    "flat",
    "further",
    "headline_bits",
    "implied_auc",
    "in_brief",
    "memory_quantities",
    "model_rows",
    "models",
    "references_word",
    "run_rows",
    "scored_part",
    "side_rows",
    "under_reading",
    "unseen_line",
]

Row = tuple[str, str]

CAPACITY_USED = "Capacity used by audited members"
"""The label of a share that counts only what was audited, not all that the target holds."""

CERTIFIED = "Certified lower bound, on average"

_PLAIN_OPTIONS = (
    *("max_tokens", "long_texts", "score", "chat_template", "prefix_token", "dtype", "device", "batch_tokens"),
    *("bits_per_parameter", "capacity", "train_samples", "train_tokens", "epochs", "calibration"),
    *("confirm_extraction", "near_verbatim", "confidence", "seed"),
)


def headline_bits(memory: MemorizationResult) -> Quantity:
    """Pick the figure that answers "how much": the debiased mean, or the clipped one if nothing debiases it."""
    if memory.calibrated:
        return Quantity(
            label="Bits of a member, debiased",
            unit="bits per member",
            estimate=memory.debiased_bits_per_member,
            note="Headline. Mean of max(0, bits) over members minus the same over non-members: "
            f"what noise and domain adaptation give to unseen texts is taken off. {under_reading(memory)}".rstrip(),
        )
    return Quantity(
        label="Clipped mean of members, uncalibrated",
        unit="bits per member",
        estimate=memory.clipped_bits_per_member,
        note="An upper figure: without non-members, noise and domain adaptation are counted in.",
    )


def under_reading(memory: MemorizationResult) -> str:
    """Say where the debiased clip reads too low: a member has first to make up for what the reference does better."""
    level = memory.mean_bits_non_members
    if not memory.calibrated or level.high is None or level.high >= 0:
        return ""
    return (
        "It reads too low here: the reference codes unseen texts better, and a member counts only once it has made up "
        "for that; the net gap does not depend on it."
    )


def implied_auc(memory: MemorizationResult) -> Quantity:
    """Give the AUC that the bits alone imply, with the assumption behind it."""
    return Quantity(
        label="AUC implied by the bits",
        unit="",
        estimate=memory.auc_from_bits,
        note="; ".join(part for part in (memory.auc_from_bits_assumption, memory.auc_from_bits.caveat) if part),
    )


def agreement(result: AuditResult) -> str | None:
    """Say whether the AUC that the bits imply and the measured one agree, and what it means if not."""
    memory = result.memorization
    measured = next((attack.auc for attack in result.attacks if attack.name == "reference"), None)
    if memory is None or measured is None or not memory.calibrated:
        return None
    implied = memory.auc_from_bits
    if measured.low is None or measured.high is None or implied.low is None or implied.high is None:
        return None
    if implied.high < measured.low:
        return (
            "The attack `reference` does better than these bits imply: bits are far from normal, a few members carry "
            "most of them, and many more are recognised by a few bits each."
        )
    if implied.low > measured.high:
        return (
            "The attack `reference` does worse than these bits imply: it divides by length, so long texts carry most "
            "of the bits, or a few extreme texts do."
        )
    return "The attack `reference` measures what these bits imply."


def _certified(memory: MemorizationResult) -> Quantity:
    """Give the bound that noise cannot fake, with its cap: the upper end of its estimate is the resolution."""
    bound = memory.information_lower_bound_per_member
    note = (
        "Certifies THAT members left a trace on average, a few bits of it: not how much, and of no single member. "
        "It takes for granted that nothing but training tells the sides apart."
    )
    if bound.low == 0:
        note += " Here nothing is certified."
    if bound.value is not None and bound.high is not None:
        note += (
            f" With {plural(bound.n_non_members, 'non-member')} no such bound can exceed about "
            f"{plain(bound.high)} bits; the same figure without a guarantee is {plain(bound.value)} bits."
        )
    return Quantity(label=CERTIFIED, unit="bits per member", estimate=bound, note=note, one_sided=True)


def memory_quantities(memory: MemorizationResult) -> tuple[Quantity, ...]:
    """List the estimates of memorization, headline first."""
    each, total = "bits per member", "bits"
    debiased = (
        Quantity(
            label="Net gap",
            unit=each,
            estimate=memory.net_bits_per_member,
            note="Mean signed bits of members minus the same of non-members; nothing is clipped.",
        ),
        _certified(memory),
        Quantity(
            label="Debiased total",
            unit=total,
            estimate=memory.debiased_total_bits,
            note="The headline times the number of members. Sums over samples bound from below what the "
            "model holds of the whole set.",
        ),
    )
    clipped = Quantity(
        label="Clipped mean, members",
        unit=each,
        estimate=memory.clipped_bits_per_member,
        note="Mean of max(0, bits): the paper's figure per sample.",
    )
    return (
        headline_bits(memory),
        Quantity(
            label="Mean signed bits, members",
            unit=each,
            estimate=memory.mean_bits_members,
            note="log2 of how much more probable the target finds the text than the reference does.",
        ),
        Quantity(
            label="Mean signed bits, non-members",
            unit="bits per non-member",
            estimate=memory.mean_bits_non_members,
            note="Above 0: the target codes even unseen texts of this kind better (domain adaptation).",
        ),
        *debiased,
        *([clipped] if memory.calibrated else []),
        Quantity(
            label="Clipped mean, non-members",
            unit="bits per non-member",
            estimate=memory.clipped_bits_per_non_member,
            note="What the paper's figure would report for texts that were never trained on.",
        ),
        Quantity(
            label="Paper's clipped sum",
            unit=total,
            estimate=memory.clipped_total_bits,
            note="Sum of max(0, bits) over members as printed in the paper; noise is rectified into it.",
        ),
        Quantity(
            label="Memorized bits per token",
            unit="bits per token",
            estimate=memory.bits_per_token,
            note="The headline figure over the scored tokens of the members.",
        ),
        Quantity(
            label="Memorized bits per byte",
            unit="bits per byte",
            estimate=memory.bits_per_byte,
            note="The same over bytes: comparable between tokenizers.",
        ),
        Quantity(
            label=CAPACITY_USED,
            unit="%",
            estimate=memory.capacity_used,
            note=capacity_line(memory),
        ),
        *knowledge.quantities(memory),
        implied_auc(memory),
    )


def unseen_line(memory: MemorizationResult) -> str:
    """Say of the means of bits what their intervals cannot know of; empty in files of older auditors."""
    estimate = headline_bits(memory).estimate
    said = unseen(estimate.unseen_below)
    parts = (f"{said}, however much they hold" if said else "", estimate.caveat)
    shown = "; ".join(part for part in parts if part)
    return f"Of every mean of bits: {shown}." if shown else ""


def in_brief(memory: MemorizationResult) -> tuple[Quantity, ...]:
    """List the figures of memorization that a summary cannot do without; undefined ones are left out."""
    kept = {"Mean signed bits, non-members", "Net gap", CERTIFIED, "Debiased total"}
    kept |= {"Paper's clipped sum", CAPACITY_USED}
    first, *rest = memory_quantities(memory)
    return (first, *(q for q in rest if q.defined and q.label in kept))


IN_FEW_LINES = (CERTIFIED, "Debiased total", CAPACITY_USED)
"""The labels of what stands beside the headline where only a few lines can."""


def capacity_line(memory: MemorizationResult) -> str:
    """Say how large the capacity is taken to be, and on whose word."""
    return (
        f"Of {count(round(memory.capacity_bits))} bits ({size(memory.capacity_bits)}): "
        f"{plural(memory.n_parameters, 'parameter')} at {plain(memory.bits_per_parameter)} bits each "
        f"({memory.bits_per_parameter_source}). Used by the audited members alone: what else the target memorized is "
        "not counted."
    )


def every_quantity(result: AuditResult) -> tuple[tuple[str, Quantity], ...]:
    """List every estimate of the audit with the part it belongs to: the statistician's table."""
    memory = result.memorization
    rows = [("memorization", quantity) for quantity in memory_quantities(memory)] if memory else []
    for attack in result.attacks:
        found = (*attacks.attack_quantities(attack), *attacks.adjusted_quantities(attack))
        rows += [(attack.attack, quantity) for quantity in found]
    if result.selection is not None:
        rows += [(attacks.BEST, quantity) for quantity in attacks.selection_quantities(result.selection)]
    if result.combination is not None:
        rows += [(attacks.TOGETHER, quantity) for quantity in attacks.combination_quantities(result.combination)]
    if result.risk is not None:
        rows += risk.quantities(result.risk)
    if result.extraction is not None:
        rows += extraction.quantities(result.extraction)
    if result.retrained is not None:
        rows += retrained.quantities(result.retrained)
    if result.canaries is not None:
        rows += canaries.quantities(result.canaries)
    return tuple(rows)


def side_rows(side: SideData) -> tuple[Row, ...]:
    """Describe the texts of one side and what was done to them."""
    units = f" in {plural(side.n_groups, 'group')}" if side.n_groups is not None else ""
    none = "none"
    said = (("Completions", plural(side.n_turns, "turn")),) if side.n_turns is not None else ()
    calls = (("Tool calls", plural(side.n_tool_calls, "call")),) if side.n_tool_calls else ()
    cut = f"{plural(side.n_cut, 'text')}, {plural(side.n_bytes_cut, 'byte')} left out"
    return (
        ("Source", side.path),
        ("Texts", f"{plural(side.n_samples, 'text')}{units}"),
        *said,
        *calls,
        ("Size", f"{plural(side.n_tokens, 'scored token')}, {plural(side.n_bytes, 'byte')}"),
        ("Cut to fit", cut if side.n_cut else none),
        ("Scored in windows", plural(side.n_windowed, "text") if side.n_windowed else none),
        ("Left out by id", plural(side.n_dropped, "text") if side.n_dropped else none),
        ("Repeated texts", plural(side.n_repeated, "text") if side.n_repeated else none),
        ("SHA-256", side.sha256),
    )


def scored_part(data: DataResult) -> str:
    """Say which part of conversations was scored."""
    if data.score == "all":
        return "Conversations: every token of them was scored."
    marks = "and the marks that end them" if data.end_marks_scored else "and no mark of a chat template"
    return f"Conversations: only the completions (turns of the assistant) were scored, {marks}."


MODELS = 4
"""Models of one role that are described one by one; shadow models may be many."""


def models(result: AuditResult, role: str) -> tuple[ModelProvenance, ...]:
    """List the models that played a role; shadow models are references of the texts that they did not see."""
    roles = ("reference", "shadow") if role == "reference" else (role,)
    return tuple(model for model in result.provenance.models if model.role in roles)


def references_word(result: AuditResult) -> str:
    """Name many references by their number and kind.

    Examples
    --------
    ``4 shadow models``, ``1 reference and 8 shadow models``
    """
    named = models(result, "reference")
    n_shadows = sum(model.role == "shadow" for model in named)
    parts = [plural(len(named) - n_shadows, "reference")] if len(named) > n_shadows else []
    return " and ".join([*parts, *([plural(n_shadows, "shadow model")] if n_shadows else [])])


def described(result: AuditResult) -> tuple[ModelProvenance, ...]:
    """List the models that are described in full: all but the many references beyond the first."""
    rest = further(result)
    return tuple(model for model in result.provenance.models if not any(model is other for other in rest))


def further(result: AuditResult) -> tuple[ModelProvenance, ...]:
    """List the references that are only named, where there are more than a few."""
    references = models(result, "reference")
    return references[1:] if len(references) > MODELS else ()


def model_rows(model: ModelProvenance) -> tuple[Row, ...]:
    """Describe one model: which weights, and how they were run."""
    ids = ", ".join(str(token) for token in model.prefix_token_ids) or "none"
    context = plural(model.context_window, "token") if model.context_window else "no limit stated"
    return (
        ("Path", model.path),
        ("Revision", model.revision or "—"),
        ("Adapter", model.adapter or "—"),
        ("Weights", model.weights_sha256),
        ("Tokenizer", f"{model.tokenizer_sha256}{_read_by(model)}"),
        ("Architecture", model.architecture),
        ("Parameters", count(model.n_parameters)),
        ("Vocabulary", plural(model.n_vocabulary, "token")),
        ("Precision", f"stored {model.stored_dtype}, scored in {model.dtype}"),
        ("Device", model.device),
        ("Context", context),
        ("Prefix token", f"{model.prefix_rule}; ids: {ids}"),
        ("Scoring path", model.scoring_path),
    )


def _read_by(model: ModelProvenance) -> str:
    """Say which class read the texts, and whose tokenizer it is if not the model's; nothing if that was not noted."""
    if model.tokenizer_class is None:
        return ""
    whose = {"adapter": " of the adapter", "option": f" of {model.tokenizer}"}.get(model.tokenizer_of or "", "")
    return f"; {model.tokenizer_class}{whose}"


def run_rows(result: AuditResult) -> tuple[Row, ...]:
    """Describe the run: versions, time, tokens."""
    run = result.provenance
    packages = ", ".join(f"{name} {version}" for name, version in sorted(run.packages.items()))
    return (
        ("Auditor", f"{run.auditor_version} (scoring version {run.scoring_version})"),
        ("Started", run.started_at),
        ("Took", f"{plain(run.seconds)} s, of which {plain(run.scoring_seconds)} s scoring"),
        ("Tokens", f"{count(run.n_tokens_scored)} scored, {count(run.n_tokens_reused)} reused"),
        ("Python", f"{run.python} on {run.platform}"),
        ("Packages", packages),
        ("Schema", result.schema_version),
    )


def flat(value: Any, key: str = "") -> Iterator[Row]:
    """Walk any nested value as rows of ``key.key`` and text, in the order given."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{key}[{i}]")
    elif isinstance(value, list | tuple):
        yield key, ", ".join(str(item) for item in value) or "—"
    elif value is None or value == {}:
        yield key, "—"
    else:
        yield key, str(value)


def _spec(model: Mapping[str, Any]) -> str:
    return f"{model['path']}@{model['revision']}" if model.get("revision") else str(model["path"])


def _own_spec(model: Mapping[str, Any]) -> str:
    """Name a model that is given in one word: if it has an adapter, by the adapter's folder, which names its base."""
    return str(model.get("adapter") or _spec(model))


def _attack_spec(attack: Mapping[str, Any]) -> str:
    params = ",".join(f"{key}={value}" for key, value in attack.get("params", {}).items())
    return f"{attack['name']}:{params}" if params else str(attack["name"])


def _options(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Walk the options that ask for this configuration, in the order of the command's help."""
    target, members = config["target"], config["members"]
    yield "target", _spec(target)
    for model in config.get("references") or ():
        yield "reference", _own_spec(model)
    if target.get("adapter"):
        yield "adapter", target["adapter"]
    yield "members", members["path"]
    if config.get("non_members"):
        yield "non-members", config["non_members"]["path"]
    for key, default in (("text_field", "text"), ("split", "train")):
        if members.get(key, default) != default:
            yield key, members[key]
    if config.get("non_members") and config["non_members"].get("split") != members.get("split"):
        yield "non_members_split", config["non_members"]["split"]
    yield from _further_inputs(config)
    for attack in config.get("attacks") or ():
        yield "attack", _attack_spec(attack)
    for file in config.get("attack_files") or ():
        yield "attack-file", file
    for key in _PLAIN_OPTIONS:
        if config.get(key) is not None:
            yield key, str(config[key])
    if config.get("extract", "auto") != "auto":
        yield "extract", config["extract"]
    if config.get("fpr_targets"):
        yield "fpr", ",".join(str(fpr) for fpr in config["fpr_targets"])
    for key in ("fine_tuned", "include_text", "trust_remote_code"):
        if config.get(key):
            yield key, ""
    yield "out", "OUT"


def _further_inputs(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Walk the options that name models and texts beside the target's own."""
    for key in ("shots", "member_shots", "frequency_corpus"):
        if config.get(key):
            yield key, config[key]["path"]
    if config.get("neighbour_model"):
        yield "neighbour_model", config["neighbour_model"]
        yield "neighbours", str(config.get("neighbours", 10))
    if config.get("retrained"):
        yield "retrained", _own_spec(config["retrained"])
        yield "retrained_margin", str(config.get("retrained_margin", 0.02))
    for key in ("shadows", "split_manifest", "coins", "canaries", "drop_ids", "headline"):
        if config.get(key):
            yield key, config[key]
    for key, default in (("delta", 0.0), ("guess_share", 0.2)):
        if config.get(key, default) != default:
            yield key, str(config[key])


def command(config: Mapping[str, Any]) -> str | None:
    r"""Write the command that asks for this audit again, a line an option.

    None if the configuration is foreign, or names what was in the memory of a program.

    Examples
    --------
    >>> print(command({"target": {"path": "m"}, "members": {"path": "a b.jsonl"}, "seed": 0}))
    auditor audit \
      --target m \
      --members 'a b.jsonl' \
      --seed 0 \
      --out OUT
    """
    try:
        options = [
            f"--{key.replace('_', '-')} {shlex.quote(visible(str(value), PATH)) if value else ''}".rstrip()
            for key, value in _options(config)
        ]
    except (KeyError, TypeError, AttributeError):
        return None
    if any(" in memory (" in option for option in options):
        return None
    return " \\\n  ".join(["auditor audit", *options])

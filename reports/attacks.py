"""Attacks as rows and sentences: what each finds, what choosing costs, and what all of them tell together."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from auditor.documents.result import AttackResult, AuditResult, CombinationResult, SelectionResult

from . import escaping
from .numbers import Change, Quantity, p_value, percent, plural
from .probabilities import calibration_quantities, calibration_sentence
from .soundness import looks_differ

__all__ = [
    "ADJUSTED_P",
    "BEST",
    "TOGETHER",
    "AttackRow",
    "AttackTable",
    "adjusted_quantities",
    "attack_quantities",
    "attack_table",
    "beside",
    "combination_quantities",
    "combination_sentence",
    "declaration",
    "headline_attack",
    "ranked",
    "selection_quantities",
    "selection_sentence",
    "survives",
]

Cell = Quantity | str

ADJUSTED_P = "p, adjusted"
BEST = "best attack, chosen on other texts"
TOGETHER = "all attacks together"


class AttackRow(NamedTuple):
    """A row of the table: an attack, or (``attack`` is None) what several of them give."""

    label: str
    attack: AttackResult | None
    cells: tuple[Cell, ...]


class AttackTable(NamedTuple):
    """The figures of all attacks; undefined ones refer to ``reasons`` by number."""

    header: tuple[str, ...]
    rows: tuple[AttackRow, ...]
    reasons: tuple[str, ...]


def headline_attack(result: AuditResult) -> AttackResult | None:
    """Pick the attack that the verdict rests on: declared before looking, never the best of those that were run."""
    declared = result.selection.headline if result.selection else None
    for attack in result.attacks:
        if attack.attack == declared:
            return attack
    for name in ("reference", "loss"):
        for attack in result.attacks:
            if attack.name == name:
                return attack
    return result.attacks[0] if result.attacks else None


def ranked(result: AuditResult) -> tuple[AttackResult, ...]:
    """Order the attacks by their AUC, the headline attack first and undefined ones last."""
    headline = headline_attack(result)

    def key(attack: AttackResult) -> tuple[bool, float]:
        return attack is not headline, -(attack.auc.value if attack.auc.value is not None else -1.0)

    return tuple(sorted(result.attacks, key=key))


def survives(attack: AttackResult) -> bool:
    """Whether an attack tells the sides apart when all attacks are counted.

    The p-value is one-sided, so it is held against half of what the interval leaves out; a document without
    adjusted p-values is judged by the interval alone.
    """
    if attack.auc.low is None or attack.auc.low <= 0.5:
        return False
    return attack.p_value_holm is None or attack.p_value_holm <= (1 - attack.auc.level) / 2


def attack_quantities(attack: AttackResult) -> tuple[Quantity, ...]:
    """List the estimates of one attack: AUC, the rates at each false-positive rate, F1, advantage, epsilon."""
    epsilon = attack.epsilon_lower_bound
    return (
        Quantity(label="AUC", unit="", estimate=attack.auc),
        *_rates(attack),
        Quantity(label="F1 at equal error", unit="", estimate=attack.f1_equal_error),
        Quantity(label="Advantage", unit="", estimate=attack.advantage),
        *([Quantity(label="Epsilon, lower bound", unit="", estimate=epsilon)] if epsilon else []),
    )


def adjusted_quantities(attack: AttackResult) -> tuple[Quantity, ...]:
    """List the AUCs that leave out what the looks of the texts give away, where they were computed."""
    found = (
        ("AUC without what the text alone tells", attack.auc_residualised),
        ("AUC among texts of equal length", attack.auc_within_strata),
    )
    return tuple(Quantity(label=label, unit="", estimate=e) for label, e in found if e is not None)


def _rates(of: AttackResult | CombinationResult) -> tuple[Quantity, ...]:
    return tuple(Quantity(label=f"TPR at {percent(rate.fpr)} FPR", unit="%", estimate=rate) for rate in of.tpr_at_fpr)


def selection_quantities(selection: SelectionResult) -> tuple[Quantity, ...]:
    """Give the AUC of the best attack, chosen on other texts than it is measured on."""
    return (Quantity(label="AUC", unit="", estimate=selection.best_auc),)


def combination_quantities(combination: CombinationResult) -> Iterator[Quantity]:
    """List the estimates of all attacks together."""
    yield Quantity(label="AUC", unit="", estimate=combination.auc)
    yield from _rates(combination)
    yield Change(label="Gain over the best single attack", unit="", estimate=combination.gain)
    if combination.calibration is not None:
        yield from calibration_quantities(combination.calibration)


def beside(result: AuditResult) -> Iterator[tuple[str, tuple[Quantity, ...]]]:
    """Walk what stands beside the attacks: the best one, honestly chosen, and all of them together."""
    if result.selection is not None and result.selection.n_attacks > 1:
        yield BEST, selection_quantities(result.selection)
    if result.combination is not None:
        combined = result.combination
        yield TOGETHER, (Quantity(label="AUC", unit="", estimate=combined.auc), *_rates(combined))


def attack_table(result: AuditResult) -> AttackTable:
    """Lay out the attacks, the headline attack first; adjusted AUCs stand in it if the texts alone tell them apart."""
    attacks, with_looks = ranked(result), looks_differ(result)
    found = [
        (attack.attack, attack, _shown(attack, with_looks=with_looks), p_value(attack.p_value_holm))
        for attack in attacks
    ]
    header = _header(quantities for _, _, quantities, _ in found)
    if any(attack.p_value_holm is not None for attack in attacks):
        header = (header[0], ADJUSTED_P, *header[1:])
    rows = [AttackRow(label, attack, _cells(header, quantities, p)) for label, attack, quantities, p in found]
    rows += [AttackRow(label, None, _cells(header, quantities, "")) for label, quantities in beside(result)]
    cells = (cell for row in rows for cell in row.cells)
    reasons = dict.fromkeys(cell.reason for cell in cells if isinstance(cell, Quantity) and not cell.defined)
    return AttackTable(header, tuple(rows), tuple(reasons))


def _shown(attack: AttackResult, *, with_looks: bool) -> tuple[Quantity, ...]:
    first, *rest = attack_quantities(attack)
    return (first, *(adjusted_quantities(attack) if with_looks else ()), *rest)


def _header(rows: Iterable[Iterable[Quantity]]) -> tuple[str, ...]:
    """Collect the columns; a later row may have one that the first lacks."""
    return tuple(dict.fromkeys(quantity.label for row in rows for quantity in row))


def _cells(header: tuple[str, ...], quantities: tuple[Quantity, ...], p: str) -> tuple[Cell, ...]:
    by_label: dict[str, Cell] = {quantity.label: quantity for quantity in quantities}
    by_label[ADJUSTED_P] = p
    return tuple(by_label.get(label, "") for label in header)


def declaration(result: AuditResult, attack: AttackResult) -> str:
    """Say that the headline attack was declared before looking, by whom, and what its p-value is worth."""
    how = "the default, fixed in advance"
    chosen = result.selection
    if chosen is not None and chosen.headline == attack.attack:
        how = "chosen in advance, in the configuration" if chosen.declared_by == "config" else how
    others = len(result.attacks) - 1
    adjusted = f"; p {_p_words(attack.p_value_holm)}, Holm-adjusted over {plural(len(result.attacks), 'attack')}"
    p = adjusted if attack.p_value_holm is not None else ""
    rest = f" {plural(others, 'other attack')} below; the best of several looks better than it is." if others else ""
    return f"Verdict rests on the attack {escaping.as_code(attack.attack)} ({how}){p}.{rest}"


def _p_words(value: float | None) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def selection_sentence(result: AuditResult) -> str:
    """Say what the best attack is worth where it was not chosen; empty if nothing was to be chosen."""
    chosen = result.selection
    if chosen is None or chosen.n_attacks < 2:
        return ""
    best = Quantity(label="AUC", unit="", estimate=chosen.best_auc)
    lead = f"The best of {plural(chosen.n_attacks, 'attack')}, chosen on some texts and measured on the others"
    if not best.defined:
        return f"{lead}: not defined, {escaping.uncoded(best.reason)}."
    folds = ", ".join(f"{escaping.as_code(one.attack)} ({plural(one.n_folds, 'fold')})" for one in chosen.chosen)
    return f"{lead}: AUC {best.text}; chosen: {folds or 'none'}. Reporting the maximum would flatter it."


def combination_sentence(result: AuditResult) -> str:
    """Say what all attacks together add to the best single one; empty if they were not combined."""
    combined = result.combination
    if combined is None:
        return ""
    area = Quantity(label="AUC", unit="", estimate=combined.auc)
    lead = f"All {plural(len(combined.features), 'attack')} together ({combined.method}): AUC {area.text}."
    said_below = result.risk is not None and result.risk.calibration == combined.calibration
    return escaping.uncoded(
        f"{lead} {_gain(combined)} {'' if said_below else calibration_sentence(combined.calibration)}"
    ).rstrip()


def _gain(combined: CombinationResult) -> str:
    gain = Change(label="", unit="", estimate=combined.gain)
    low, high = combined.gain.low, combined.gain.high
    if low is None or high is None:
        return f"What that adds to the best single attack is not defined: {gain.reason}."
    if low > 0:
        return f"That adds {gain.text} to the best single attack, chosen on other texts."
    if high < 0:
        return f"That is less than the best single attack, chosen on other texts, reaches ({gain.text})."
    return f"That adds nothing measurable to the best single attack ({gain.text})."

"""The words: what is said in each situation, and that all formats say the same."""

import io
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape

import pytest
from rich.console import Console

from auditor.documents.estimate import Estimate, Histogram, TprAtFpr
from auditor.documents.result import AuditResult, CheckResult
from helpers import estimate
from reports import RENDERERS, render_terminal
from reports.advice import CONFIDENTIAL, TEXTS_AS_SCORED, actions, limits
from reports.attacks import attack_quantities
from reports.escaping import pieces, visible
from reports.figure_rows import agreement, command, in_brief, memory_quantities
from reports.numbers import Quantity, number, one_in, percent, plain, size, times_in_100
from reports.soundness import trust
from reports.verdict import chips, headline_attack, verdict


def with_auc(result: AuditResult, value: float, low: float, high: float) -> AuditResult:
    """Set the AUC of the headline attack."""
    attacks = tuple(
        replace(a, auc=estimate(value, low, high, level=0.9), inverted=high < 0.5) if a.name == "reference" else a
        for a in result.attacks
    )
    return replace(result, attacks=attacks)


def test_the_sentence_of_a_found_signal(normal: AuditResult) -> None:
    found = verdict(normal)
    assert (found.kind, found.title) == ("found", "Strong membership signal")
    assert found.sentence == (
        "An attacker who holds a text can usually tell whether the target was trained on it: shown a member and a "
        "non-member, they pick the member 93 times in 100 (AUC 0.931, 95% interval 0.914 to 0.948); on average "
        "the target holds 40.8 bits (95% interval 38.6 to 43.0) of each member that the reference does not."
    )
    assert any("41.0% of the members" in point and "at most 1%" in point for point in found.points)
    assert any("rests on the attack `reference` (the default, fixed in" in point for point in found.points)


@pytest.mark.parametrize(
    ("auc", "kind", "title"),
    [
        ((0.55, 0.51, 0.60), "found", "Weak membership signal"),
        ((0.70, 0.60, 0.79), "found", "Weak to moderate membership signal"),
        ((1.00, 0.70, 1.00), "found", "Moderate to near-perfect membership signal"),
        ((0.99, 0.98, 1.00), "found", "Near-perfect membership signal"),
        ((0.55, 0.50, 0.60), "none", "No evidence found"),
        ((0.45, 0.40, 0.50), "none", "No evidence found"),
        ((0.30, 0.20, 0.45), "inverted", "Inverted signal"),
    ],
)
def test_the_interval_decides(normal: AuditResult, auc: tuple[float, float, float], kind: str, title: str) -> None:
    found = verdict(with_auc(normal, *auc))
    assert (found.kind, found.title) == (kind, title)


def weak(result: AuditResult) -> AuditResult:
    """Turn the headline into a weak signal whose rate at 1% lies below chance and whose bits include 0."""
    result = with_auc(result, 0.54, 0.505, 0.58)
    assert result.memorization is not None
    memory = replace(result.memorization, debiased_bits_per_member=estimate(-0.11, -0.52, 0.3))
    return with_rate(replace(result, memorization=memory), 0.008, 0.0, 0.03, n=100)


def with_rate(result: AuditResult, value: float, low: float, high: float, *, n: int) -> AuditResult:
    """Set the headline's rate at 1% false alarms, measured on n non-members."""
    point = TprAtFpr.at(0.01, estimate(value, low, high, n_non_members=n))
    attacks = tuple(replace(a, tpr_at_fpr=(point,)) if a.name == "reference" else a for a in result.attacks)
    return replace(result, attacks=attacks)


def test_a_weak_signal_is_a_tendency(normal: AuditResult) -> None:
    result = weak(normal)
    found = verdict(result)
    assert found.sentence == (
        "A small but measurable tendency: shown a member and a non-member, an attacker picks the member 54 times in "
        "100, where a coin flip gives 50 (AUC 0.540, 90% interval 0.505 to 0.580); bits of members are not measurably "
        "above those of non-members (−0.11 [−0.52 to 0.30])."
    )
    assert (found.tone, found.grade) == ("warn", "weak")
    assert not any("recognises" in point for point in found.points)
    assert not any("disclosed" in step for step in actions(result))
    assert any("most memorized samples" in step for step in actions(result))
    assert any("more texts" in step for step in actions(result))


@pytest.mark.parametrize(
    ("auc", "claim", "step"),
    [
        ((0.60, 0.55, 0.70), "A measurable tendency of uncertain size: ", "Repeat with more texts"),
        ((0.72, 0.68, 0.76), "A clear tendency, though the verdict on a single text is often wrong: ", "partly"),
        ((0.85, 0.82, 0.88), "An attacker who holds a text can usually tell", "as disclosed to anyone"),
        ((0.99, 0.98, 1.00), "An attacker who holds a text can usually tell", "as disclosed to anyone"),
    ],
)
def test_words_and_advice_follow_the_low_end(
    normal: AuditResult, auc: tuple[float, float, float], claim: str, step: str
) -> None:
    result = with_auc(normal, *auc)
    assert verdict(result).sentence.startswith(claim)
    assert any(step in action for action in actions(result))
    assert ("can usually tell" in verdict(result).sentence) == (auc[1] >= 0.8)


@pytest.mark.parametrize(
    ("rate", "n", "says"),
    [
        ((0.05, 0.02, 0.08), 100, "With at most 1% false alarms it still recognises 5.0% of the members"),
        ((0.05, 0.01, 0.08), 100, "cannot be pinned down with 100 non-members: that needs about 370."),
        ((0.05, 0.00, 0.08), 1, "cannot be pinned down with 1 non-member: that needs about 370."),
        ((0.01, 0.00, 0.03), 2000, "is not measurably above that of false alarms."),
    ],
)
def test_a_rate_counts_only_above_its_false_alarms(
    normal: AuditResult, rate: tuple[float, float, float], n: int, says: str
) -> None:
    assert says in verdict(with_rate(normal, *rate, n=n)).points[0]


def screen(result: AuditResult) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(render_terminal(result, verbose=True))
    return stream.getvalue()


def test_the_share_of_capacity_is_that_of_the_audited_members(normal: AuditResult) -> None:
    assert any(chip.label == "Capacity used by audited members" for chip in chips(normal))
    for text in (RENDERERS["html"](normal), RENDERERS["md"](normal), screen(normal)):
        assert "Capacity used by audited members" in text
    for name in ("html", "md"):
        assert "Used by the audited members alone: what else the target memorized is not counted." in RENDERERS[name](
            normal
        )
    assert "of capacity, used by the audited members" in RENDERERS["html"](normal)


def test_texts_are_shown_as_scored_and_hashed_whole(normal: AuditResult) -> None:
    assert normal.memorization is not None
    first, *rest = normal.memorization.top_samples
    memory = replace(normal.memorization, top_samples=(replace(first, text="Ada"), *rest))
    for name in ("html", "md"):
        assert TEXTS_AS_SCORED not in RENDERERS[name](normal)
        assert TEXTS_AS_SCORED in RENDERERS[name](replace(normal, memorization=memory))


def test_what_must_not_be_passed_on_is_said(any_result: AuditResult) -> None:
    for name in ("html", "md"):
        assert CONFIDENTIAL in RENDERERS[name](any_result)


def test_one_is_not_many(normal: AuditResult) -> None:
    def one(estimate: Estimate) -> Estimate:
        return replace(estimate, n_members=1, n_non_members=1)

    data = replace(
        normal.data,
        members=replace(normal.data.members, n_samples=1),
        non_members=replace(normal.data.members, n_samples=1),
    )
    assert normal.memorization is not None
    bars = Histogram(unit="bits", edges=(0.0, 1.0), members=(1,), non_members=(1,))
    result = replace(
        normal,
        data=data,
        memorization=replace(normal.memorization, signed_bits_histogram=bars),
        attacks=(replace(normal.attacks[1], auc=one(normal.attacks[1].auc)),),
    )
    assert Quantity(label="", unit="", estimate=result.attacks[0].auc).counts == "1 member, 1 non-member"
    for text in (unescape(RENDERERS["html"](result)), RENDERERS["md"](result), screen(result)):
        assert not re.search(r"(?<![\d.,])1 (members|non-members|texts|attacks|samples)\b", text)


def test_no_evidence_is_not_clearance(results: dict[str, AuditResult]) -> None:
    found = verdict(results["none"])
    assert found.sentence.startswith(
        "No evidence of memorization beyond the reference was found (which is not proof of none)"
    )
    assert not any(chip.tone == "ok" and "evidence" in chip.word for chip in chips(results["none"]))


def test_other_attacks_that_see_something_are_named_beside_no_evidence(normal: AuditResult) -> None:
    found = verdict(with_auc(normal, 0.5, 0.45, 0.55))
    assert found.tone == "warn"
    assert "min_k_plus_plus" in found.points[0]


def test_a_veto_replaces_the_verdict(results: dict[str, AuditResult]) -> None:
    found = verdict(results["veto"])
    assert found.sentence == (
        "These two files differ in kind, so nothing can be concluded: texts alone tell them apart (AUC 0.870), without "
        "any model."
    )
    assert "93 times" not in found.sentence
    assert not any(chip.word == "strong" for chip in chips(results["veto"]))
    assert actions(results["veto"]) == ("Draw both sides at random from one pool (`auditor split`) and audit again.",)


def test_without_non_members_nothing_is_claimed_of_attacks(results: dict[str, AuditResult]) -> None:
    found = verdict(results["no_non_members"])
    assert found.kind == "uncalibrated"
    assert "uncalibrated upper figure" in found.sentence
    assert any(chip.word == "uncalibrated" for chip in chips(results["no_non_members"]))


def test_the_headline_attack_is_not_the_best_one(results: dict[str, AuditResult], normal: AuditResult) -> None:
    assert headline_attack(normal) is normal.attacks[1]
    chosen = headline_attack(results["no_reference"])
    assert chosen is not None
    assert chosen.name == "loss"
    assert headline_attack(replace(normal, attacks=normal.attacks[3:])) is normal.attacks[3]
    assert verdict(replace(normal, attacks=())).kind == "unmeasured"


def test_an_inverted_verdict_first_asks_which_file_is_which(normal: AuditResult) -> None:
    assert normal.soundness is not None
    control = CheckResult(
        name="negative_control",
        verdict="warn",
        figure=4.0,
        unit="bits",
        detail="above 0",
        remedy="read the debiased figures",
    )
    other = replace(control, name="length", remedy="match the lengths")
    checks = replace(normal.soundness, verdict="warn", checks=(control, other))
    steps = actions(with_auc(replace(normal, soundness=checks), 0.3, 0.2, 0.45))
    assert steps[0].startswith("Check which file holds the members")
    assert steps[1] == "Match the lengths."
    assert not any("debiased figures" in step for step in steps)
    assert any("debiased figures" in step for step in actions(replace(normal, soundness=checks)))


def test_chips_and_checks_come_worst_first(any_result: AuditResult) -> None:
    order = ["bad", "warn", "info", "ok"]
    tones = [order.index(chip.tone) for chip in chips(any_result)]
    assert tones == sorted(tones)
    ranks = [["veto", "warn", "pass"].index(check.verdict) for check in trust(any_result).checks]
    assert ranks == sorted(ranks)


def test_limits_follow_what_was_run(results: dict[str, AuditResult], normal: AuditResult) -> None:
    assert any("extracted" in line for line in limits(normal))
    assert not any("extracted" in line for line in limits(replace(normal, extraction={"n": 1})))
    assert any("no text was generated here" in line for line in limits(normal))
    wrote = replace(
        normal, attacks=(*normal.attacks, replace(normal.attacks[0], attack="samia", needs=("continuations",)))
    )
    assert not any("no text was generated" in line for line in limits(wrote))
    assert any("the target wrote only what samia needed" in line for line in limits(wrote))
    assert any("no check was run" in line for line in limits(results["no_non_members"]))


def test_all_formats_show_the_same_numbers(results: dict[str, AuditResult]) -> None:
    for name in ("normal", "none", "no_reference", "no_non_members"):
        result = results[name]
        stream = io.StringIO()
        Console(file=stream, width=200).print(render_terminal(result, verbose=True))
        html, md, screen = unescape(RENDERERS["html"](result)), RENDERERS["md"](result), stream.getvalue()
        memory = result.memorization
        brief = in_brief(memory) if memory else ()
        everything = [*(memory_quantities(memory) if memory else ()), *map_attacks(result)]
        for quantity in everything:
            if quantity.defined:
                assert quantity.value in html
                assert quantity.interval in html
                assert f"**{quantity.value_with_unit}**" in md
                assert quantity.interval.replace("[", r"\[").replace("]", r"\]") in md
        for quantity in [*brief, *(attack_quantities(attack)[0] for attack in result.attacks)]:
            if quantity.defined:
                assert quantity.value_with_unit in screen
                assert quantity.interval in screen
        assert verdict(result).sentence in html
        assert verdict(result).sentence in md.replace("\\", "")


def map_attacks(result: AuditResult) -> list[Quantity]:
    return [quantity for attack in result.attacks for quantity in attack_quantities(attack)]


def test_the_interval_decides_the_digits() -> None:
    wide = Quantity(label="", unit="bits", estimate=estimate(412.34, 300.0, 520.0))
    narrow = Quantity(label="", unit="bits", estimate=estimate(0.31234, 0.3004, 0.3249))
    assert wide.text == "412 bits [300 to 520]"
    assert narrow.text == "0.312 bits [0.300 to 0.325]"
    assert Quantity(label="", unit="%", estimate=estimate(0.35, 0.3, 0.4)).text == "35% [30% to 40%]"


def test_a_bound_is_never_rounded_up() -> None:
    bound = Quantity(label="", unit="bits", estimate=estimate(3.0, 1.999, 8.9), one_sided=True)
    assert bound.text == "≥ 1.99 bits one-sided"


def test_an_undefined_estimate_gives_its_reason() -> None:
    none = Quantity(label="", unit="bits", estimate=Estimate.undefined("too few", level=0.95))
    assert (none.value, none.interval, none.text) == ("—", "", "— (not defined: too few)")


def test_numbers_are_written_for_people() -> None:
    assert number(-0.04, 1) == "0.0"
    assert number(-1234.5, 1) == "−1,234.5"
    assert plain(0) == "0"
    assert percent(0.001) == "0.1%"
    assert (size(4), size(8e9)) == ("0 bytes", "1.0 GB")
    assert (one_in(20), one_in(33), one_in(1)) == ("one in 1 million", "one in 9 billion", "one in 2")
    assert times_in_100(0.999) == "more than 99 times in 100"


def test_the_unseen_is_seen() -> None:
    assert visible("a\u202e\u200b\x00\x7f\x85\ud800\ufeff\u2028") == (r"a\u202e\u200b\x00\x7f\x85\ud800\ufeff\u2028")
    assert visible("naïve 日本語 नमस्ते 🙂") == "naïve 日本語 नमस्ते 🙂"
    assert visible("a\nb", keep="\n") == "a\nb"
    assert visible("o" + "\u0301" * 9) == "o" + "\u0301" * 4 + r"\u0301" * 5
    assert visible("x" * 2_000_000, 10) == "x" * 10 + "… 1,999,990 characters more (2,000,000 in all)"
    assert [piece.replaced for piece in pieces("a\x00b")] == [False, True, False]


def test_importing_the_room_is_light() -> None:
    code = "import reports, sys; print(sorted({'rich', 'jinja2', 'pydantic', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("implied", "says"),
    [((0.60, 0.62, 0.64), "does better"), ((0.90, 0.92, 0.94), "measures what"), ((0.985, 0.99, 0.995), "does worse")],
)
def test_implied_and_measured_auc_are_set_against_each_other(
    normal: AuditResult, implied: tuple[float, float, float], says: str
) -> None:
    low, value, high = implied
    assert normal.memorization is not None
    memory = replace(
        normal.memorization, auc_from_bits=replace(normal.memorization.auc_from_bits, low=low, value=value, high=high)
    )
    assert says in (agreement(replace(normal, memorization=memory)) or "")
    assert agreement(replace(normal, memorization=None)) is None


def test_the_command_names_the_split_of_each_side() -> None:
    config = {
        "target": {"path": "m"},
        "members": {"path": "d", "split": "train"},
        "non_members": {"path": "d", "split": "test"},
    }
    assert "--non-members-split test" in (command(config) or "")


def test_what_was_cut_stands_beside_the_verdict_in_every_format(normal: AuditResult) -> None:
    """45 of 46 members and 8,500 of 10,000 bytes are 98% and 85%; 1 of 50 non-members and 20 of 2,000, 2% and 1%."""
    members = replace(normal.data.members, n_samples=46, n_cut=45, n_bytes=1500, n_bytes_cut=8500)
    assert normal.data.non_members is not None
    others = replace(normal.data.non_members, n_samples=50, n_cut=1, n_bytes=1980, n_bytes_cut=20)
    result = replace(normal, data=replace(normal.data, members=members, non_members=others))
    said = verdict(result).unread
    assert said == (
        "98% of the members were cut to fit and 85% of their bytes never read; 2% of the non-members were cut to fit "
        "and 1% of their bytes never read. The figures are of what was read: --long-texts stride scores texts whole."
    )
    assert any((chip.label, chip.word) == ("Never read", "85% of the bytes of a side") for chip in chips(result))
    console = Console(file=io.StringIO(), width=400)
    console.print(render_terminal(result, verbose=True))
    for text in (console.file.getvalue(), unescape(RENDERERS["html"](result)), RENDERERS["md"](result)):  # type: ignore[attr-defined]
        assert "85% of their bytes never read" in text
        assert text.index("85% of their bytes") < text.index("How much is remembered")


@pytest.mark.parametrize(
    ("n_cut", "n_bytes_cut", "is_said"), [(1, 0, False), (2, 0, True), (0, 10, False), (1, 11, True)]
)
def test_next_to_nothing_cut_is_not_said(normal: AuditResult, n_cut: int, n_bytes_cut: int, is_said: bool) -> None:
    members = replace(
        normal.data.members, n_samples=100, n_cut=n_cut, n_bytes=1000 - n_bytes_cut, n_bytes_cut=n_bytes_cut
    )
    assert bool(verdict(replace(normal, data=replace(normal.data, members=members))).unread) == is_said

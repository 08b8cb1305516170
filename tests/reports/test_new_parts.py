"""Selection, combination, risk and retraining: nothing is left out, nothing claims more than its interval says."""

import io
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html import unescape

import pytest
from rich.console import Console

from auditor.documents.estimate import Estimate
from auditor.documents.result import AuditResult, CheckResult, RetrainedAttack, SelectionResult
from helpers import estimate
from reports import RENDERERS, from_json, render_terminal
from reports.advice import actions, limits
from reports.attacks import attack_table, combination_sentence, declaration, headline_attack, selection_sentence
from reports.figure_rows import command, every_quantity
from reports.numbers import Change
from reports.probabilities import calibration_sentence
from reports.retrained import sentence
from reports.risk import (
    above_sentence,
    breakdown_rows,
    breakdown_sentence,
    breakdown_title,
    stability_sentence,
    tails_caveat,
)
from reports.soundness import drop_line, is_vetoed, spoken
from reports.verdict import chips, verdict

NEW = ("attacks", "selection", "combination", "risk", "retrained")


def estimates(value: object) -> Iterator[Estimate]:
    """Walk every estimate of a document, however deep."""
    if isinstance(value, Estimate):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from estimates(getattr(value, field.name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from estimates(inner)


def screen(result: AuditResult) -> str:
    stream = io.StringIO()
    Console(file=stream, width=400).print(render_terminal(result, verbose=True))
    return stream.getvalue()


def test_every_estimate_of_the_document_is_in_the_table_of_every_number(full: AuditResult) -> None:
    listed = [quantity.estimate for _, quantity in every_quantity(full)]
    for name in NEW:
        found = list(estimates(getattr(full, name)))
        assert found
        for one in found:
            assert any(one is other for other in listed), (name, one)


def test_every_estimate_is_in_the_html_with_its_interval_or_its_reason(full: AuditResult) -> None:
    source = RENDERERS["html"](full)
    everything = source[source.index('id="numbers"') : source.index('id="limits"')]
    n = 0
    for part, quantity in every_quantity(full):
        n += 1
        expected = (quantity.value, quantity.interval) if quantity.defined else (quantity.reason,)
        for text in expected:
            assert text in unescape(everything), (part, quantity.label)
    assert everything.count("<tr><td>") == n


@pytest.mark.parametrize("name", ["full", "full_veto"])
def test_the_new_sections_stand_in_all_formats(results: dict[str, AuditResult], name: str) -> None:
    result = results[name]
    assert result.risk is not None
    html, md, text = unescape(RENDERERS["html"](result)), RENDERERS["md"](result).replace("\\", ""), screen(result)
    html, md = (re.sub("</?code>", "", page) for page in (html, md))
    for page in (html, unescape(md), text):
        assert "Who is at risk" in page
        assert "Compared with a model that never saw the members" in page
        assert sentence(result) in page
        assert above_sentence(result.risk) in page
        assert stability_sentence(result.risk.stability) in page
        assert "all attacks together" in page
    assert "best, held out" in text
    for page in (html, unescape(md)):
        assert "best attack, chosen on other texts" in page
        assert selection_sentence(result).replace("`", "") in page
        assert combination_sentence(result) in page


def test_a_veto_withholds_the_new_parts(results: dict[str, AuditResult]) -> None:
    result = results["full_veto"]
    assert screen(result).count("(for diagnosis only)") == 6
    assert RENDERERS["html"](result).count("<b>For diagnosis only.</b>") == 7  # samples are a part of their own there
    assert RENDERERS["md"](result).count("**For diagnosis only**") == 6
    assert sentence(result) not in verdict(result).points
    assert any(chip.label == "Against retrained" and chip.word == "withheld" for chip in chips(result))


def test_trust_stands_before_the_verdict_in_every_format(any_result: AuditResult) -> None:
    title = verdict(any_result).title
    html, md = RENDERERS["html"](any_result).partition("<article")[2], RENDERERS["md"](any_result)
    assert md.index("Can these numbers be trusted?") < md.index(title)
    if is_vetoed(any_result):  # then the verdict is the answer: why there is none, and what to do
        first, rest = html.split("</article>", 1)
        assert title in first
        assert "What to do:" in first
        assert rest.lstrip().startswith('<details class="folded"><summary>Checks and figures, for diagnosis only')
    else:
        assert html.index("Can these numbers be trusted?") < html.index(title)


def test_a_document_without_the_new_parts_still_renders(normal: AuditResult) -> None:
    text = RENDERERS["json"](normal)
    for name in (*NEW[1:], "n_dropped", "p_value", "p_value_holm", "auc_residualised", "auc_within_strata"):
        text = re.sub(rf',?\s*"{name}": (null|0)(?=[,\s}}])', "", text)
    old = from_json(text.replace('"schema_version": "1.2"', '"schema_version": "1.1"'))
    assert old.selection is None
    for page in (RENDERERS["html"](old), RENDERERS["md"](old), screen(old)):
        assert "Who is at risk" not in page
        assert "adjusted" not in page.partition("every number")[0].partition("How to read this")[0]
        assert "0.931" in page


def test_the_declared_attack_is_the_headline(full: AuditResult) -> None:
    assert full.selection is not None
    declared = replace(full, selection=replace(full.selection, headline="zlib", declared_by="config"))
    chosen = headline_attack(declared)
    assert chosen is not None
    assert chosen.name == "zlib"
    assert declaration(declared, chosen).startswith(
        "Verdict rests on the attack `zlib` (chosen in advance, in the configuration); p < 0.001, Holm-adjusted over 6 "
        "attacks."
    )
    by_default = replace(full, selection=replace(full.selection, declared_by="default"))
    assert any("(the default, fixed in advance)" in point for point in verdict(by_default).points)
    gone = headline_attack(replace(full, selection=replace(full.selection, headline="not run")))
    assert gone is not None
    assert gone.name == "reference"


def test_only_what_survives_all_attacks_is_said_to_tell_the_sides_apart(full: AuditResult) -> None:
    nothing = estimate(0.5, 0.46, 0.54)
    attacks = tuple(replace(a, auc=nothing) if a.name == "reference" else a for a in full.attacks)
    points = verdict(replace(full, attacks=attacks)).points
    # p adjusted: min_k_plus_plus 0.0461 is above the one-sided 0.025, min_k 0.0113, zlib and loss are below
    assert points[0].startswith("But min_k:k=0.1, loss, zlib do tell the sides apart.")
    assert points[1].startswith("`min_k_plus_plus` reaches AUC 0.")


def test_adjusted_aucs_stand_in_the_table_only_if_looks_tell_the_sides_apart(full: AuditResult) -> None:
    columns = {"AUC without what the text alone tells", "AUC among texts of equal length"}
    assert columns < set(attack_table(full).header)
    assert full.soundness is not None
    passed = tuple(replace(check, verdict="pass") for check in full.soundness.checks)
    sound = replace(full, soundness=replace(full.soundness, verdict="pass", checks=passed))
    assert columns.isdisjoint(attack_table(sound).header)
    assert columns <= {quantity.label for _, quantity in every_quantity(sound)}


def test_a_column_that_one_attack_lacks_is_a_dash_and_not_a_shift(full: AuditResult) -> None:
    first, *rest = full.attacks
    bare = replace(first, auc_residualised=None, epsilon_lower_bound=estimate(0.123, 0.1, 0.2))
    table = attack_table(replace(full, attacks=(bare, *rest)))
    row = next(row for row in table.rows if row.label == "loss")
    cells = dict(zip(table.header, row.cells, strict=True))
    assert cells["AUC without what the text alone tells"] == ""
    assert getattr(cells["Epsilon, lower bound"], "value", None) == "0.123"
    assert RENDERERS["html"](replace(full, attacks=(bare, *rest)))


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        ((0.006, -0.002, 0.014), "adds nothing measurable to the best single attack (+0.006 [−0.002 to 0.014])"),
        ((0.02, 0.01, 0.03), "adds +0.020 [0.010 to 0.030] to the best single attack"),
        ((-0.02, -0.03, -0.01), "less than the best single attack, chosen on other texts, reaches (−0.020"),
    ],
)
def test_the_gain_is_said_as_its_interval_allows(
    full: AuditResult, gain: tuple[float, float, float], says: str
) -> None:
    assert full.combination is not None
    changed = replace(full, combination=replace(full.combination, gain=estimate(*gain)))
    assert says in combination_sentence(changed)


def test_choosing_among_one_attack_is_no_choice(normal: AuditResult) -> None:
    alone = SelectionResult(
        headline="reference", declared_by="default", n_attacks=1, best_auc=estimate(0.9, 0.8, 0.95), chosen=()
    )
    one = replace(normal, attacks=normal.attacks[1:2], selection=alone)
    assert selection_sentence(one) == ""
    assert [row.label for row in attack_table(one).rows] == ["reference"]


def test_probabilities_that_are_off_are_not_taken_at_their_word(full: AuditResult) -> None:
    assert full.risk is not None
    calibration = full.risk.calibration
    assert calibration is not None
    assert calibration_sentence(calibration) == (
        "Its probabilities cannot be taken at their word (off by 3.4 percentage points on average; Brier score 0.112 "
        "[0.102 to 0.123], where 0.25 says nothing). Worst: where 94% is stated, 82% [75% to 88%] are members."
    )
    assert "can be taken at their word" in calibration_sentence(replace(calibration, calibrated=True))
    assert "not known" in calibration_sentence(None)
    assert above_sentence(full.risk).startswith("Beyond a probability of 90%: 211 of 500 members, and 13 of 480")


def test_without_probabilities_the_reason_stands_in_their_place(full: AuditResult) -> None:
    assert full.risk is not None
    none = replace(
        full.risk,
        calibration=None,
        members_above=None,
        non_members_above=None,
        undefined_reason="4 members are too few",
    )
    result = replace(full, risk=none)
    assert above_sentence(none) == ""
    for page in (RENDERERS["html"](result), RENDERERS["md"](result), screen(result)):
        assert "No probabilities of membership: 4 members are too few." in page
        assert "Beyond a probability" not in page
        assert "taken at their word" not in page.partition("Who is at risk")[2].partition("By length")[0]


def test_breakdowns_are_short_honest_and_deaf_to_their_labels(full: AuditResult) -> None:
    assert full.risk is not None
    by_group, by_length, by_rarity, by_copies = full.risk.breakdowns
    rows = breakdown_rows(by_group)
    assert len(rows) == 12
    assert rows[0].label.startswith("<script>alert(3)</script>")
    assert len(rows[0].label) < 110
    assert [row.label for row in breakdown_rows(by_length)] == ["1 to 31", "32 to 63", "64 or more"]
    assert "3 more groups in report.html, under every number. 4 smaller groups left out" in RENDERERS["html"](full)
    assert "most at risk: 64 or more tokens, AUC 0.968" in breakdown_sentence(by_length)
    assert breakdown_sentence(by_rarity) == "No measurable difference between 2 groups (adjusted p = 0.413)."
    assert breakdown_sentence(by_copies) == "Not defined: no member is there twice."
    assert "<script>" not in RENDERERS["html"](full) + RENDERERS["md"](full)


def test_of_groups_with_one_auc_that_with_the_most_bits_is_named_and_the_others_are_counted(full: AuditResult) -> None:
    assert full.risk is not None
    base = full.risk.breakdowns[1].groups[0]
    groups = tuple(
        replace(base, label=label, auc=estimate(area, 0.9, 1.0), mean_bits=estimate(bits, bits - 1, bits + 1))
        for label, area, bits in (("1", 0.96, 99.0), ("2", 1.0, 20.0), ("3-4", 1.0, 60.0), ("5-8", 1.0, 60.0))
    )
    part = replace(full.risk.breakdowns[1], by="copies", groups=groups)
    assert "most at risk: 3-4 copies, AUC 1.000 [0.900 to 1.000] (as high: 2 other groups)." in breakdown_sentence(part)
    alone = replace(part, groups=groups[:2])
    assert "most at risk: 2 copies, AUC 1.000 [0.900 to 1.000]." in breakdown_sentence(alone)
    assert [row.label for row in breakdown_rows(replace(part, by="group"))] == ["3-4", "5-8", "2", "1"]


def test_rarity_says_what_it_is(full: AuditResult) -> None:
    assert full.risk is not None
    part = replace(full.risk.breakdowns[2], p_value=0.001)
    assert breakdown_title(part) == "By rarity of the words (mean TF-IDF weight of a word, higher is rarer)"
    assert "most at risk: rarity 32 to 63, AUC" in breakdown_sentence(part)


@pytest.mark.parametrize(
    ("calibrated", "low", "says"),
    [
        (True, 3.12, "Of these, 4.1 bits [3.1 to 5.1] are what non-members have on average"),
        (True, -0.1, ""),
        (False, 3.12, "Without non-members it is not known"),
    ],
)
def test_bits_that_non_members_have_too_are_named_beside_the_worst_members(
    full: AuditResult, calibrated: bool, low: float, says: str
) -> None:
    assert full.memorization is not None
    mean = replace(full.memorization.mean_bits_non_members, low=low)
    result = replace(full, memorization=replace(full.memorization, calibrated=calibrated, mean_bits_non_members=mean))
    caveat = tails_caveat(result)
    assert caveat.startswith(says)
    assert bool(caveat) == bool(says)
    for page in (unescape(RENDERERS["html"](result)), RENDERERS["md"](result).replace("\\", ""), screen(result)):
        assert caveat in page
    assert tails_caveat(replace(full, memorization=None)) == ""


def test_stability_is_named_by_how_many_of_the_worst_agree(full: AuditResult) -> None:
    assert full.risk is not None
    stability = full.risk.stability
    assert stability is not None
    assert "much the same" in stability_sentence(stability)
    assert "partly the same" in stability_sentence(replace(stability, same_worst=0.5))
    assert "largely other" in stability_sentence(replace(stability, same_worst=0.1))
    assert stability_sentence(None) == ""


def only(full: AuditResult, attack: RetrainedAttack, finding: str) -> AuditResult:
    assert full.retrained is not None
    return replace(
        full, retrained=replace(full.retrained, finding=finding, attacks=(replace(attack, finding=finding),))
    )


@pytest.mark.parametrize(
    ("finding", "tone", "says", "does"),
    [
        ("residual", "bad", "still gives members away more", "Do not call the members unlearned"),
        ("over_erased", "bad", "a finding and no success", "unlearn less"),
        ("indistinguishable", "ok", "within 0.02 of AUC: the whole interval", ""),
        ("undecided", "info", "neither shown nor refuted", "Give more texts of both sides"),
    ],
)
def test_the_finding_against_retraining(full: AuditResult, finding: str, tone: str, says: str, does: str) -> None:
    assert full.retrained is not None
    result = only(full, full.retrained.attacks[1], finding)
    assert says in sentence(result)
    assert sentence(result) in verdict(result).points
    assert any(chip.label == "Against retrained" and chip.tone == tone for chip in chips(result))
    assert not does or any(does in step for step in actions(result))


def test_the_finding_rests_on_the_headline_or_else_on_the_surest(full: AuditResult) -> None:
    assert "attack reference)" in sentence(full)
    assert full.retrained is not None
    quiet = tuple(
        replace(a, finding="undecided") if a.attack in ("reference", "loss") else a for a in full.retrained.attacks
    )
    erased = replace(full, retrained=replace(full.retrained, finding="over_erased", attacks=quiet))
    assert "attack lowercase)" in sentence(erased)


def test_samples_to_drop_are_named_five_at_most(full: AuditResult) -> None:
    ids = tuple(f"<i>{i}\x1b" for i in range(7))
    check = CheckResult(
        name="near_duplicates_within", verdict="warn", figure=7.0, unit="texts", detail="d", sample_ids=ids
    )
    line = drop_line(check)
    assert line == (
        "7 samples listed in drop-ids.txt, beside this report "
        r"(<i>0\x1b, <i>1\x1b, <i>2\x1b, <i>3\x1b, <i>4\x1b and 2 more): "
        "run again with --drop-ids and that file."
    )
    assert drop_line(replace(check, sample_ids=())) == ""
    assert any("14 samples listed in drop-ids.txt" in step for step in actions(full))
    html = RENDERERS["html"](full)
    assert html.count("record-&lt;b&gt;000") == 5
    assert "and 9 more" in html


def test_checks_are_named_for_people() -> None:
    assert spoken("ngram_overlap") == "passages on both sides"
    assert spoken("some_new_check") == "some new check"


def test_many_references_are_counted_and_listed(full: AuditResult) -> None:
    html, md = RENDERERS["html"](full), RENDERERS["md"](full)
    assert "9 references" in html
    assert "8 more references" in html
    assert all(f"shadows/model-{i}" in html and f"shadows/model-{i}" in md for i in range(8))
    assert html.count("<h3>Reference</h3>") == md.count("**Reference**") == 1


def test_the_command_holds_every_new_option(full: AuditResult) -> None:
    text = {"text_field": "text", "split": "train"}
    given = {
        "shots": {"path": "s.jsonl", **text},
        "member_shots": {"path": "ms.jsonl", **text},
        "frequency_corpus": {"path": "f.jsonl", **text},
        "neighbour_model": "mlm",
        "neighbours": 25,
        "shadows": "shadows",
        "retrained": {"path": "base", "revision": None, "adapter": "re trained"},
        "retrained_margin": 0.03,
        "split_manifest": "split/manifest.json",
        "drop_ids": "drop.txt",
        "headline": "min_k:k=0.1",
    }
    written = command({**full.config, **given}) or ""
    for option in (
        *("--shots s.jsonl", "--member-shots ms.jsonl", "--frequency-corpus f.jsonl", "--neighbour-model mlm"),
        *("--neighbours 25", "--shadows shadows", "--retrained 're trained'", "--retrained-margin 0.03"),
        *("--split-manifest split/manifest.json", "--drop-ids drop.txt", "--headline min_k:k=0.1"),
    ):
        assert f"  {option} \\\n" in written
    assert "retrained" not in (command({**full.config, "retrained": None, "retrained_margin": 0.02}) or "")


def test_limits_follow_the_new_parts(full: AuditResult, normal: AuditResult) -> None:
    assert any("half of the candidates are members" in line for line in limits(full))
    assert any("another seed differs" in line for line in limits(full))
    assert not any("another seed differs" in line for line in limits(normal))
    assert not any("shadow models" in line for line in limits(replace(full, config={**full.config, "shadows": "s"})))


def test_a_change_carries_its_sign() -> None:
    assert Change(label="", unit="", estimate=estimate(0.0123, 0.01, 0.02)).value == "+0.012"
    assert Change(label="", unit="", estimate=estimate(-0.0123, -0.02, 0.0)).value == "−0.012"
    assert Change(label="", unit="", estimate=estimate(0.0001, -0.02, 0.02)).value == "0.000"

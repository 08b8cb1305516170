"""The target against a retrained model: residue, over-erasure, equality, and too little to tell."""

from typing import Any

import numpy as np
import pytest

from auditor.documents.result import RetrainedResult
from auditor.estimates.retrained import compare_with_retrained
from auditor.stats.change import auc_change


def compare(shift: float, *, n: int = 400, margin: float = 0.02, noise: float = 0.3, **more: Any) -> RetrainedResult:
    """Compare scores that are the retrained model's but for noise and a shift of the members."""
    rng = np.random.default_rng(1)
    is_member = np.arange(2 * n) < n
    theirs = rng.normal(size=2 * n)
    ours = theirs + shift * is_member + noise * rng.normal(size=2 * n)
    return compare_with_retrained(
        **{
            "target": {"reference": ours, "loss": ours},
            "retrained": {"reference": theirs, "loss": theirs},
            "target_bits": 100.0 - 10 * shift * is_member,
            "retrained_bits": np.full(2 * n, 100.0),
            "is_member": is_member,
            "groups": None,
            "headline": "reference",
            "margin": margin,
            "level": 0.95,
            "path": "m",
            "weights_sha256": "w",
            **more,
        }
    )


def test_what_is_left_is_found_in_either_direction() -> None:
    assert compare(0.8).finding == "residual"
    erased = compare(-0.8)
    assert erased.finding == "over_erased"
    assert erased.attacks[0].target_auc.value is not None
    assert erased.attacks[0].target_auc.value < 0.35  # an AUC far below one half is a finding, not a success


def test_the_same_model_is_indistinguishable() -> None:
    same = compare(0.0, noise=0.0)
    assert same.finding == "indistinguishable"
    assert same.attacks[0].change.value == 0


def test_a_small_change_within_the_margin_counts_as_the_same() -> None:
    change = compare(0.03, noise=0.0, n=4000).attacks[0]
    assert change.p_value is not None
    assert change.p_value < 0.05  # measurable,
    assert change.finding == "indistinguishable"  # and too small to matter


def test_too_few_texts_decide_nothing() -> None:
    assert compare(0.2, n=8).finding == "undecided"
    alone = compare(0.8, is_member=np.ones(800, dtype=bool))
    assert alone.finding == "undecided"
    assert alone.net_bits_per_member.undefined_reason == "no non-members were given"


def test_bits_are_those_of_members_over_non_members() -> None:
    assert compare(0.8).net_bits_per_member.value == pytest.approx(8.0)


def test_another_attack_may_find_what_the_headline_misses() -> None:
    rng = np.random.default_rng(2)
    is_member = np.arange(400) < 200
    noise = rng.normal(size=400)
    found = compare_with_retrained(
        target={"reference": noise, "loss": noise + 2 * is_member},
        retrained={"reference": noise + 0.001 * rng.normal(size=400), "loss": noise},
        target_bits=np.zeros(400),
        retrained_bits=np.zeros(400),
        is_member=is_member,
        groups=None,
        headline="reference",
        margin=0.02,
        level=0.95,
        path="m",
        weights_sha256="w",
    )
    assert [attack.finding for attack in found.attacks] == ["indistinguishable", "residual"]
    assert found.finding == "residual"


def test_the_p_value_belongs_to_the_interval() -> None:
    rng = np.random.default_rng(0)
    is_member = np.arange(60) < 30
    seen = set()
    for shift in np.linspace(0, 3, 25):
        before = rng.normal(size=60)
        change = auc_change(before, before + shift * is_member + rng.normal(size=60), is_member, level=0.95)
        low, high, p = change.estimate.low, change.estimate.high, change.p_value
        assert low is not None
        assert high is not None
        assert p is not None
        assert (p < 0.05) == (low > 0 or high < 0)
        seen.add((p < 0.05, "Zou" in change.estimate.method))
    assert seen >= {(True, True), (True, False), (False, False)}


@pytest.mark.slow
def test_findings_hold_over_all_attacks_together() -> None:
    """Two hundred pairs of models that do not differ, five attacks each: false findings stay at the level."""
    false_findings = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        is_member = np.arange(120) < 60
        target, retrained = ({str(i): rng.normal(size=120) for i in range(5)} for _ in range(2))
        found = compare(
            0.0, target=target, retrained=retrained, is_member=is_member, headline="0",
            target_bits=np.zeros(120), retrained_bits=np.zeros(120),
        )  # fmt: skip
        false_findings += found.finding in ("residual", "over_erased")
    assert false_findings <= 18  # 10 expected at 5%; more than 18 by chance: 1 in 200

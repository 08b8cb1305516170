"""What stops a training: whole intervals beyond a limit, given by hand or by a policy."""

from pathlib import Path

import pytest

from auditor.documents.estimate import Estimate
from auditor.errors import ConfigError
from helpers import estimate, make_texts


def test_stop_above_wants_the_whole_interval_beyond() -> None:
    from auditor.training_callback import StopAbove

    rule = StopAbove({"loss_auc": 0.6, "bits_per_member": 2.0})
    harmless = {"loss_auc": estimate(0.7, 0.59, 0.8), "bits_per_member": estimate(2.5, 1.0, 3.0)}
    assert rule(harmless) is None
    assert rule(harmless | {"bits_per_member": Estimate.undefined("none", level=0.95)}) is None
    said = rule(harmless | {"loss_auc": estimate(0.7, 0.61, 0.8)})
    assert said == "loss_auc 0.7 [0.61, 0.8] is above 0.6"


def test_limits_are_of_figures_that_there_are() -> None:
    from auditor.training_callback import StopAbove

    for limits in ({"auc": 0.6}, {"loss_auc": float("nan")}):
        with pytest.raises(ConfigError, match="limits are numbers of loss_auc"):
            StopAbove(limits)


def test_a_policy_becomes_the_limits_that_are_known_while_training(tmp_path: Path) -> None:
    from auditor.gates.policy import built_in_policy, parse_policy
    from auditor.training_callback import MemorizationCallback, StopAbove

    expected = {"reference_auc": 0.6, "loss_auc": 0.6, "bits_per_member": 8.0}
    assert StopAbove.of_policy(built_in_policy()).limits == expected
    gates = """
version = 1
[[gate]]
name = "a"
metric = "memorization.capacity_used"
max = 0.2
[[gate]]
name = "stricter"
metric = "memorization.capacity_used"
max = 0.1
[[gate]]
name = "other-way"
metric = "attacks.loss.auc"
min = 0.4
"""
    assert StopAbove.of_policy(parse_policy(gates, "given")).limits == {"capacity_used": 0.1}
    waiver = '[[waiver]]\ngate = "{}"\nreason = "known"\nexpires = {}\n'
    over = waiver.format("stricter", "2020-01-01")
    assert StopAbove.of_policy(parse_policy(gates + over, "given")).limits == {"capacity_used": 0.1}
    holds = waiver.format("stricter", "9999-01-01")
    assert StopAbove.of_policy(parse_policy(gates + holds, "given")).limits == {"capacity_used": 0.2}
    with pytest.raises(ConfigError, match="no gate can stop training"):
        StopAbove.of_policy(parse_policy(gates + holds + waiver.format("a", "9999-01-01"), "given"))
    texts = make_texts(3, seed=1), make_texts(3, seed=2)
    (tmp_path / "policy.toml").write_text(gates)
    MemorizationCallback(*texts, every_steps=1, policy=tmp_path / "policy.toml")
    with pytest.raises(ConfigError, match="not both"):
        MemorizationCallback(*texts, every_steps=1, policy=tmp_path / "policy.toml", stop_when=StopAbove({}))

"""Prediction beside measurement: hand-made cases of each outcome, and one audit of tiny models."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.auditing.pipeline import audit
from auditor.config import AuditConfig
from auditor.documents.estimate import Estimate
from auditor.documents.prediction import Comparison, Prediction, PredictionBesideMeasurement
from auditor.documents.result import AuditResult
from auditor.documents.sample_table import SampleTable
from auditor.errors import ConfigError, ResultError
from auditor.estimates.prediction import check_stated_size, compare, set_beside
from auditor.laws.capacity import BitsPerParameter
from auditor.laws.constants import read_constants
from auditor.laws.prediction import Plan, predict
from helpers import estimate
from reports import RENDERERS, from_json

NOTHING: dict[str, Estimate | None] = dict.fromkeys(
    ("loss_f1", "loss_auc", "reference_f1", "reference_auc", "best_auc", "bits_per_member", "capacity_used")
)


@pytest.fixture
def prediction() -> Prediction:
    """Loss attack AUC 0.8 in [0.7, 0.9], with a reference 0.9 in [0.85, 0.95]; 10 bits per sample, AUC at most 0.97."""
    found = predict(Plan(params=12_512, tokens=626 * 64.0, capacity=BitsPerParameter(3.51, "test")))
    assert found.law.in_range
    return replace(
        found,
        law=replace(found.law, f1=0.7, f1_low=0.6, f1_high=0.8, auc=0.8, auc_low=0.7, auc_high=0.9),
        reference_attack=replace(
            found.reference_attack, f1=0.8, f1_low=0.75, f1_high=0.85, auc=0.9, auc_low=0.85, auc_high=0.95
        ),
        ceiling=replace(found.ceiling, bits_per_sample=10.0, auc=0.97),
    )


def beside(prediction: Prediction, **measured: Estimate | None) -> PredictionBesideMeasurement:
    return compare(prediction, **(NOTHING | measured))


def only(prediction: Prediction, **measured: Estimate | None) -> Comparison:
    (comparison,) = beside(prediction, **measured).comparisons
    return comparison


@pytest.mark.parametrize(
    ("low", "high", "agrees", "meaning"),
    [
        (0.75, 0.85, True, "size alone would explain"),
        (0.90, 0.99, True, "size alone would explain"),  # ends that touch overlap
        (0.55, 0.70, True, "size alone would explain"),
        (0.905, 0.99, False, "Above the prediction. Possible reasons"),
        (0.40, 0.695, False, "Below the prediction. Possible reasons"),
        (0.45, 0.75, True, "also holds a coin flip"),
    ],
)
def test_a_band(prediction: Prediction, low: float, high: float, agrees: bool, meaning: str) -> None:
    found = only(prediction, loss_auc=estimate((low + high) / 2, low, high))
    assert found.agrees is agrees
    assert meaning in found.meaning
    assert (found.predicted, found.predicted_low, found.predicted_high) == (0.8, 0.7, 0.9)
    assert (found.measured_low, found.measured_high) == (low, high)


@pytest.mark.parametrize(("low", "high", "agrees"), [(1.0, 2.0, True), (9.0, 30.0, True), (10.5, 12.0, False)])
def test_a_ceiling(prediction: Prediction, low: float, high: float, agrees: bool) -> None:
    found = only(prediction, bits_per_member=estimate((low + high) / 2, low, high))
    assert found.agrees is agrees
    assert (found.predicted_low, found.predicted_high) == (0.0, 10.0)


def test_an_auc_below_a_coin_flip_is_within_its_ceiling(prediction: Prediction) -> None:
    assert only(prediction, best_auc=estimate(0.4, 0.35, 0.45)).agrees is True


def test_what_is_undefined_says_why(prediction: Prediction) -> None:
    none = Estimate.undefined("no non-members were given", level=0.95)
    for name in NOTHING:
        found = only(prediction, **{name: none})
        assert (found.agrees, found.measured, found.measured_low, found.measured_high) == (None, None, None, None)
        assert found.meaning == "Not measured: no non-members were given."
    assert "Nothing was measured" in beside(prediction, loss_auc=none).summary


def test_the_summary_names_every_disagreement(prediction: Prediction) -> None:
    low, high = estimate(0.5, 0.48, 0.52), estimate(0.99, 0.98, 1.0)
    summary = beside(prediction, loss_f1=low, loss_auc=low, reference_auc=high).summary
    assert "Loss attack: below" in summary  # each attack once
    assert "Reference attack: above" in summary
    summary = beside(prediction, reference_auc=high, best_auc=high, bits_per_member=estimate(20.0, 15.0, 25.0)).summary
    assert "Best attack and bits of a member: more than the model can hold" in summary
    assert "Reference attack: above" in summary
    assert summary.count("Possible reasons") == 1


def test_the_summary_of_agreement(prediction: Prediction) -> None:
    agreeing = estimate(0.8, 0.75, 0.85)
    assert "agrees" in beside(prediction, loss_auc=agreeing).summary
    assert "lies within the ceilings" in beside(prediction, best_auc=agreeing).summary
    assert "coin flip" in beside(prediction, loss_auc=estimate(0.6, 0.4, 0.8)).summary
    outside = replace(prediction, law=replace(prediction.law, in_range=False))
    assert beside(outside, loss_auc=agreeing).summary.endswith("extrapolation, see its warnings.")


def test_few_epochs_are_a_reason_for_less(prediction: Prediction) -> None:
    low = estimate(0.5, 0.48, 0.52)
    assert "(12 epochs here" in beside(replace(prediction, epochs=12.0), loss_auc=low).summary
    assert "epochs" not in beside(replace(prediction, epochs=900.0), loss_auc=low).summary


@pytest.fixture
def run(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> Callable[..., tuple[AuditResult, SampleTable]]:
    def call(**options: Any) -> tuple[AuditResult, SampleTable]:
        config = AuditConfig.from_options(
            {
                "target": str(tiny_models["target"]),
                "references": [str(tiny_models["reference"])],
                "members": str(tiny_data["members"]),
                "non_members": str(tiny_data["non_members"]),
                "attacks": ["loss", "reference"],
            }
            | options
        )
        done = audit(config, scores_folder=tmp_path / "scores")
        return done.result, done.samples

    return call


def test_an_audit_with_a_stated_size(run: Callable[..., tuple[AuditResult, SampleTable]]) -> None:
    result, table = run(train_samples="2k", epochs=3, fine_tuned=True)
    assert result.prediction is not None
    plan = result.prediction.prediction
    members = table.is_member
    assert table.reference_bits is not None
    per_token = table.reference_bits[~members].sum() / table.n_tokens[~members].sum()
    assert plan.sample_tokens == pytest.approx(table.n_tokens[members].mean())
    assert plan.samples == pytest.approx(2000)
    assert plan.dataset_bits == pytest.approx(per_token * plan.tokens)
    assert plan.params == plan.trainable_params == result.provenance.models[0].n_parameters
    assert any("fine-tuning" in warning for warning in plan.warnings)
    found = {one.quantity: one for one in result.prediction.comparisons}
    loss, reference = result.attacks
    assert found["loss attack, F1"].measured == loss.f1_equal_error.value
    assert found["reference attack, AUC"].measured == reference.auc.value
    assert found["best attack, AUC (ceiling)"].measured == np.max([loss.auc.value, reference.auc.value])  # type: ignore[list-item]
    assert result.memorization is not None
    assert found["bits of a member (ceiling)"].measured == result.memorization.debiased_bits_per_member.value
    assert from_json(RENDERERS["json"](result)).prediction == result.prediction


@pytest.mark.slow
def test_an_adapter_may_be_larger_than_its_base(run: Callable[..., tuple[AuditResult, SampleTable]]) -> None:
    result, table = run()
    config = AuditConfig.from_options({"target": "t", "members": "m", "train_samples": 2000, "adapter": "a"})
    found = set_beside(
        config, read_constants(config), n_parameters=100, n_trained=1000, stored_dtype="float32", n_members_cut=0,
        n_vocabulary=512, table=table, attacks=result.attacks, memorization=result.memorization,
    )  # fmt: skip
    assert found is not None
    assert (found.prediction.params, found.prediction.trainable_params) == (1100, 1000)
    assert found.prediction.capacity_bits == pytest.approx(3830.0)
    assert any("fine-tuning" in warning for warning in found.prediction.warnings)


@pytest.mark.slow
def test_without_non_members_every_row_says_why(run: Callable[..., tuple[AuditResult, SampleTable]]) -> None:
    result, _ = run(train_samples=500, non_members=None)
    assert result.prediction is not None
    assert len(result.prediction.comparisons) == 7
    for one in result.prediction.comparisons:
        assert one.agrees is None
        assert one.meaning.startswith("Not measured: ")


@pytest.mark.slow
def test_cut_members_and_too_few_tokens_are_said(run: Callable[..., tuple[AuditResult, SampleTable]]) -> None:
    result, _ = run(train_samples=500, max_tokens=8)
    assert result.prediction is not None
    assert "members were cut" in result.prediction.prediction.warnings[0]
    result, _ = run(train_tokens=40)
    assert result.prediction is not None
    assert "fewer than the members alone" in result.prediction.prediction.warnings[0]


def test_a_training_set_smaller_than_the_members_is_refused(
    run: Callable[..., tuple[AuditResult, SampleTable]],
) -> None:
    with pytest.raises(ConfigError, match="train-samples is 29, but there are 30 different members"):
        run(target="nowhere", train_samples=29)  # before any model is looked for


def test_copies_of_a_text_are_one_sample() -> None:
    config = AuditConfig.from_options({"target": "t", "members": "m", "train_samples": 2})
    check_stated_size(config, 2)
    with pytest.raises(ConfigError, match="3 different members"):
        check_stated_size(config, 3)


@pytest.mark.parametrize("key", ["capacity", "calibration"])
def test_wrong_files_are_refused_before_any_model(
    key: str, run: Callable[..., tuple[AuditResult, SampleTable]], tmp_path: Path
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text('{"schema_version": "1.0", "kind": "other"}')
    with pytest.raises(ResultError, match=f"wrong.json: not a {key}"):
        run(target="nowhere", train_samples=500, **{key: str(path)})

"""The model card's section and metadata, read back by the hub's own library."""

from dataclasses import replace

from huggingface_hub import ModelCard

from auditor.documents.gates import GateReport
from reports import GATE_RENDERERS
from reports.ci.model_card import BEGIN, END, model_card_metadata, model_card_section

to_model_card = GATE_RENDERERS["model_card"]


def test_the_hub_reads_the_figures_back(mixed: GateReport) -> None:
    card = ModelCard(to_model_card(mixed))
    found = {one.metric_type: one for one in card.data.eval_results}
    defined = [gate for gate in mixed.gates if gate.value is not None]
    assert list(found) == [gate.metric for gate in defined]
    for gate in defined:
        one = found[gate.metric]
        assert (one.metric_value, one.metric_name) == (gate.value, gate.description)
        assert one.metric_args["n_members"] == gate.n_members
        assert one.metric_args.get("low") == (gate.low if gate.level is not None else None)
    assert card.data.model_name == "checkpoint-500"
    assert card.text.strip() == model_card_section(mixed).strip()


def test_any_verdict_makes_a_card(any_verdict: GateReport) -> None:
    source = to_model_card(any_verdict)
    assert source.count(BEGIN) == source.count(END) == 1
    if model_card_metadata(any_verdict):
        assert ModelCard(source).data.to_dict() == model_card_metadata(any_verdict)
    else:
        assert source.startswith(BEGIN)


def test_what_was_not_measured_or_not_sound_is_no_metadata(verdicts: dict[str, GateReport]) -> None:
    for case in ("veto", "prediction", "empty"):
        assert model_card_metadata(verdicts[case]) == {}
    planned = tuple(replace(gate, metric="prediction.law.auc") for gate in verdicts["mixed"].gates)
    assert model_card_metadata(replace(verdicts["mixed"], gates=planned)) == {}
    refused = tuple(replace(gate, outcome="refused") for gate in verdicts["mixed"].gates)
    assert model_card_metadata(replace(verdicts["mixed"], gates=refused)) == {}


def test_two_gates_on_one_figure_are_one_metric(mixed: GateReport) -> None:
    twice = replace(mixed, gates=(mixed.gates[1], replace(mixed.gates[1], gate="other", most=0.9)))
    (model,) = model_card_metadata(twice)["model-index"]
    assert len(model["results"][0]["metrics"]) == 1


def test_a_card_names_no_sample_and_no_folder(mixed: GateReport) -> None:
    public = replace(mixed, subject="/srv/someone/out/checkpoint-500", policy="C:\\work\\private\\policy.toml")
    source = to_model_card(public)
    for private in ("doc-0", "someone", "private", "audit/result.json"):
        assert private not in source
    assert "7 samples to look at" in source
    assert "policy.toml" in source


def test_it_says_what_it_does_not_show(any_verdict: GateReport) -> None:
    section = model_card_section(any_verdict)
    assert "**What this does not show**" in section
    assert section.count("\n- ") >= 3 + len(any_verdict.notes)
    assert "No proof of privacy" in model_card_section(any_verdict)


def test_a_veto_and_a_waiver_are_said(verdicts: dict[str, GateReport]) -> None:
    source = model_card_section(verdicts["veto"])
    assert "**A soundness check of the audit forbids a verdict: the figures are for diagnosis only.**" in source
    assert "<code>tpr</code> is waived until 2027-01-31: known, retrained in sprint 12" in source
    assert "refused: no verdict; extraction was not run" in source

"""The library that programs import: the command line's numbers, models and texts in memory, and nothing changed."""

import json
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from attacks import MinK
from auditor.config import DataSpec
from auditor.data import load_samples, load_texts
from auditor.documents.files import to_text
from helpers import Ran, make_texts

N = 30


@pytest.fixture(scope="module")
def sides() -> tuple[list[str], list[str]]:
    return make_texts(N, seed=1), make_texts(N, seed=2)


def load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def adapted(folder: Path) -> Any:
    """Put an adapter on a model that changes what it computes."""
    import torch
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        torch.manual_seed(3)
        lora = LoraConfig(r=2, init_lora_weights=False, target_modules=["c_attn"], fan_in_fan_out=True)
        return get_peft_model(load(folder)[0], lora).eval()


@pytest.fixture(scope="module")
def found(tiny_models: dict[str, Path], sides: tuple[list[str], list[str]]) -> auditor.Audit:
    """An audit of a model in memory."""
    model, tokenizer = load(tiny_models["target"])
    return auditor.audit(
        model, reference=str(tiny_models["reference"]), members=sides[0], non_members=sides[1], tokenizer=tokenizer
    )


def stable(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out when and how fast an audit was made, and where its inputs lie."""
    for name in ("started_at", "seconds", "scoring_seconds", "samples_sha256", "n_tokens_scored", "n_tokens_reused"):
        document["provenance"].pop(name, None)
    for model in document["provenance"]["models"]:
        model.pop("scoring_path")  # a second audit with the same scores runs no model
    return document


def test_importing_it_is_instant_and_torch_free() -> None:
    code = (
        "import sys, auditor; "
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'scipy', 'pyarrow', 'pydantic', 'matplotlib', 'rich'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "assert 'audit' in dir(auditor) and not hasattr(auditor, 'nothing'); "
        "import auditor.auditing; assert 'audit' not in vars(auditor)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    for name in auditor.__all__:
        assert getattr(auditor, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        auditor.nothing  # noqa: B018


def test_paths_give_what_the_command_line_gives_to_the_last_bit(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path, run: Callable[..., Ran]
) -> None:
    ran = run(
        "audit", "--target", tiny_models["target"], "--reference", tiny_models["reference"],
        "--members", tiny_data["members"], "--non-members", tiny_data["non_members"],
        "--max-tokens", 20, "--attack", "loss", "--attack", "min_k:k=0.3", "--seed", 5, "--out", tmp_path / "command",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    auditor.audit(
        tiny_models["target"], reference=tiny_models["reference"], members=tiny_data["members"],
        non_members=str(tiny_data["non_members"]), max_tokens=20, attacks=["loss", MinK(k=0.3)], seed=5,
        out=tmp_path / "library",
    )  # fmt: skip
    each = [tmp_path / name for name in ("command", "library")]
    names = [{file.relative_to(folder).as_posix() for file in folder.glob("*")} for folder in each]
    assert names[0] == names[1]
    assert (each[0] / "samples.parquet").read_bytes() == (each[1] / "samples.parquet").read_bytes()
    documents = [json.loads((folder / "result.json").read_text(encoding="utf-8")) for folder in each]
    assert stable(documents[0]) == stable(documents[1])


def test_a_model_in_memory_scores_as_its_folder_does(
    found: auditor.Audit, tiny_models: dict[str, Path], sides: tuple[list[str], list[str]]
) -> None:
    by_path = auditor.audit(
        tiny_models["target"], reference=tiny_models["reference"], members=sides[0], non_members=sides[1]
    )
    assert found.to_arrow().equals(by_path.to_arrow())
    here, there = found.result.provenance.models[0], by_path.result.provenance.models[0]
    assert here.path == "GPT2LMHeadModel in memory (target)"
    assert (here.weights_sha256, here.tokenizer_sha256) == (there.weights_sha256, there.tokenizer_sha256)
    assert (here.n_parameters, here.scoring_path) == (there.n_parameters, there.scoring_path)
    assert to_text(found.result.attacks[0]) == to_text(by_path.result.attacks[0])


def test_an_adapter_in_memory_is_held_against_its_base_as_its_folder_is(
    tiny_models: dict[str, Path], sides: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    model, (_, tokenizer) = adapted(tiny_models["target"]), load(tiny_models["target"])
    model.save_pretrained(tmp_path / "adapter")
    asked: dict[str, Any] = dict(
        members=sides[0], non_members=sides[1], attacks=["reference", "gradient_norm"], train_samples=1000
    )
    here = auditor.audit(model, tokenizer=tokenizer, **asked)
    there = auditor.audit(tiny_models["target"], adapter=str(tmp_path / "adapter"), **asked)
    assert here.to_arrow().equals(there.to_arrow())
    assert here.result.prediction == there.result.prediction
    bases = [audit.result.provenance.models[1] for audit in (here, there)]
    assert bases[0].weights_sha256 == bases[1].weights_sha256
    assert bases[0].scoring_path == bases[1].scoring_path
    assert here.result.provenance.models[0].n_parameters == bases[0].n_parameters


def test_everything_comes_back_as_it_was(tiny_models: dict[str, Path], sides: tuple[list[str], list[str]]) -> None:
    import torch
    import transformers

    model, (_, tokenizer) = adapted(tiny_models["target"]), load(tiny_models["target"])
    tokenizer.padding_side, tokenizer.truncation_side = "left", "left"
    tokenizer.backend_tokenizer.enable_truncation(5)
    trained = next(one for one in model.parameters() if one.requires_grad)
    trained.grad = torch.ones_like(trained)

    def state() -> dict[str, Any]:
        return {
            "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()},
            "asked": [one.requires_grad for one in model.parameters()],
            "gradient": trained.grad.clone() if trained.grad is not None else None,
            "training": [module.training for module in model.modules()],
            "device": str(next(model.parameters()).device),
            "attention": model.config._attn_implementation,
            "tokenizer": (tokenizer.backend_tokenizer.to_str(), tokenizer.padding_side, tokenizer.truncation_side),
            "random": (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().clone()),  # noqa: NPY002
            "verbosity": transformers.utils.logging.get_verbosity(),
            "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        }

    before = state()
    attacks = ["loss", "gradient_norm", "samia", "informia"]
    auditor.audit(model, tokenizer=tokenizer, members=sides[0][:4], non_members=sides[1][:4], attacks=attacks)
    auditor.score(model, sides[0][:3], tokenizer=tokenizer)
    after = state()
    for part in ("weights", "gradient"):
        torch.testing.assert_close(after.pop(part), before.pop(part), rtol=0, atol=0)
    assert torch.equal(before["random"][2], after["random"][2])
    for part in before:
        assert part == "random" or before[part] == after[part], part
    assert before["random"][:2] == after["random"][:2]


def test_a_failed_audit_puts_everything_back_and_leaves_no_scores(
    tiny_models: dict[str, Path], sides: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model, tokenizer = load(tiny_models["target"])
    asked = [one.requires_grad for one in model.parameters()]

    def fails(signals: Any) -> Any:
        raise KeyError(signals.texts[0])

    with pytest.raises(auditor.AuditError, match=r"^attack fails failed with KeyError in line \d+ of test_audits.py$"):
        auditor.audit(model, tokenizer=tokenizer, members=sides[0], attacks=[fails, "gradient_norm"])
    assert asked == [one.requires_grad for one in model.parameters()]
    assert not list(tmp_path.iterdir())


def test_the_scores_are_gone_with_the_audit(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import gc
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = auditor.audit(tiny_models["target"], members=make_texts(4, seed=1), attacks=["loss"])
    assert [file.name[:8] for file in tmp_path.iterdir()] == ["auditor-"]
    del kept
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["tuple", "array", "series", "frame", "rows", "columns", "dataset", "shuffled",
                                  "column", "table", "chunked", "batch"])  # fmt: skip
def test_texts_of_every_kind_are_the_same_texts(kind: str) -> None:
    import datasets
    import pandas as pd

    texts = make_texts(2 * 3, seed=1)
    table = pa.table({"other": range(6), "text": texts, "id": [f"i{i}" for i in range(6)]})
    data = datasets.Dataset(table)
    order = [3, 0, 5, 1, 2, 4]
    given: Any = {
        "tuple": lambda: tuple(texts),
        "array": lambda: np.array(texts),
        "series": lambda: pd.Series(texts),
        "frame": lambda: table.to_pandas(),
        "rows": lambda: table.to_pylist(),
        "columns": lambda: table.to_pydict(),
        "dataset": lambda: data.with_format("numpy"),
        "shuffled": lambda: data.select(order),
        "column": lambda: data["text"],
        "table": lambda: table,
        "chunked": lambda: table["text"],
        "batch": lambda: table.to_batches()[0],
    }[kind]()
    found = load_samples(DataSpec(path="it"), None, held={"it": given})
    ids = [f"member-{i}" for i in range(6)] if kind in ("tuple", "array", "series", "column", "chunked") else (
        [f"i{i}" for i in (order if kind == "shuffled" else range(6))]
    )  # fmt: skip
    assert list(found.ids) == ids
    assert list(found.texts) == ([texts[i] for i in order] if kind == "shuffled" else texts)


def test_a_polars_frame_is_read_by_its_columns() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"text": ["a", "b"], "id": [1, 2]})
    assert list(load_texts(DataSpec(path="x"), {"x": frame})[0].texts) == ["a", "b"]


@pytest.mark.parametrize("n", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_large_data_set_is_never_copied_whole(n: int, tmp_path: Path) -> None:
    import tracemalloc

    import datasets

    n_bytes = 2_000
    file = tmp_path / "large.parquet"
    texts = pa.array([f"{i:09d} " + "x" * (n_bytes - 10) for i in range(1000)])
    with pq.ParquetWriter(file, pa.schema([("text", pa.string())])) as writer:
        for _ in range(n // 1000):
            writer.write_table(pa.table({"text": texts}))
    data = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
    assert len(data) == n
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        read = load_samples(DataSpec(path="it"), None, held={"it": data})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(read) == n
    assert peak < n * n_bytes / 2  # ids and hashes, and a thousand texts at a time
    assert pa.total_allocated_bytes() - before < 10_000_000


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unequal kinds": (lambda a: a | {"members": ["a text", 3]}, r"unequal kinds \(row 0 is str, row 1 int\)"),
    "a list of numbers": (lambda a: a | {"members": [1, 2]}, "a list of int; give strings"),
    "a text that is none": (lambda a: a | {"members": ["", "b"]}, "a text is empty: member-0"),
    "no text": (lambda a: a | {"members": []}, "holds no texts"),
    "no kind of texts": (lambda a: a | {"members": 3}, "members in memory .*: texts are a list of strings"),
    "a generator": (lambda a: a | {"members": iter(["a"])}, "streams, and an audit reads its texts more than once"),
    "columns of two lengths": (lambda a: a | {"members": {"text": ["a"], "id": ["b", "c"]}}, "not of one length"),
    "a frame without the column": (lambda a: a | {"members": pa.table({"t": ["a"]})}, "no column 'text'.*--text-field"),
    "one text on both sides": (lambda a: a | {"non_members": a["members"]}, "exact text of a member"),
    "no members": (lambda a: a | {"members": None}, "no members given"),
    "no target": (lambda a: a | {"target": None}, "no target given"),
    "no tokenizer": (lambda a: a | {"tokenizer": None}, "target: a model in memory comes without a tokenizer"),
    "a tokenizer for a path": (lambda a: a | {"target": "models/x"}, "goes with a model in memory"),
    "another device": (lambda a: a | {"device": "cuda"}, "on cpu, and device says cuda; move it"),
    "another precision": (lambda a: a | {"dtype": "bfloat16"}, "in float32, and dtype says bfloat16"),
    "a device map": (lambda a: a | {"device_map": "auto"}, "device-map auto places models anew"),
    "no model": (lambda a: a | {"target": object()}, "object is neither a path"),
    "an unknown key": (lambda a: a | {"max_token": 3}, "did you mean 'max_tokens'"),
    "a value of another kind": (lambda a: a | {"seed": "x"}, "key 'seed' takes an integer"),
    "an unknown attack": (lambda a: a | {"attacks": ["lss"]}, "did you mean 'loss'"),
    "an attack that is no list": (lambda a: a | {"attacks": "loss"}, "attacks is a list"),
    "an attack that is none": (lambda a: a | {"attacks": [3]}, "int is no attack"),
    "an attack without a name": (lambda a: a | {"attacks": [lambda signals: 0]}, "must be a named function"),
}


@pytest.fixture(scope="module")
def loaded(tiny_models: dict[str, Path]) -> tuple[Any, Any]:
    return load(tiny_models["target"])


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_told_in_one_line(what: str, loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    change, said = BAD[what]
    with pytest.raises(auditor.AuditError, match=said) as error:
        auditor.audit(**change({"target": model, "members": make_texts(4, seed=1), "tokenizer": tokenizer}))
    assert "\n" not in str(error.value)


def test_a_model_in_training_mode_is_refused_and_stays_in_it(tiny_models: dict[str, Path]) -> None:
    model, tokenizer = load(tiny_models["target"])
    model.transformer.h[1].train()
    with pytest.raises(auditor.ConfigError, match=r"reference: the model is in training mode.*model\.eval\(\)"):
        auditor.audit(tiny_models["target"], reference=model, reference_tokenizer=tokenizer, members=["a text"])
    assert model.transformer.h[1].training


def test_streams_and_several_splits_are_refused() -> None:
    import datasets

    from auditor.data.held_texts import held_rows
    from auditor.data.rows import Columns

    data = datasets.Dataset.from_dict({"text": ["a"]})
    for given, said in (
        (data.to_iterable_dataset(), "IterableDataset streams"),
        (datasets.DatasetDict({"train": data}), "several splits .'train'.; give one"),
    ):
        with pytest.raises(auditor.DataError, match=said):
            list(held_rows(given, Columns("text"), "members"))


def test_a_model_that_is_no_causal_language_model_is_refused() -> None:
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)).eval()
    with pytest.raises(auditor.ModelError, match="BertModel has no head of a causal language model"):
        auditor.audit(model, members=["a"], tokenizer=object())


def test_it_shows_itself(found: auditor.Audit) -> None:
    assert repr(found).startswith("<Audit of GPT2LMHeadModel in memory (target): 60 texts, ")
    assert len(repr(found)) < 200
    frame = found._repr_html_()
    assert frame.startswith("<iframe sandbox")
    assert "verdict-grid" in frame
    assert "<h1>" not in frame  # escaped: it is a document of its own, in which no script runs
    assert len(frame) < 100_000


def test_saved_and_read_again_it_is_the_same(found: auditor.Audit, tmp_path: Path) -> None:
    assert found.save(tmp_path / "a") == tmp_path / "a"
    again = auditor.read_audit(tmp_path / "a")
    assert again.to_arrow().equals(found.to_arrow())
    assert again.to_pandas().equals(found.to_pandas())
    assert again.result.attacks == found.result.attacks
    assert (tmp_path / "a" / "scores" / "README.txt").is_file()
    assert again.folder == tmp_path / "a"
    assert again.save(tmp_path / "b") == tmp_path / "b"
    assert (tmp_path / "b" / "result.json").read_bytes() == (tmp_path / "a" / "result.json").read_bytes()
    with pytest.raises(auditor.ResultError, match="scores of single tokens are not read"):
        again.plot_tokens("member-0")
    with pytest.raises(auditor.ResultError, match="does not exist"):
        auditor.read_audit(tmp_path / "nothing")


def test_another_audit_is_not_written_over(found: auditor.Audit, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    found.save(tmp_path)
    found.save(tmp_path)  # the same one again
    other = auditor.audit(tiny_models["target"], members=make_texts(3, seed=9), attacks=["loss"])
    with pytest.raises(auditor.ConfigError, match="holds another audit"):
        other.save(tmp_path)
    with pytest.raises(auditor.ConfigError, match="holds an audit of other members"):
        auditor.audit(tiny_models["target"], members=make_texts(3, seed=9), attacks=["loss"], out=tmp_path)
    other.save(tmp_path, overwrite=True)
    assert len(auditor.read_audit(tmp_path).samples.sample_id) == 3


def test_gates_and_comparisons_are_those_of_the_commands(
    found: auditor.Audit, tiny_models: dict[str, Path], sides: tuple[list[str], list[str]], tmp_path: Path,
    run: Callable[..., Ran],
) -> None:  # fmt: skip
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'version = 1\n[[gate]]\nname = "loss"\nmetric = "attacks.loss.auc"\nmax = 0.9\n', encoding="utf-8"
    )
    other = auditor.audit(
        tiny_models["reference"], reference=tiny_models["target"], members=sides[0], non_members=sides[1]
    )
    folders = [audit.save(tmp_path / name) for audit, name in ((found, "a"), (other, "b"))]
    told = json.loads(run("gate", folders[0], "--policy", policy, "--json").out)
    verdict = found.gate(policy)
    assert told["passed"] == verdict.passed
    assert told["gates"] == json.loads(to_text(verdict))["gates"]
    assert found.gate().exit_code in (0, 1)
    change = json.loads(to_text(found.compare(other)))
    stated = run("compare", *folders, "--json").document
    assert change["changes"] == stated["changes"]
    assert change["differences"] == stated["differences"]
    with pytest.raises(auditor.ConfigError, match="confidence must be in"):
        found.compare(other, confidence=95)


def test_figures_are_axes(found: auditor.Audit) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    try:
        roc = found.plot_roc()
        assert roc.get_xscale() == roc.get_yscale() == "log"
        assert len(roc.lines) == len(found.result.attacks) + 1
        linear = found.plot_roc(log=False)
        curve = next(one for one in found.result.attacks if one.attack == "loss").roc
        assert curve is not None
        drawn = next(line for line in linear.lines if str(line.get_label()).startswith("loss "))
        np.testing.assert_array_equal(drawn.get_ydata(), curve.tpr)
        bits = found.plot_bits()
        assert [text.get_text() for text in bits.get_legend().get_texts()] == ["30 members", "30 non-members"]
        forest = found.plot_attacks()
        assert len(forest.get_yticklabels()) == len(found.result.attacks)
        place = pyplot.figure().add_subplot()
        tokens = found.plot_tokens("member-3", axes=place)
        assert tokens is place
        heights = [bar.get_height() for bar in tokens.patches]
        assert len(heights) == found.samples.n_tokens[3]
        assert found.samples.signed_bits is not None
        assert sum(heights) == pytest.approx(found.samples.signed_bits[3], abs=1e-3)
        assert not any(label.get_text().strip().isalpha() for label in tokens.get_xticklabels())  # no text unasked
        named = found.plot_tokens("member-3", show_text=True)
        assert len(named.get_xticklabels()) == len(heights)
        roc.figure.canvas.draw()
    finally:
        pyplot.close("all")
    with pytest.raises(auditor.ResultError, match="no sample 'x'"):
        found.plot_tokens("x")


def test_without_non_members_there_is_no_curve(tiny_models: dict[str, Path]) -> None:
    alone = auditor.audit(tiny_models["target"], members=make_texts(4, seed=1), attacks=["loss"])
    for draw in (alone.plot_roc, alone.plot_attacks):
        with pytest.raises(auditor.ResultError, match="no "):
            draw()


def test_progress_is_told_to_a_function(tiny_models: dict[str, Path]) -> None:
    told: list[Any] = []
    auditor.audit(tiny_models["target"], members=make_texts(4, seed=1), attacks=["loss"], progress=told.append)
    assert told[-1].done_tokens == told[-1].total_tokens > 0


def test_progress_is_shown_in_a_notebook_and_not_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    import rich.console

    from auditor.api.surroundings import shown
    from auditor.engine.scoring import ScoringProgress

    lines: list[str] = []

    class Handle:
        def update(self, bundle: dict[str, str], *, raw: bool) -> None:
            lines.append(bundle["text/plain"])

    cell = ModuleType("IPython.display")
    cell.display = lambda bundle, *, raw, display_id: Handle()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", cell)
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    with shown(True) as watch:
        assert watch is not None
        watch(ScoringProgress("scoring the target", 2, 2))
    assert lines == ["scoring the target: 100% of 2 tokens", ""]
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: False)
    for progress in (True, False):
        with shown(progress) as watch:
            assert watch is None


def test_the_command_of_an_audit_in_memory_is_not_told(found: auditor.Audit) -> None:
    from reports.figure_rows import command

    assert command(found.result.config) is None


def test_verify_says_what_is_not_here(found: auditor.Audit, tmp_path: Path, run: Callable[..., Ran]) -> None:
    ran = run("verify", found.save(tmp_path), "--json")
    assert ran.code == 0, ran.err
    claims = {claim["name"]: claim["status"] for claim in ran.document["claims"]}
    assert "differs" not in claims.values()
    assert claims["texts"] == "not_checked"

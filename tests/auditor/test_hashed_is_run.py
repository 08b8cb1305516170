"""What is hashed is what is run: the files that transformers loads, and no others; scores of other files never."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from auditor.config import AuditConfig, ModelSpec
from auditor.engine.loading.models import load_weights, open_model
from auditor.engine.loading.recorded import write_record
from auditor.engine.loading.weights import StoredWeights, weight_files
from auditor.engine.request import ScoringRequest
from auditor.engine.signals import Collected, collect_signals
from auditor.errors import ModelError
from helpers import Run, make_texts, save_gpt2

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),  # peft asks for it
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]

TEXTS = [*make_texts(4, seed=3), "one <|endoftext|> two"]
INDEX = "model.safetensors.index.json"


def change_tensors(file: Path) -> None:
    """Change every tensor of a file, and nothing else."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator) for name, tensor in load_file(file).items()
    }
    save_file(tensors, file, metadata={"format": "pt"})


def change_json(file: Path, **entries: Any) -> None:
    """Set entries of a JSON object; None removes one."""
    document = json.loads(file.read_text()) | entries
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def change_merges(file: Path) -> None:
    """Take half of its merges from a tokenizer, so that it reads texts as more tokens."""
    document = json.loads(file.read_text())
    document["model"]["merges"] = document["model"]["merges"][: len(document["model"]["merges"]) // 2]
    file.write_text(json.dumps(document))


def repoint(index: Path) -> None:
    """Put changed copies of all but the first shard beside them, and name these in the index."""
    document = json.loads(index.read_text())
    shards = sorted(set(document["weight_map"].values()))
    for shard in shards[1:]:
        shutil.copy(index.parent / shard, index.parent / f"other-{shard}")
        change_tensors(index.parent / f"other-{shard}")
    for name, shard in document["weight_map"].items():
        document["weight_map"][name] = shard if shard == shards[0] else f"other-{shard}"
    index.write_text(json.dumps(document))


def single(folder: Path) -> Path:
    return save_gpt2(folder, seed=0)


def sharded(folder: Path) -> Path:
    """Save the same model in several files."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(save_gpt2(folder, seed=0))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="15KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


def named(folder: Path) -> Path:
    """Save a model whose configuration names its weights, beside weights of another model under the usual name."""
    save_gpt2(folder, seed=0)
    (folder / "model.safetensors").rename(folder / "own.safetensors")
    shutil.copy(save_gpt2(folder.with_name("decoy"), seed=1) / "model.safetensors", folder)
    change_json(folder / "config.json", transformers_weights="own.safetensors")
    return folder


def named_index(folder: Path) -> Path:
    """Save a model whose configuration names an index."""
    sharded(folder)
    (folder / INDEX).rename(folder / "own.safetensors.index.json")
    change_json(folder / "config.json", transformers_weights="own.safetensors.index.json")
    return folder


def adapted(folder: Path) -> Path:
    """Save an adapter, in a folder of its own, that names its base."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    base = save_gpt2(folder.with_name("base"), seed=0)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.save_pretrained(folder)
    change_tensors(folder / "adapter_model.safetensors")
    return folder


def second_shard(folder: Path) -> Path:
    return sorted(folder.glob("model-*.safetensors"))[1]


Edit = Callable[[Path], None]
CHANGES: dict[str, tuple[Callable[[Path], Path], Edit]] = {
    "weights": (single, lambda m: change_tensors(m / "model.safetensors")),
    "second shard": (sharded, lambda m: change_tensors(second_shard(m))),
    "index": (sharded, lambda m: repoint(m / INDEX)),
    "weights beside the index": (sharded, lambda m: copy_changed(m)),
    "named weights": (named, lambda m: change_tensors(m / "own.safetensors")),
    "name of the weights": (named, lambda m: change_json(m / "config.json", transformers_weights=None)),
    "shard of a named index": (named_index, lambda m: change_tensors(second_shard(m))),
    "config.json": (single, lambda m: change_json(m / "config.json", activation_function="relu")),
    "tokenizer.json": (single, lambda m: change_merges(m / "tokenizer.json")),
    "tokenizer_config.json": (single, lambda m: change_json(m / "tokenizer_config.json", split_special_tokens=True)),
    "adapter weights": (adapted, lambda m: change_tensors(m / "adapter_model.safetensors")),
    "adapter_config.json": (adapted, lambda m: change_json(m / "adapter_config.json", lora_alpha=3)),
    "base of the adapter": (adapted, lambda m: change_tensors(m.with_name("base") / "model.safetensors")),
}


def copy_changed(folder: Path) -> None:
    """Put whole weights beside an index: transformers takes these."""
    decoy = save_gpt2(folder.with_name("decoy"), seed=1)
    shutil.copy(decoy / "model.safetensors", folder)


def score(model: Path, scores: Path) -> Collected:
    config = AuditConfig.from_options({"target": str(model), "members": "unread.txt", "device": "cpu"})
    names = [f"s{i}" for i in range(len(TEXTS))]
    return collect_signals(config, ScoringRequest(sample_ids=names, texts=TEXTS), scores_folder=scores)


@pytest.mark.parametrize("change", CHANGES)
def test_scores_of_other_files_are_never_used(change: str, tmp_path: Path) -> None:
    make, edit = CHANGES[change]
    model = make(tmp_path / "model")
    before = score(model, tmp_path / "store")
    assert score(model, tmp_path / "store").n_tokens_scored == 0  # nothing changed: all are used again
    edit(model)
    after, fresh = score(model, tmp_path / "store"), score(model, tmp_path / "fresh")
    one, other, afresh = (found.signals.target for found in (before, after, fresh))
    assert np.array_equal(other.logprob, afresh.logprob)
    assert len(one.logprob) != len(other.logprob) or not np.allclose(one.logprob, other.logprob)
    assert after.n_tokens_scored >= len(other.logprob)  # of an adapter's base, which it is compared with, may be used


@pytest.mark.parametrize("make", [single, sharded, named, named_index])
def test_the_files_are_those_that_transformers_finds(make: Callable[[Path], Path], tmp_path: Path) -> None:
    from transformers import AutoConfig, modeling_utils

    folder = make(tmp_path / "model")
    config = AutoConfig.from_pretrained(folder)
    stated = getattr(config, "transformers_weights", None)
    theirs, _ = modeling_utils._get_resolved_checkpoint_files(
        folder,
        None,
        None,
        True,
        None,
        False,
        transformers_explicit_filename=stated,
    )
    assert [str(file) for file in weight_files(ModelSpec(path=str(folder)), folder)] == theirs


def index_of(name: object) -> Edit:
    return lambda m: (m / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}})) and None


def stated(name: object) -> Edit:
    return lambda m: change_json(m / "config.json", transformers_weights=name)


PICKLED = "pickled, which can run code when loaded; convert them to safetensors"
PLAIN = "must be the plain name of a safetensors file beside config.json"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (stated("../outside.safetensors"), PLAIN),
        (stated("/etc/outside.safetensors"), PLAIN),
        (stated("sub/model.safetensors"), PLAIN),
        (stated("sub\\model.safetensors"), PLAIN),
        (stated("./model.safetensors"), PLAIN),
        (stated(7), PLAIN),
        (stated(""), PICKLED),
        (stated(".."), PICKLED),
        (stated("adapter_model.bin"), PICKLED),
        (stated("model.pt"), PICKLED),
        (stated("absent.safetensors"), "missing weight files: 'absent.safetensors'"),
        (lambda m: change_json(m / "config.json", text_config={"transformers_weights": "o"}), "of which part"),
        (index_of("../outside.safetensors"), PLAIN),
        (index_of("sub/model.safetensors"), PLAIN),
        (index_of("/outside.safetensors"), PLAIN),
        (index_of(["model.safetensors"]), "is not an index"),
        (index_of("pytorch_model.bin"), PICKLED),
        (index_of("absent.safetensors"), "missing weight files: 'absent.safetensors'"),
        (lambda m: (m / INDEX).write_text("[" * 100_000) and None, "is not an index"),
        (lambda m: (m / "pytorch_model.bin").touch(), f"only {PICKLED[:7]}"),
        (
            lambda m: change_json(m / "config.json", attn_implementation="someone/kernel"),
            "code that is not in the folder",
        ),
    ],
)
def test_weights_from_elsewhere_and_pickles_are_refused(edit: Edit, words: str, tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path / "model", seed=0)
    for outside in (tmp_path, folder / "sub"):
        outside.mkdir(exist_ok=True)
        shutil.copy(folder / "model.safetensors", outside / "outside.safetensors")
        shutil.copy(folder / "model.safetensors", outside / "model.safetensors")
    for name in ("adapter_model.bin", "model.pt", "outside.safetensors"):
        shutil.copy(folder / "model.safetensors", folder / name)
    (folder / "model.safetensors").unlink()
    edit(folder)
    with pytest.raises(ModelError, match=words) as refused:
        open_model(ModelSpec(path=str(folder)))
    assert "\n" not in str(refused.value)


def test_code_of_another_repository_is_refused_with_trust_and_not_run_without(tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path / "model", seed=0)
    change_json(folder / "config.json", auto_map={"AutoModelForCausalLM": "someone/model--modeling.Model"})
    assert open_model(ModelSpec(path=str(folder))).architecture == "GPT2LMHeadModel"
    with pytest.raises(ModelError, match=r"config.json names code that is not in the folder \('someone/model--"):
        open_model(ModelSpec(path=str(folder)), trust_remote_code=True)


def test_both_of_two_tensors_of_one_name_count(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    first, second = sorted(folder.glob("model-*.safetensors"))[:2]
    name = min(load_file(second))
    save_file(load_file(first) | {name: load_file(second)[name] + 1}, first, metadata={"format": "pt"})
    hashes = [open_model(ModelSpec(path=str(folder))).weights_sha256]
    save_file(load_file(first) | {name: load_file(second)[name] + 2}, first, metadata={"format": "pt"})
    hashes.append(open_model(ModelSpec(path=str(folder))).weights_sha256)
    assert len(set(hashes)) == 2


def test_a_pickled_adapter_says_so(tmp_path: Path) -> None:
    folder = adapted(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"no adapter_model.safetensors in this folder: its weights are pickled"):
        open_model(ModelSpec.parse(str(folder)))


@pytest.mark.parametrize("entry", ["adapters", "shadow_model"])
def test_an_adapter_of_further_models_is_refused_before_they_are_loaded(entry: str, tmp_path: Path) -> None:
    folder = adapted(tmp_path / "adapter")
    kinds = {
        "adapters": {"peft_type": "XLORA", "adapters": {"0": "someone/adapter"}, "hidden_size": 16},
        "shadow_model": {"peft_type": "SHADOW", "shadow_model": "someone/model"},
    }
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(tmp_path / "base"), **kinds[entry]})
    )
    files = open_model(ModelSpec.parse(str(folder)))
    with pytest.raises(ModelError, match=rf"loads further models \({entry}\), which no hash covers"):
        load_weights(files, dtype="float32", device="cpu")


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """Serve a hub that has nothing and writes down what it is asked."""
    asked: list[str] = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


OPEN_AND_LOAD = """
import sys
from auditor.config import ModelSpec
from auditor.engine.loading.models import load_weights, open_model
for path, adapter in zip(sys.argv[1::2], sys.argv[2::2]):
    load_weights(open_model(ModelSpec(path=path, adapter=adapter or None)), dtype="float32", device="cpu")
"""


@pytest.mark.slow
def test_nobody_is_asked_for_what_is_here(
    hub: tuple[str, list[str]], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    """Neither to load a model, or an adapter whose base the hub would have, nor to verify what became of a model."""
    address, asked = hub
    environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}

    def call(*command: object) -> str:
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=120)
        return f"{done.returncode} {done.stdout}{done.stderr}"

    model = single(tmp_path / "model")
    adapter = adapted(tmp_path / "adapter")
    change_json(adapter / "adapter_config.json", base_model_name_or_path="someone/base")
    told = call(sys.executable, "-c", OPEN_AND_LOAD, model, "", tmp_path / "base", adapter)
    assert told.startswith("0 "), told
    auditor = (sys.executable, "-c", "from auditor.cli import main; main()")
    told = call(*auditor, "audit", "--target", model, "--members", tiny_data["members"], "--out", tmp_path / "audit")
    assert told.startswith("0 "), told
    shutil.rmtree(model)
    shutil.copytree(adapter, model)
    told = call(*auditor, "verify", tmp_path / "audit")
    assert "nothing is fetched" in " ".join(told.split()), told
    assert asked == []
    assert call(*auditor, "audit", "--target", "someone/model", "--members", tiny_data["members"]).startswith("2 ")
    assert asked  # the hub sees what it is asked for


def test_a_record_is_not_taken_for_the_weights(tiny_data: dict[str, Path], tmp_path: Path, run: Run) -> None:
    model = single(tmp_path / "model")
    ran = run("audit", "--target", model, "--members", tiny_data["members"], "--out", tmp_path / "audit")
    assert ran.code == 0, ran
    files = open_model(ModelSpec(path=str(model)))
    (model / "model.safetensors").unlink()
    write_record(model, StoredWeights(files.weights_sha256, files.stored_dtype), window=None)
    claims = run("verify", tmp_path / "audit", "--json").document["claims"]
    (claim,) = [claim for claim in claims if claim["name"].startswith("target")]
    assert (claim["status"], claim["detail"]) == (
        "not_checked",
        "only a record of what its weights hash to is here, not the weights",
    )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("how", ["written", "replaced", "gone"])
def test_a_file_that_is_replaced_between_hashing_and_loading_is_named(tmp_path: Path, name: str, how: str) -> None:
    from auditor.engine.loading.weights import file_states, refuse_replaced

    for file in ("model.safetensors", "config.json", "adapter_model.safetensors"):
        (tmp_path / file).write_bytes(b"a" * 100)
    spec, states = ModelSpec(path=str(tmp_path)), file_states(tmp_path.iterdir())
    refuse_replaced(spec, states)
    file, times = tmp_path / name, (tmp_path / name).stat()
    if how == "written":
        file.write_bytes(b"b" * 100)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    elif how == "replaced":
        (tmp_path / "new").write_bytes(b"b" * 100)
        os.utime(tmp_path / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
        (tmp_path / "new").replace(file)
    else:
        file.unlink()
    with pytest.raises(ModelError, match=f": {name} was replaced or changed after it was hashed"):
        refuse_replaced(spec, states)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_no_weights_of_a_replaced_file_are_scored(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  tiny_data: dict[str, Path], name: str) -> None:  # fmt: skip
    import auditor.engine.loading.models as loading

    model, other = save_gpt2(tmp_path / "model", seed=1), save_gpt2(tmp_path / "other", seed=2)
    load = loading._load

    def replaced(*arguments: Any) -> Any:
        shutil.copy(other / name, model / "new")
        (model / "new").replace(model / name)
        return load(*arguments)

    monkeypatch.setattr(loading, "_load", replaced)
    ran = run("audit", "--target", model, "--members", tiny_data["members"], "--out", tmp_path / "out")
    assert (ran.code, f"{name} was replaced or changed" in ran.err) == (2, True), ran.err
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_weights_of_the_target_are_hashed_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   tiny_data: dict[str, Path]) -> None:  # fmt: skip
    """Also where an earlier audit is to be replaced, which may be of another model."""
    import auditor.engine.loading.models as loading

    hashed: list[str] = []
    read = loading.read_tensors

    def counted(spec: ModelSpec, files: Any) -> StoredWeights:
        hashed.append(spec.path)
        return read(spec, files)

    monkeypatch.setattr(loading, "read_tensors", counted)
    model = save_gpt2(tmp_path / "model", seed=1)
    command = ("audit", "--target", model, "--members", tiny_data["members"], "--out", tmp_path / "out")
    for _ in range(2):
        hashed.clear()
        assert run(*command).code == 0
        assert hashed == [str(model)]

"""A test of tokenizers as evidence: whose files read the texts, what tokenizer.json says, and none that is made up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from auditor.config import AuditConfig, ModelSpec
from auditor.engine.loading.models import open_model
from auditor.engine.loading.tokenizer_files import OwnFile, load_tokenizer, stated_class
from auditor.engine.models import open_models
from auditor.errors import ConfigError, ModelError
from helpers import Ran, build_tokenizer, make_texts, naive_logprobs, save_gpt2, write_jsonl

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks for it

TEXTS = [*make_texts(40, seed=5), *(f"no figures here {word}" for word in ("at all", "once", "twice"))]
SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def save_qwen2(folder: Path) -> Path:
    """Save a Qwen2 whose tokenizer.json joins digits, which transformers' own class for this type would split."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = build_tokenizer(400)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), **SHAPE)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    return folder


def save_llama(folder: Path, tokenizer: Any, n_vocabulary: int) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(vocab_size=n_vocabulary, **SHAPE)).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def with_marks(folder: Path) -> Any:
    """Read the tokenizer of a folder, with two marks of a chat more."""
    tokenizer = load_tokenizer(ModelSpec(path=str(folder)))
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|user|>", "<|bot|>"]})
    return tokenizer


def save_adapter(folder: Path, base: Path, *, n_rows: int | None = None, **lora: Any) -> Path:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    if n_rows is not None:
        model.resize_token_embeddings(n_rows, mean_resizing=False)
    config = peft.LoraConfig(**{"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"} | lora)
    peft.get_peft_model(model, config).save_pretrained(folder)
    return folder


@pytest.fixture
def sides(tmp_path: Path) -> list[object]:
    """Options that name the texts of both sides."""
    members = write_jsonl(tmp_path / "m.jsonl", TEXTS[:23], prefix="m")
    return ["--members", members, "--non-members", write_jsonl(tmp_path / "n.jsonl", TEXTS[23:], prefix="n")]


def check_of(result: Any) -> Any:
    (found,) = [check for check in result["soundness"]["checks"] if check["name"] == "tokenizer_file"]
    return found


def test_a_tokenizer_that_is_read_otherwise_than_its_file_says(
    run: Callable[..., Ran], sides: list[object], tmp_path: Path
) -> None:
    model, out = save_qwen2(tmp_path / "model"), tmp_path / "out"
    own, loaded = Tokenizer.from_file(str(model / "tokenizer.json")), open_model(ModelSpec(path=str(model))).tokenizer
    by_file = [own.encode(text, add_special_tokens=False).ids for text in TEXTS]
    by_class = [loaded(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    n = sum(a != b for a, b in zip(by_file, by_class, strict=True))
    assert 30 < n < len(TEXTS)  # all but those without figures, or nearly

    def audit(*more: object) -> Any:
        ran = run("audit", "--target", model, *sides, "--attack", "loss", "--out", out, "--json", *more)
        assert ran.code == 0, ran.err
        result = json.loads(ran.out)
        counts = pq.read_table(out / "samples.parquet").column("n_tokens").to_pylist()
        return check_of(result), result["provenance"]["models"][0], counts

    check, target, counts = audit()
    assert (check["verdict"], check["figure"]) == ("veto", n)
    assert f"Qwen2Tokenizer reads {n} of {len(TEXTS)} texts otherwise than tokenizer.json" in check["detail"]
    assert "PreTrainedTokenizerFast" in check["detail"]
    assert (target["n_read_otherwise"], target["tokenizer_class"]) == (n, "Qwen2Tokenizer")
    assert (target["tokenizer_of"], target["tokenizer_file_class"]) == ("model", "PreTrainedTokenizerFast")
    assert counts == [len(ids) for ids in by_class]

    check, target, counts = audit("--tokenizer", model / "tokenizer.json")  # the file, as it is
    assert (check["verdict"], check["figure"], target["n_read_otherwise"]) == ("pass", 0, 0)
    assert (target["tokenizer"], target["tokenizer_of"]) == (str(model / "tokenizer.json"), "option")
    assert counts == [len(ids) for ids in by_file]

    check, target, counts = audit("--tokenizer", model)  # the class, and someone answers for it
    assert (check["verdict"], check["figure"]) == ("warn", n)
    assert counts == [len(ids) for ids in by_class]
    assert len(list((out / "scores").glob("*/pass.json"))) == 2  # one a reading


def test_the_retrained_models_tokenizer_is_held_against_its_file_too(
    run: Callable[..., Ran], sides: list[object], tmp_path: Path
) -> None:
    target = save_gpt2(tmp_path / "target", seed=1, tokenizer=build_tokenizer(400))
    retrained = save_qwen2(tmp_path / "retrained")

    def audit(*more: object) -> Any:
        ran = run("audit", "--target", target, "--retrained", retrained, *sides, "--attack", "loss",
                  "--out", tmp_path / "out", "--json", *more)  # fmt: skip
        return check_of(ran.document)

    found = audit()
    assert (found["verdict"], found["figure"] > 30) == ("veto", True)
    assert "target: " in found["detail"]
    assert f"retrained model: Qwen2Tokenizer reads {found['figure']:.0f} of {len(TEXTS)} texts" in found["detail"]
    found = audit("--tokenizer", retrained / "tokenizer.json")  # that of target and retrained model
    assert (found["verdict"], found["figure"]) == ("pass", 0)
    assert found["detail"].startswith("target, retrained model: ")


def test_the_file_is_read_whole(tmp_path: Path) -> None:
    """Truncation and padding that a tokenizer.json carries say nothing of how texts are read."""
    backend = build_tokenizer().backend_tokenizer
    whole = [backend.encode(text, add_special_tokens=False).ids for text in TEXTS]
    backend.enable_truncation(3)
    backend.enable_padding(length=9)
    backend.save(str(tmp_path / "tokenizer.json"))
    own = OwnFile.find(tmp_path)
    assert own is not None
    assert own.read(TEXTS) == whole
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer.json: not a file of the library tokenizers"):
        OwnFile.find(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert OwnFile.find(tmp_path) is None


@pytest.mark.parametrize("stated", ['{"tokenizer_class": "<b>"}', '{"tokenizer_class": 3}', "[]", "{"])
def test_only_a_name_of_a_class_is_repeated(stated: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(stated)
    assert stated_class(tmp_path) is None


def test_an_adapter_is_read_with_its_own_tokenizer_and_its_base_with_the_bases(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    base = save_llama(tmp_path / "base", build_tokenizer(), 340)  # with spare rows
    adapter = save_adapter(tmp_path / "adapter", base)
    plain = open_model(ModelSpec.parse(str(adapter)))
    assert plain.tokenizer_source == base  # an adapter without a tokenizer
    with_marks(base).save_pretrained(adapter)
    texts = [f"<|user|>{text}<|bot|>" for text in TEXTS]
    target, reference = open_models(
        AuditConfig.from_options({"target": str(adapter), "members": "m.jsonl", "device": "cpu"})
    )
    assert (target.files.tokenizer_source, reference.files.tokenizer_source) == (adapter, base)
    assert target.encoder.encode(texts)[0][0] == 320  # the first mark, one token
    assert len(reference.encoder.encode(texts)[0]) > len(target.encoder.encode(texts)[0])
    assert reference.is_base_of(target)
    assert target.key.weights_sha256 == plain.weights_sha256  # only what reads it differs

    write_jsonl(tmp_path / "m.jsonl", texts[:22], prefix="m")
    write_jsonl(tmp_path / "n.jsonl", texts[22:], prefix="n")
    ran = run("audit", "--target", adapter, "--members", tmp_path / "m.jsonl", "--non-members", tmp_path / "n.jsonl",
              "--attack", "loss", "--out", tmp_path / "out", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    ours, theirs = result["provenance"]["models"]
    assert (ours["tokenizer_of"], theirs["tokenizer_of"]) == ("adapter", "model")
    assert "adapter off" in theirs["scoring_path"]
    verdicts = {check["name"]: check["verdict"] for check in result["soundness"]["checks"]}
    assert (verdicts["tokenizer"], verdicts["tokenizer_file"]) == ("warn", "pass")

    from transformers import AutoModelForCausalLM

    ids = Tokenizer.from_file(str(base / "tokenizer.json")).encode(texts[0], add_special_tokens=False).ids
    nats = -sum(naive_logprobs(AutoModelForCausalLM.from_pretrained(base).eval(), [0, *ids], 1))
    found = pq.read_table(tmp_path / "out" / "samples.parquet").column("reference_bits")[0].as_py()
    assert found == pytest.approx(nats / 0.6931471805599453, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers.")
@pytest.mark.parametrize(
    "lora",
    [
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},  # lora_embedding_A
        {"target_modules": ["q_proj", "lm_head"]},  # lora_B
        {},  # peft adds the tables by itself
    ],
)
def test_an_adapter_with_resized_embeddings_says_so(lora: dict[str, Any], tmp_path: Path) -> None:
    base = save_llama(tmp_path / "base", build_tokenizer(), 320)
    adapter = save_adapter(tmp_path / "adapter", base, n_rows=322, **lora)
    with pytest.raises(
        ModelError, match=r"resized to 322 rows, and .*base has 320: merge it .*or give the resized base"
    ):
        open_model(ModelSpec.parse(str(adapter)))
    same = save_adapter(tmp_path / "same", base, **lora)
    assert open_model(ModelSpec.parse(str(same))).spec.adapter == str(same)


def test_a_folder_without_a_tokenizer_is_refused(run: Callable[..., Ran], sides: list[object], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config

    common = {"vocab_size": 320, "bos_token_id": 0, "eos_token_id": 0}
    gemma = Gemma2Config(head_dim=8, pad_token_id=0, **SHAPE | common)
    for name, config in (("gemma2", gemma), ("gpt2", GPT2Config(n_embd=16, n_layer=1, n_head=2, **common))):
        folder = tmp_path / name
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        ran = run("audit", "--target", folder, *sides, "--out", tmp_path / "out")
        assert ran.code == 2
        assert ran.err.count("\n") == 1
        assert f"Error: {folder}: this folder has no tokenizer" in ran.err
        assert "Tokenizer of " in ran.err
        assert "--tokenizer M" in ran.err
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')  # settings, no vocabulary
    with pytest.raises(ModelError, match="this folder has no tokenizer"):
        open_model(ModelSpec(path=str(folder)))
    named = build_tokenizer()
    named.save_pretrained(tmp_path / "named")
    ran = run("audit", "--target", folder, "--tokenizer", tmp_path / "named", *sides, "--attack", "loss", "--out",
              tmp_path / "out", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["provenance"]["models"][0]["tokenizer"] == str(tmp_path / "named")
    assert found["config"]["target"]["tokenizer"] == str(tmp_path / "named")
    assert check_of(found)["verdict"] == "pass"
    ran = run("verify", tmp_path / "out", "--json")
    assert "another tokenizer" not in ran.out
    named.save_pretrained(folder)  # now the folder has one, of its own
    assert open_model(ModelSpec(path=str(folder))).tokenizer_source == folder


def word_tokenizer(*words: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<unk>")


def test_a_made_up_tokenizer_is_refused(run: Callable[..., Ran], sides: list[object], tmp_path: Path) -> None:
    handful = save_llama(tmp_path / "handful", word_tokenizer("the", "of"), 320)
    with pytest.raises(ModelError, match=r"handful: the tokenizer there \(\w+\) has 3 entries, and the model's .* 320"):
        open_model(ModelSpec(path=str(handful)))
    assert open_model(ModelSpec(path=str(save_llama(tmp_path / "few", word_tokenizer("a", "c"), 8)))).n_vocabulary == 8

    unknown = save_llama(tmp_path / "unknown", word_tokenizer("the", *(f"w{i}" for i in range(50))), 320)
    ran = run("audit", "--target", unknown, *sides, "--out", tmp_path / "out")
    assert ran.code == 2
    assert f"{unknown}: the tokenizer there (TokenizersBackend) is not one for these texts" in ran.err
    assert "tokens are unknown to it" in ran.err


def test_tokenizers_of_bytes_need_no_vocabulary(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    ByT5Tokenizer().save_pretrained(tmp_path)
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    assert load_tokenizer(ModelSpec(path=str(tmp_path)))("a", add_special_tokens=False)["input_ids"] == [100]


def test_named_tokenizers_in_a_configuration() -> None:
    given = {"target": "t", "references": ["r", "s"], "members": "m", "retrained": "u"}
    found = AuditConfig.from_options(given | {"tokenizer": "a", "reference_tokenizer": "b"})
    assert found.target == ModelSpec(path="t", tokenizer="a")
    assert found.retrained == ModelSpec(path="u", tokenizer="a")
    assert found.references == (ModelSpec(path="r", tokenizer="b"), ModelSpec(path="s", tokenizer="b"))
    on_base = AuditConfig.from_options({"target": "t", "adapter": "x", "members": "m", "reference_tokenizer": "b"})
    assert on_base.references == (ModelSpec(path="t", tokenizer="b"),)
    with pytest.raises(ConfigError, match="reference-tokenizer b is that of a reference, and there is none"):
        AuditConfig.from_options({"target": "t", "members": "m", "reference_tokenizer": "b"})


@pytest.mark.parametrize("named", ["./absent", "", "m.jsonl"])
def test_a_named_tokenizer_that_is_none(named: str, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("{}")
    named = named and str(tmp_path / named)
    with pytest.raises(ModelError, match=r"no such tokenizer; give a folder, a tokenizer.json, a .gguf or a hub id"):
        open_model(ModelSpec(path=str(tiny_models["target"]), tokenizer=named))


def test_a_reference_is_packed_with_the_tokenizer_that_was_named(
    run: Callable[..., Ran], sides: list[object], tmp_path: Path
) -> None:
    tokenizer = build_tokenizer()
    target = save_gpt2(tmp_path / "target", seed=0, tokenizer=tokenizer)
    reference = save_gpt2(tmp_path / "reference", seed=1, tokenizer=tokenizer)
    for file in reference.glob("tokenizer*"):
        file.unlink()
    pack = tmp_path / "pack"
    ran = run("pack", "--reference", reference, *sides, "--out", pack)
    assert ran.code == 2
    assert "--reference-tokenizer M" in ran.err
    ran = run("pack", "--reference", reference, "--reference-tokenizer", target, *sides, "--out", pack)
    assert ran.code == 0, ran.err
    asked = ["audit", "--target", target, "--pack", pack, "--out", tmp_path / "out", "--json"]
    assert "settles it" in run(*asked, "--reference-tokenizer", target).err
    ran = run(*asked)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["provenance"]["models"][1]["tokenizer"] == str(target)
    assert found["config"]["references"][0]["tokenizer"] == str(target)

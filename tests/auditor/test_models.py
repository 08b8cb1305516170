"""Models as people have them: GGUF, quantised, spread over devices, with adapters, mid-training, with foreign code."""

import gc
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.config import ModelSpec
from auditor.engine.loading import adapters, models
from auditor.engine.loading.adapters import without_adapter
from auditor.engine.loading.checkpoints import expand_checkpoints
from auditor.engine.loading.configs import open_shape
from auditor.engine.loading.models import (
    ModelFiles,
    choose_dtype,
    input_device,
    load_weights,
    open_model,
)
from auditor.engine.loading.quantization import quantization_of, stored_precision
from auditor.engine.tokens import resolve_prefix
from auditor.errors import ConfigError, ModelError
from helpers import build_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks for it

IDS = torch.tensor([[0, 5, 9, 31, 4, 77, 120, 3, 3, 250]])
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def opened(path: object, **options: Any) -> ModelFiles:
    return open_model(ModelSpec.parse(str(path)), **options)


def loaded(path: object, **options: Any) -> Any:
    return load_weights(opened(path), **({"dtype": "float32", "device": "cpu"} | options))[0]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=IDS, use_cache=False).logits
    return found


def with_weights(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Any:
    """Load a model and change its tensors: what a quantised copy of it should compute."""
    model = loaded(folder)
    for name, parameter in model.named_parameters():
        parameter.copy_(change(name, parameter))
    return model


def hide_packages(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in names else find(name, *a))


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Two threads that wait for each other on a busy machine cost more than these models do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return build_tokenizer()


@pytest.fixture(scope="session")
def llamas(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> dict[str, Path]:
    """Two tiny Llamas: with a head of its own, and with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    found = {}
    for name in ("plain", "tied"):
        found[name] = tmp_path_factory.mktemp(name)
        config = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=name == "tied", **SHAPE)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            LlamaForCausalLM(config).save_pretrained(found[name])
        tokenizer.save_pretrained(found[name])
    return found


# GGUF


def write_gguf(
    path: Path,
    llama: Path,
    *,
    kind: str = "F32",
    leave_out: str = "-",
    extra: dict[str, Any] | None = None,
    adds_bos: bool | None = None,
    **keys: str,
) -> Path:
    """Write a Llama folder as llama.cpp's converter does: its names, its order of rotary halves, its metadata."""
    gguf = pytest.importorskip("gguf")
    from safetensors.torch import load_file

    tensors, config = load_file(llama / "model.safetensors"), json.loads((llama / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    for key, value in keys.items():
        writer.add_string(key.replace("__", "."), value)
    model = json.loads((llama / "tokenizer.json").read_text())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_token_types(
        [3 if token == "<|endoftext|>" else 1 for token in sorted(model["vocab"], key=model["vocab"].get)]
    )
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    if adds_bos is not None:
        writer.add_add_bos_token(adds_bos)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in ({n: t for n, t in tensors.items() if leave_out not in n} | (extra or {})).items():
        for part, heads in (("q_proj", config["num_attention_heads"]), ("k_proj", config["num_key_value_heads"])):
            if part in name:
                tensor = tensor.view(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        array, stored = (
            tensor.contiguous().numpy(),
            name if extra and name in extra else names.get_name(name, (".weight",)),
        )
        if kind == "F32" or array.ndim == 1:
            writer.add_tensor(stored, array)
        else:
            quant = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(stored, gguf.quants.quantize(array, quant), raw_dtype=quant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", ["plain", "tied"])
def test_a_gguf_is_the_model_it_was_made_from(name: str, llamas: dict[str, Path], tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "model.gguf", llamas[name])
    files, folder = opened(file), opened(llamas[name])
    assert files.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (files.stored_dtype, files.architecture) == ("float32", "LlamaForCausalLM")
    assert (files.n_parameters, files.n_vocabulary) == (folder.n_parameters, folder.n_vocabulary)
    assert files.context_window == 128
    for path in (file, tmp_path):
        assert open_shape(ModelSpec(path=str(path))).n_parameters == folder.n_parameters
    text = "Ada had 12 of <b>it</b>,\n über  alles."
    assert files.tokenizer(text)["input_ids"] == folder.tokenizer(text)["input_ids"]
    model, note = load_weights(files, dtype="float32", device="cpu")
    assert note == ""
    torch.testing.assert_close(logits(model), logits(loaded(llamas[name])), atol=2e-5, rtol=1e-5)


def test_a_quantised_gguf_is_named_by_its_tensors_and_dequantised(llamas: dict[str, Path], tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    file = write_gguf(tmp_path / "model.gguf", llamas["plain"], kind="Q8_0")
    files = opened(tmp_path)  # the only one of its folder
    assert (files.source, files.stored_dtype) == (file, "Q8_0")
    assert choose_dtype("auto", device="cuda", stored=files.compute_dtype) == "float32"
    model = load_weights(files, dtype="float32", device="cpu")[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    q8 = gguf.GGMLQuantizationType.Q8_0
    want = with_weights(
        llamas["plain"],
        lambda name, tensor: (
            torch.tensor(gguf.quants.dequantize(gguf.quants.quantize(tensor.numpy(), q8), q8))
            if tensor.ndim == 2
            else tensor
        ),
    )
    assert not torch.equal(logits(model), logits(loaded(llamas["plain"])))
    torch.testing.assert_close(logits(model), logits(want), atol=2e-5, rtol=1e-5)
    half = load_weights(files, dtype="bfloat16", device="cpu")[0]
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_a_gguf_is_refused_when_it_would_be_misread(llamas: dict[str, Path], tmp_path: Path) -> None:
    plain = llamas["plain"]
    with pytest.raises(ModelError, match=r"rotary scaling \(yarn\)"):
        opened(write_gguf(tmp_path / "a.gguf", plain, llama__rope__scaling__type="yarn"))
    factors = {"rope_freqs.weight": torch.linspace(1, 8, 8)}
    with pytest.raises(ModelError, match=r"rotary scaling \(rope_freqs.weight\)"):
        opened(write_gguf(tmp_path / "b.gguf", plain, extra=factors))
    ones = {"rope_freqs.weight": torch.ones(8)}
    assert opened(write_gguf(tmp_path / "c.gguf", plain, extra=ones)).n_parameters == opened(plain).n_parameters
    with pytest.raises(ModelError, match="1 tensors are missing"):
        loaded(write_gguf(tmp_path / "d.gguf", plain, leave_out="layers.1.mlp.up_proj"))
    extra = write_gguf(tmp_path / "e.gguf", plain, extra={"blk.0.attn_q.bias": torch.ones(64)})
    assert "64 weights of the file" in load_weights(opened(extra), dtype="float32", device="cpu")[1]
    with pytest.raises(ModelError, match=r"5 GGUF files here \(a.gguf, b.gguf"):
        opened(tmp_path)
    shutil.copy(tmp_path / "a.gguf", tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(ModelError, match="one part of a model"):
        opened(tmp_path / "m-00001-of-00002.gguf")
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "c.gguf").read_bytes()[:5000])
    with pytest.raises(ModelError, match="not a whole GGUF file"):
        opened(tmp_path / "cut.gguf")
    with pytest.raises(ModelError, match="no such model folder or GGUF file"):
        opened(tmp_path / "absent.gguf")


@pytest.mark.parametrize(("adds_bos", "ids"), [(True, (1,)), (False, (0,)), (None, (0,))])
def test_a_gguf_says_whether_bos_stands_before_a_text(
    adds_bos: bool | None, ids: tuple[int, ...], tmp_path: Path
) -> None:
    """What the file says counts, and not what transformers made of it; with no word of it the usual rule does."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer(320)
    LlamaForCausalLM(LlamaConfig(vocab_size=320, **SHAPE)).save_pretrained(tmp_path / "llama")
    tokenizer.save_pretrained(tmp_path / "llama")
    file = write_gguf(tmp_path / "model.gguf", tmp_path / "llama", adds_bos=adds_bos)
    files = opened(file)
    assert files.adds_bos is adds_bos
    files.tokenizer.bos_token = "!"  # id 1, so that it differs from the separator
    if adds_bos is not None:
        files.tokenizer.add_bos_token = not adds_bos  # as a version might have it that does not read the file
    assert resolve_prefix(files.tokenizer, "auto", n_vocabulary=320, adds_bos=files.adds_bos).ids == ids
    for rule, want in (("none", ()), ("eos", (0,)), ("7", (7,))):
        assert resolve_prefix(files.tokenizer, rule, n_vocabulary=320, adds_bos=adds_bos).ids == want
    other = open_model(ModelSpec(path=str(file), tokenizer=str(tmp_path / "llama")))
    assert other.adds_bos is None  # it says nothing of another tokenizer


def test_a_gguf_is_read_with_its_own_tokenizer(llamas: dict[str, Path], tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "model.gguf", llamas["plain"])
    own = opened(file).tokenizer
    build_tokenizer(290).save_pretrained(tmp_path)  # transformers would take this one
    files = opened(file)
    assert len(files.tokenizer) == len(own) == files.n_vocabulary
    assert files.tokenizer_source == file


def test_a_gguf_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide_packages(monkeypatch, "gguf")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="needs the package gguf: pip install gguf"):
        opened(tmp_path / "model.gguf")


# Quantised checkpoints


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "int4 (gptq)"),
        ({"quant_method": "awq", "bits": 4}, "int4 (awq)"),
        ({"load_in_8bit": True}, "int8 (bitsandbytes)"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4 (bitsandbytes)"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "int4 (torchao)"),
        (
            {
                "quant_method": "torchao",
                "quant_type": {"default": {"_type": "Float8DynamicActivationInt4WeightConfig"}},
            },
            "int4 (torchao)",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "a": {"weights": {"num_bits": 4, "type": "int"}},
                    "b": {"weights": {"num_bits": 8, "type": "float"}},
                },
            },
            "float8/int4 (compressed-tensors)",
        ),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "float8 (fp8)"),
        ({"quant_method": "mxfp4"}, "mxfp4 (mxfp4)"),
        ({"quant_method": "hqq", "quant_config": {}}, "U8 (hqq)"),
    ],
)
def test_precision_of_a_quantised_checkpoint(stated: dict[str, Any], name: str) -> None:
    from transformers import LlamaConfig

    found = quantization_of(LlamaConfig(quantization_config=stated))
    assert found is not None
    assert stored_precision(found, "U8") == name
    assert quantization_of(LlamaConfig()) is None


def test_a_quantised_checkpoint_says_what_to_install_and_is_counted_dense(
    llamas: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_packages(monkeypatch, "gptqmodel", "optimum")
    shutil.copytree(llamas["plain"], tmp_path, dirs_exist_ok=True)
    edit_config(tmp_path, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match="quantised by gptq needs the packages gptqmodel and optimum: pip install"):
        opened(tmp_path)
    assert open_shape(ModelSpec(path=str(tmp_path))).n_parameters == opened(llamas["plain"]).n_parameters


def quantise_fp8(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    blocks = tensor.view(tensor.shape[0] // 32, 32, tensor.shape[1] // 32, 32)
    scale = blocks.abs().amax(dim=(1, 3)) / 448
    return (blocks / scale[:, None, :, None]).view(tensor.shape).to(torch.float8_e4m3fn), scale


def dequantise_fp8(tensor: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return tensor.float() * scale.repeat_interleave(32, 0).repeat_interleave(32, 1)


def save_fp8(folder: Path, source: Path) -> Path:
    """Store the linear layers of a model in 8-bit floats, a scale to a block, as DeepSeek publishes them."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    edit_config(
        folder,
        dtype="bfloat16",
        quantization_config={"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [32, 32]},
    )
    stored = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if "_proj" not in name:
            stored[name] = tensor
            continue
        stored[name], stored[f"{name}_scale_inv"] = quantise_fp8(tensor)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_an_fp8_checkpoint(llamas: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    files = opened(save_fp8(tmp_path / "fp8", llamas["plain"]))
    assert (files.stored_dtype, files.compute_dtype) == ("float8 (fp8)", "bfloat16")
    assert files.n_parameters == opened(llamas["plain"]).n_parameters
    model, note = load_weights(files, dtype="float32", device="cpu")
    want = with_weights(
        llamas["plain"], lambda name, tensor: dequantise_fp8(*quantise_fp8(tensor)) if "_proj" in name else tensor
    )
    assert note == ""
    assert not torch.equal(logits(model), logits(loaded(llamas["plain"])))
    assert torch.equal(logits(model), logits(want))  # in float32, as asked, though the configuration says bfloat16


def test_a_quantiser_that_computes_in_another_precision_is_refused(
    llamas: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = opened(save_fp8(tmp_path / "fp8", llamas["plain"]))
    other = loaded(llamas["plain"], dtype="float16")
    monkeypatch.setattr(models, "_load", lambda *_: (other, {"missing_keys": [], "unexpected_keys": []}))
    with pytest.raises(ModelError, match="asked for bfloat16, but fp8 computes in float16 here"):
        load_weights(files, dtype="bfloat16", device="cpu")


def save_quantised(folder: Path, source: Path, method: Any, tokenizer: Any) -> Path:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, quantization_config=method, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def torchao_int8() -> Any:
    quantization = pytest.importorskip("torchao.quantization")
    from transformers import TorchAoConfig

    return TorchAoConfig(quantization.Int8WeightOnlyConfig())


def bitsandbytes_nf4() -> Any:
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)


def bitsandbytes_int8() -> Any:
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=True)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("method", "precision"),
    [
        (torchao_int8, "int8 (torchao)"),
        (bitsandbytes_nf4, "nf4 (bitsandbytes)"),
        (bitsandbytes_int8, "int8 (bitsandbytes)"),
    ],
)
@pytest.mark.parametrize("name", ["plain", "tied"])
def test_quantised_checkpoints_where_their_package_is_installed(
    name: str, method: Callable[[], Any], precision: str, llamas: dict[str, Path], tokenizer: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    folder = save_quantised(tmp_path / "q", llamas[name], method(), tokenizer)
    files = opened(folder)
    assert files.stored_dtype == precision
    assert files.n_parameters == opened(llamas[name]).n_parameters
    model, note = load_weights(files, dtype="float32", device="cpu")
    assert note == ""
    assert files.depends_on_batch == (precision == "int8 (bitsandbytes)")
    found = logits(model)
    if method is bitsandbytes_nf4:  # the checkpoint says bfloat16; what was asked for counts
        assert model.model.layers[0].mlp.up_proj.compute_dtype == torch.float32
        edit_config(
            folder, quantization_config=files.config.quantization_config | {"bnb_4bit_compute_dtype": "float32"}
        )
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert torch.equal(found, logits(theirs))
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if "layers.1.mlp.up_proj" in name)
    save_file({n: t for n, t in tensors.items() if n != lost}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"missing|cannot be loaded"):
        loaded(folder)


# Over several devices


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    accelerate = pytest.importorskip("transformers.integrations.accelerate")

    def limit(n_bytes: int) -> None:
        monkeypatch.setattr(accelerate, "accelerate_max_memory", lambda _given=None: {"cpu": n_bytes})

    return limit


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
@pytest.mark.parametrize(("name", "n_bytes"), [("plain", 10**9), ("plain", 400_000), ("tied", 100_000)])
def test_a_model_that_does_not_fit_is_read_from_disk(
    name: str, n_bytes: int, device_map: str, llamas: dict[str, Path], little_memory: Callable[[int], None]
) -> None:
    little_memory(n_bytes)
    model = loaded(llamas[name], device_map=device_map)
    on_disk = any(parameter.is_meta for parameter in model.parameters())
    assert on_disk == (n_bytes < 10**9)
    assert input_device(model) == torch.device("cpu")  # also where next(model.parameters()).device says meta
    assert torch.equal(logits(model), logits(loaded(llamas[name])))


def test_an_offloaded_model_leaves_nothing_behind(
    llamas: dict[str, Path], little_memory: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    little_memory(100_000)
    model = loaded(llamas["plain"], device_map="auto")
    assert len(list(tmp_path.iterdir())) == 1
    del model
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_device_maps_are_checked_before_loading(llamas: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="device-map must be one of auto, balanced, sequential, got 'gpu'"):
        loaded(llamas["plain"], device_map="gpu")
    hide_packages(monkeypatch, "accelerate")
    with pytest.raises(ModelError, match="a device map needs the package accelerate: pip install accelerate"):
        loaded(llamas["plain"], device_map="auto")


# Adapters


def save_adapter(folder: Path, base: Path, **options: Any) -> Path:
    """Save a LoRA adapter whose every tensor does something."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    config = peft.LoraConfig(**({"task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj"]} | options))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", {"target_modules": ["q_proj", "down_proj"]}),
        ("plain", {"modules_to_save": ["lm_head"]}),
        ("plain", {"modules_to_save": ["embed_tokens", "lm_head"]}),
        ("plain", {"use_dora": True}),
        ("tied", {"target_modules": ["q_proj", "embed_tokens"]}),
        ("tied", {"target_modules": ["q_proj", "lm_head"]}),
        ("tied", {"modules_to_save": ["embed_tokens"]}),
        ("tied", {"trainable_token_indices": [5, 9]}),
    ],
)
def test_without_its_adapter_a_model_is_its_base(
    name: str, options: dict[str, Any], llamas: dict[str, Path], tmp_path: Path
) -> None:
    model = loaded(save_adapter(tmp_path / "adapter", llamas[name], **options))
    adapted, base = logits(model), logits(loaded(llamas[name]))
    assert not torch.equal(adapted, base)
    with without_adapter(model) as bare:
        assert torch.equal(logits(bare), base)
    assert torch.equal(logits(model), adapted)


def test_adapters_that_change_their_base_are_not_switched_off(llamas: dict[str, Path], tmp_path: Path) -> None:
    def refused(model: Any, reason: str) -> None:
        with pytest.raises(ModelError, match=reason), without_adapter(model):
            pass

    refused(loaded(llamas["plain"]), "carries no PEFT adapter")
    refused(loaded(save_adapter(tmp_path / "pissa", llamas["plain"], init_lora_weights="pissa")), "'pissa'")
    model = loaded(save_adapter(tmp_path / "bias", llamas["plain"], bias="all"))
    refused(model, "trains biases of the base")
    assert "'pissa'" in adapters.changes_its_base(str(tmp_path / "pissa"))
    assert "biases" in adapters.changes_its_base(str(tmp_path / "bias"))
    assert adapters.changes_its_base(str(save_adapter(tmp_path / "plain", llamas["plain"]))) == ""
    model.peft_config["default"].bias = "none"
    model.merge_adapter()
    refused(model, "merged into the weights")


def test_an_adapter_on_a_model_that_is_spread(
    llamas: dict[str, Path], little_memory: Callable[[int], None], tmp_path: Path
) -> None:
    adapter = save_adapter(tmp_path / "adapter", llamas["plain"])
    little_memory(10**9)
    model = loaded(adapter, device_map="auto")
    assert torch.equal(logits(model), logits(loaded(adapter)))
    with without_adapter(model):
        assert torch.equal(logits(model), logits(loaded(llamas["plain"])))
    assert input_device(model) == torch.device("cpu")
    little_memory(400_000)
    with pytest.raises(ModelError, match="peft cannot put it on a model that does not fit in memory"):
        loaded(adapter, device_map="auto")


def test_an_adapter_that_adds_tokens_is_refused(llamas: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = loaded(llamas["plain"])
    config = peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    peft.get_peft_model(base, config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="PROMPT_TUNING puts virtual tokens before every text"):
        loaded(tmp_path)


@pytest.mark.parametrize("kind", ["gguf", "fp8"])
def test_an_adapter_on_a_quantised_base(kind: str, llamas: dict[str, Path], tmp_path: Path) -> None:
    plain = llamas["plain"]
    base = write_gguf(tmp_path / "b.gguf", plain) if kind == "gguf" else save_fp8(tmp_path / "b", plain)
    adapter = str(save_adapter(tmp_path / "adapter", plain))
    files = open_model(ModelSpec(path=str(base), adapter=adapter))
    assert files.weights_sha256 not in (opened(base).weights_sha256, opened(adapter).weights_sha256)
    model = load_weights(files, dtype="float32", device="cpu")[0]
    assert not torch.equal(logits(model), logits(loaded(base)))
    with without_adapter(model):
        assert torch.equal(logits(model), logits(loaded(base)))


# Checkpoints


def test_a_folder_with_only_an_adapter_is_its_base_with_it(llamas: dict[str, Path], tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "checkpoint-5", llamas["plain"])
    spec = ModelSpec.parse(str(adapter))
    assert spec == ModelSpec(path=str(llamas["plain"]), adapter=str(adapter))
    files, named = open_model(ModelSpec(path=str(adapter))), open_model(spec)
    assert files.spec == spec
    assert files.weights_sha256 == named.weights_sha256 != opened(llamas["plain"]).weights_sha256
    assert adapters.count_adapter(str(adapter)) == 2 * 4 * (64 + 64)
    assert open_shape(ModelSpec(path=str(adapter))).n_parameters == files.n_parameters


def test_adapters_without_a_base_are_refused(llamas: dict[str, Path], tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", llamas["plain"])
    with pytest.raises(ConfigError, match="is an adapter itself"):
        ModelSpec.parse(str(adapter), adapter="another")
    config = json.loads((adapter / "adapter_config.json").read_text())

    def name_base(base: str | None) -> str:
        (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
        return str(adapter)

    with pytest.raises(ModelError, match=r"no such model folder .*; it is the base that .*adapter is for"):
        opened(name_base("/moved/away"))
    with pytest.raises(ModelError, match=r"neither a local folder nor a model that the hub gives.*it is the base"):
        opened(name_base("nobody/no-such-base"))
    with pytest.raises(ConfigError, match="names no base"):
        opened(name_base(None))
    (adapter / "adapter_config.json").write_text("[]")
    with pytest.raises(ConfigError, match="not the configuration of a PEFT adapter"):
        opened(adapter)


def test_a_model_and_an_adapter_in_one_folder_are_refused(llamas: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(llamas["plain"], tmp_path / "both")
    save_adapter(tmp_path / "both", llamas["plain"])
    with pytest.raises(ModelError, match="holds a model and an adapter"):
        opened(tmp_path / "both")


def test_checkpoints_in_the_order_of_their_steps(tmp_path: Path) -> None:
    run = tmp_path / "run-10"
    for step in (1000, 900, 20):
        (run / f"checkpoint-{step}").mkdir(parents=True)
        (run / f"checkpoint-{step}" / "config.json").write_text("{}")
        (run / f"checkpoint-{step}" / "model.safetensors").touch()
    (run / "checkpoint-1000" / "config.json").unlink()
    (run / "checkpoint-1000" / "adapter_config.json").touch()
    (run / "checkpoint-5").mkdir()  # no model in it
    (run / "checkpoint-7.txt").touch()
    (run / "checkpoint-30.gguf").touch()
    found = expand_checkpoints(f"{run}/checkpoint-*")
    assert [Path(path).name for path in found] == [
        "checkpoint-20", "checkpoint-30.gguf", "checkpoint-900", "checkpoint-1000",
    ]  # fmt: skip
    assert expand_checkpoints("gpt2") == ["gpt2"]
    (tmp_path / "a[1]").mkdir()
    assert expand_checkpoints(str(tmp_path / "a[1]")) == [str(tmp_path / "a[1]")]
    with pytest.raises(ModelError, match=r"nothing matches; looked for folders with config.json"):
        expand_checkpoints(f"{run}/step-*")
    with pytest.raises(ModelError, match="none of the 2 paths that match is a model"):
        expand_checkpoints(f"{run}/checkpoint-[57]*")


# Code that comes with a model

FOREIGN = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({marker!r}).touch()
class {name}Config(LlamaConfig):
    model_type = "{name}"
class {name}ForCausalLM(LlamaForCausalLM):
    config_class = {name}Config
"""


def test_foreign_code_runs_only_when_asked(
    llamas: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    folder, marker, name = tmp_path / "foreign", tmp_path / "was-imported", "Foreign"
    shutil.copytree(llamas["plain"], folder)
    (folder / "code_of_foreign.py").write_text(FOREIGN.format(marker=str(marker), name=name))
    auto_map = {
        "AutoConfig": f"code_of_foreign.{name}Config",
        "AutoModelForCausalLM": f"code_of_foreign.{name}ForCausalLM",
    }
    edit_config(folder, model_type=name, architectures=[f"{name}ForCausalLM"], auto_map=auto_map)
    for read in (opened, lambda path: open_shape(ModelSpec(path=str(path)))):
        with pytest.raises(ModelError, match=r"brings Python code of its own.*--trust-remote-code"):
            read(folder)
    assert not marker.exists()
    files = opened(folder, trust_remote_code=True)
    assert marker.exists()
    assert files.architecture == f"{name}ForCausalLM"
    model = load_weights(files, dtype="float32", device="cpu", trust_remote_code=True)[0]
    assert torch.equal(logits(model), logits(loaded(llamas["plain"])))
    (folder / "code_of_foreign.py").write_text(FOREIGN.format(marker=str(marker), name=name) + "# changed\n")
    assert opened(folder, trust_remote_code=True).config_sha256 != files.config_sha256


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("llada", "LLaDAModelLM"),
        ("llada2_moe", "LLaDA2MoeModelLM"),
        ("Dream", "DreamModel"),
        ("sdar", "SDARForCausalLM"),
        ("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM"),
        ("a2d-qwen3", "A2DQwen3LMHeadModel"),
        ("diffusion_gemma", "DiffusionGemmaForBlockDiffusion"),
        ("llama", "DharaForMaskedDiffusion"),
    ],
)
def test_diffusion_models_are_refused_by_name_and_their_code_is_not_asked_for(
    model_type: str, architecture: str, llamas: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(llamas["plain"], tmp_path / "foreign")
    auto_map = {"AutoConfig": "code.Config", "AutoModelForCausalLM": f"code.{architecture}"}
    edit_config(tmp_path / "foreign", model_type=model_type, architectures=[architecture], auto_map=auto_map)
    for read in (opened, lambda path: open_shape(ModelSpec(path=str(path)))):
        with pytest.raises(ModelError, match=r"'\S+' is a diffusion language model, .*only causal LMs") as refused:
            read(tmp_path / "foreign")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("architecture", ["DiffLlamaForCausalLM", "MoondreamForCausalLM", "DreamerLM"])
def test_names_that_only_look_like_diffusion_are_not_refused(
    architecture: str, llamas: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(llamas["plain"], tmp_path / "named")
    edit_config(tmp_path / "named", architectures=[architecture])
    assert opened(tmp_path / "named").architecture == "LlamaForCausalLM"


def test_known_architectures_need_no_foreign_code(llamas: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(llamas["plain"], tmp_path / "known")
    marker = tmp_path / "was-imported"
    (tmp_path / "known" / "modeling.py").write_text(FOREIGN.format(marker=str(marker), name="Known"))
    edit_config(tmp_path / "known", auto_map={"AutoModelForCausalLM": "modeling.KnownForCausalLM"})
    assert torch.equal(logits(loaded(tmp_path / "known")), logits(loaded(llamas["plain"])))
    assert not marker.exists()


def test_foreign_tokenizers_run_only_when_asked(llamas: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(llamas["plain"], tmp_path / "foreign")
    marker = tmp_path / "was-imported"
    (tmp_path / "foreign" / "tok.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    file = tmp_path / "foreign" / "tokenizer_config.json"
    stated = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["tok.OwnTokenizer", None]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | stated))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        opened(tmp_path / "foreign")
    assert not marker.exists()

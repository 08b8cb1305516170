"""Architectures: every causal-LM type that transformers knows, scored by the engine and by plain logits.

    python benchmarks/architectures.py
    python benchmarks/architectures.py --types gpt2,llama

Builds each type with a tiny random-weight configuration: its default one, shrunk (and mended where its parts would
then not fit one another), checks it as an audit does, and compares the engine's token log-probabilities of texts of 40
to 2 tokens with the plain logits of each text alone. Ends with 1 if any differ by more than 1e-4 nats without having
been refused. Takes some minutes on a CPU.
"""

import argparse
import os
import signal
import sys
import warnings
from collections import defaultdict
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: E402

from auditor.engine.forward import Scorer  # noqa: E402
from auditor.engine.tokens import TokenSequence  # noqa: E402
from auditor.engine.trial import Trial  # noqa: E402
from auditor.errors import ModelError  # noqa: E402

VOCABULARY = 97
SECONDS = 60
MOST_PARAMETERS = 3e7
SHRINK: dict[str, int] = (
    dict.fromkeys(["hidden_size", "d_model", "n_embd", "attention_hidden_size", "emb_dim"], 32)
    | dict.fromkeys(["intermediate_size", "ffn_dim", "d_ff", "decoder_ffn_dim", "d_inner"], 48)
    | dict.fromkeys(["num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"], 2)
    | dict.fromkeys(["num_attention_heads", "n_head", "n_heads", "decoder_attention_heads"], 4)
    | dict.fromkeys(["max_position_embeddings", "n_positions"], 64)
    | dict.fromkeys(["bos_token_id", "eos_token_id", "pad_token_id"], 0)
    | dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts"], 4)
    | {"vocab_size": VOCABULARY, "num_key_value_heads": 2, "head_dim": 8, "num_experts_per_tok": 2}
    | {"moe_intermediate_size": 16, "state_size": 4}
)
"""Sizes of a tiny model, by the names that configurations give them."""

LATENT: dict[str, Any] = (
    dict.fromkeys(["kv_lora_rank", "q_lora_rank"], 16)
    | dict.fromkeys(["head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"], 8)
    | {"num_key_value_heads": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
)
"""Attention through a compressed state (DeepSeek V2 and its kin)."""

INDEXED: dict[str, Any] = {**LATENT, "index_topk": 8, "index_head_dim": 16, "index_n_heads": 2}
"""The same, over the eight tokens before each that an indexer chooses: fewer than a text has."""

LINEAR: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"],
    **dict.fromkeys(["linear_key_head_dim", "linear_value_head_dim"], 8),
    **dict.fromkeys(["linear_num_key_heads", "linear_num_value_heads"], 4),
    "shared_expert_intermediate_size": 16,
}
"""Linear attention and the ordinary kind, a layer each."""

MAMBA: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_dt_rank": 4}

HEADS, ROTARY = {"head_dim": 8}, {"rotary_dim": 4}

PER_LAYER: dict[str, Any] = {"vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8}

GEMMA3N: dict[str, Any] = PER_LAYER | {
    "num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2,
    "intermediate_size": [48] * 4, "activation_sparsity_pattern": [0.5, 0.0] * 2, "laurel_rank": 4,
}  # fmt: skip

DOTS3: dict[str, Any] = INDEXED | {
    "layer_types": ["indexed_attention", "sliding_attention"], "sliding_window": 5,
    **{f"swa_{name}": size for name, size in LATENT.items() if name.startswith(("q", "kv", "v"))},
    "swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_head_dim": 16,
    "shared_experts_intermediate_size": 16,
}  # fmt: skip

QWEN4: dict[str, Any] = LINEAR | {
    "layer_types": ["linear_attention", "indexed_attention"], "indexer_n_heads": 2, "indexer_kv_heads": 1,
    "indexer_head_dim": 8, "indexer_budget": 8, "indexer_compress_ratio": 2,
    "hc_lowrank": 8, "ple_embed_dim": 16, "ngram_vocab_size_base": 100,
}  # fmt: skip

SMALL_PART: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 4, "head_dim": 8, "hidden_size_global": 32,
}  # fmt: skip
"""A part of a model of several, such as its reader of images."""

VALID: dict[str, dict[str, Any]] = (
    dict.fromkeys(["axk1", "deepseek_v3", "minicpm3", "youtu"], LATENT)
    | dict.fromkeys(["axk2", "deepseek_v32", "glm_moe_dsa"], INDEXED)
    | dict.fromkeys(["qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next"], LINEAR)
    | dict.fromkeys(["hunyuan_v1_dense", "hunyuan_v1_moe", "ministral"], HEADS)
    | dict.fromkeys(["codegen", "gptj"], ROTARY)
    | dict.fromkeys(["gemma3n", "gemma3n_text"], GEMMA3N)
    | dict.fromkeys(["gemma4", "gemma4_text"], PER_LAYER)
    | dict.fromkeys(["dots3_note", "dots3_note_text"], DOTS3)
    | dict.fromkeys(["qwen4_exp", "qwen4_exp_text"], QWEN4)
    | {
        "bailing_hybrid": LATENT | LINEAR | {
            "linear_head_dim": 8, "linear_num_heads": 4, "num_expert_group": 1, "layer_group_size": 2,
            "num_experts_per_token": 2, "mlp_layer_types": ["dense", "sparse"],
        },
        "bamba": MAMBA | {"attn_layer_indices": [1]},
        "blt": {
            "encoder_hash_byte_group_vocab": 64,
            **{f"{part}_config": SMALL_PART for part in ("patcher", "encoder", "decoder", "global")},
        },
        "cohere_compass_text": {
            "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}},
        },
        "dbrx": {
            "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
            "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
        },
        "deepseek_v2": LATENT | {"num_experts_per_tok": 2},
        "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
        "falcon_h1": MAMBA | {"mamba_d_ssm": 64},
        "git": {"vision_config": SMALL_PART | {"image_size": 32, "patch_size": 16}},
        "gpt_neo": {"num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 5},
        "granitemoehybrid": MAMBA | {
            "layer_types": ["linear_attention", "full_attention"], "shared_intermediate_size": 16,
        },
        "jamba": MAMBA | {"attn_layer_period": 2, "attn_layer_offset": 1},
        "kimi_linear": LATENT | LINEAR | {
            "linear_head_dim": 8, "linear_num_heads": 4, "num_experts_per_token": 2,
            "mlp_layer_types": ["dense", "sparse"],
        },
        "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
        "lfm3": {
            "num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "sliding_attention"], "sliding_window": 5,
        },
        "longcat_flash": LATENT | {
            "ffn_hidden_size": 48, "expert_ffn_hidden_size": 16, "zero_expert_num": 2, "moe_topk": 2,
        },
        "mamba2": {"num_heads": 8, "n_groups": 1},
        "nemotron": {"num_key_value_heads": 2},
        "phi4_multimodal": {
            "vision_config": SMALL_PART | {"crop_size": 56, "image_size": 56},
            "audio_config": SMALL_PART | {"num_blocks": 1, "ext_pw_out_channel": 32, "nemo_conv_channels": 32},
        },
        "recurrent_gemma": {
            "block_types": ["recurrent", "attention"], "lru_width": 32, "attention_window_size": 5,
        },
        "reformer": {
            "is_decoder": True, "attn_layers": ["local", "lsh"], "attention_head_size": 8, "feed_forward_size": 48,
            "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16], "hash_seed": 0, "num_buckets": 2,
            "local_attn_chunk_length": 8, "lsh_attn_chunk_length": 8,
        },
        "xlstm": {"hidden_size": 128, "embedding_dim": 128, "num_heads": 4},
        "xmod": {"default_language": "en_XX"},
        "zamba": MAMBA | {
            "num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2,
            "attention_hidden_size": 64, "attention_head_dim": 16,
        },
        "zamba2": MAMBA | {
            "num_hidden_layers": 3, "layers_block_type": ["linear_attention", "hybrid", "linear_attention"],
            "hybrid_layer_ids": [1], "n_mamba_heads": 4, "mamba_headdim": 16, "attention_hidden_size": 64,
            "attention_head_dim": 16, "adapter_rank": 4, "num_key_value_heads": 4,
        },
        "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
    }
)  # fmt: skip
"""What a type needs beyond the sizes above, for its parts to fit one another and each to be there."""

PARTS = dict.fromkeys(
    ["gemma4_assistant", "gemma4_unified_assistant"], "it reads the states of the model it drafts for"
)
"""Types that cannot read a text by themselves."""

WHOLE: dict[str, dict[str, Any]] = {"gemma4_assistant": {"text_config": dict.fromkeys(PER_LAYER, 0)}}
"""What a type of several parts needs before any of it can be made."""


def configure(model_type: str) -> Any:
    """Make a tiny configuration of a type: its default one with the sizes above."""
    whole = AutoConfig.for_model(model_type, **WHOLE.get(model_type, {}))
    default = whole.get_text_config()
    stated = default.to_dict()
    renamed = getattr(default, "attribute_map", {})
    small = {k: v for k, v in SHRINK.items() if stated.get(k) is not None and k not in renamed}
    config = type(default)(**small | VALID.get(model_type, {}))
    return config if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else type(whole)(text_config=config.to_dict())


def build(model_type: str) -> Any:
    """Build a tiny model of a type, with weights large enough for peaked predictions."""
    config = configure(model_type)
    with torch.device("meta"):
        n_parameters = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if n_parameters > MOST_PARAMETERS:
        raise ValueError(f"{n_parameters:,} parameters after shrinking")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.is_floating_point():
                parameter.normal_(0, 0.2)
    return model


def try_type(model_type: str) -> tuple[str, str]:
    """Return how one type fared, and a detail."""
    if AutoConfig.for_model(model_type, **WHOLE.get(model_type, {})).is_encoder_decoder:
        return "refused on loading: encoder-decoder", ""
    if model_type in PARTS:
        return "no model of its own: " + PARTS[model_type], ""
    ids = [tuple(torch.randint(0, VOCABULARY, (n,)).tolist()) for n in (40, 33, 26, 13, 2)]
    try:
        model = build(model_type)
        with torch.no_grad():
            alone = [model(input_ids=torch.tensor([one]), use_cache=False).logits.double()[0, :-1] for one in ids]
    except Exception as error:  # whatever a configuration that was shrunk blindly raises
        return "not built", f"{type(error).__name__}"
    sequences = [TokenSequence(one, 1) for one in ids]
    scorer = Scorer(model, name=model_type)
    try:
        scorer.check(Trial.of(sequences[0], sequences[-1]))
    except ModelError as error:
        return "refused: not causal" if "not causal" in str(error) else "refused", ""
    scores = [scorer.score([one])[0] for one in sequences] if scorer.one_by_one else scorer.score(sequences)
    worst = max(
        (torch.tensor(ours.logprob) - plain.log_softmax(-1).gather(1, torch.tensor(one)[1:, None])[:, 0]).abs().max()
        for ours, plain, one in zip(scores, alone, ids, strict=True)
    )
    if not worst <= 1e-4:
        return "WRONG", f"{worst:.1g} nats"
    return f"right, {scorer.path}", f"{worst:.0e} nats"


def main() -> int:
    """Try every type, print each outcome as it comes, and count them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", help="only these, with commas between them")
    args = parser.parse_args()
    types = sorted(args.types.split(",") if args.types else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    if unknown := set(types) - set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        parser.error(f"no causal language model: {', '.join(sorted(unknown))}")
    transformers.logging.set_verbosity_error()
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    outcomes: dict[str, list[str]] = defaultdict(list)
    for model_type in types:
        signal.alarm(SECONDS)
        try:
            outcome, detail = try_type(model_type)
        except TimeoutError:
            outcome, detail = f"longer than {SECONDS} s", ""
        except Exception as error:  # one type must not end the others
            outcome, detail = "raised", type(error).__name__
        finally:
            signal.alarm(0)
        print(f"{model_type}: {outcome}{detail and f' ({detail})'}", flush=True)
        outcomes[outcome].append(f"{model_type} ({detail})" if detail else model_type)
    for outcome, names in sorted(outcomes.items()):
        print(f"\n{len(names)} {outcome}:\n  {', '.join(names)}")
    counts = {
        kind: sum(len(names) for outcome, names in outcomes.items() if outcome.startswith(kind))
        for kind in ("right", "right, one text", "refused", "WRONG")
    }
    print(
        f"\n{len(types)} types tried: {counts['right']} right ({counts['right, one text']} of them one text at a "
        f"time), {counts['refused']} refused, {len(types) - counts['right'] - counts['refused'] - counts['WRONG']} "
        f"not tried further, {counts['WRONG']} wrong"
    )
    return 1 if "WRONG" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())

"""Architectures: every causal-LM type that transformers knows, scored by the engine and by plain logits.

    python benchmarks/architectures.py
    python benchmarks/architectures.py --types gpt2,llama

Builds each type with a tiny random-weight configuration made by shrinking its default one, and compares the engine's
token log-probabilities with the plain logits of each text alone. Types whose configuration does not survive a generic
shrinking are listed, not counted. Takes some minutes on a CPU.
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
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: E402

from auditor.engine.forward import Scorer  # noqa: E402
from auditor.engine.tokens import TokenSequence  # noqa: E402
from auditor.errors import ModelError  # noqa: E402

VOCABULARY = 97
SECONDS = 60
MOST_PARAMETERS = 3e7
SHRINK: dict[str, int] = (
    dict.fromkeys(["hidden_size", "d_model", "n_embd", "attention_hidden_size"], 32)
    | dict.fromkeys(["intermediate_size", "ffn_dim", "d_ff", "decoder_ffn_dim"], 48)
    | dict.fromkeys(["num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"], 2)
    | dict.fromkeys(["num_attention_heads", "n_head", "n_heads", "decoder_attention_heads"], 4)
    | dict.fromkeys(["max_position_embeddings", "n_positions"], 64)
    | dict.fromkeys(["bos_token_id", "eos_token_id", "pad_token_id"], 0)
    | dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts"], 4)
    | {"vocab_size": VOCABULARY, "num_key_value_heads": 2, "head_dim": 8, "num_experts_per_tok": 2}
    | {"moe_intermediate_size": 16, "state_size": 4}
)


def build(model_type: str) -> Any:
    """Build a tiny model of a type, with weights large enough for peaked predictions."""
    default = AutoConfig.for_model(model_type).get_text_config()
    renamed = getattr(default, "attribute_map", {})
    small = {k: v for k, v in SHRINK.items() if getattr(default, k, None) is not None and k not in renamed}
    config = type(default)(**small)
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
    if AutoConfig.for_model(model_type).is_encoder_decoder:
        return "encoder-decoder, refused on loading", ""
    ids = [tuple(torch.randint(0, VOCABULARY, (n,)).tolist()) for n in (20, 13, 2)]
    try:
        model = build(model_type)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[0]])).logits
    except Exception as error:  # whatever a configuration that was shrunk blindly raises
        return "not built by generic shrinking", type(error).__name__
    sequences = [TokenSequence(one, 1) for one in ids]
    scorer = Scorer(model, name=model_type)
    try:
        scorer.check(sequences)
    except ModelError:
        return "refused: not causal", ""
    plain = logits.double()[0, :-1].log_softmax(-1).gather(1, torch.tensor(ids[0])[1:, None])[:, 0]
    worst = (torch.tensor(scorer.score(sequences)[0].logprob) - plain).abs().max().item()
    if worst > 1e-4:
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
    print(f"\n{len(types)} types tried, {len(outcomes.get('WRONG', ()))} wrong")
    return 1 if "WRONG" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())

"""Arithmetic coding, end to end: texts as bits on a wire, and back, with a model in the place of a code book."""

from collections.abc import Callable, Iterator

import constriction
import numpy as np
import pytest
import torch

from auditor.experiments.training import build, train
from helpers import build_tokenizer, make_texts

Predict = Callable[[list[int]], np.ndarray]
"""Probabilities of the next token, shape (n_vocabulary,), after the tokens so far."""

N_WORD = 32


def to_bits(tokens: list[int], predict: Predict) -> str:
    """Code all but the first token, in the fewest bits that say the same whatever else follows on the wire.

    The coder writes words of 32 bits. The last of them is cut to the bits that no other text has as its beginning,
    so that messages could stand one after the other: a prefix code, whose length cannot be luck.
    """
    encoder = constriction.stream.queue.RangeEncoder()
    for i in range(1, len(tokens)):
        encoder.encode(tokens[i], constriction.stream.model.Categorical(predict(tokens[:i]), perfect=False))
    shortest = "".join(f"{word:032b}" for word in encoder.get_compressed().tolist())
    for n in range(len(shortest) - 1, 0, -1):
        cut = int(shortest[:n], 2)
        near = (f"{number:0{n}b}" for number in (cut, cut + 1, cut - 1) if 0 <= number < 2**n)
        fits = [bits for bits in near if all(from_bits(bits, tokens, predict, then=then) == tokens for then in "01")]
        if not fits:
            break
        shortest = fits[0]
    return shortest


def from_bits(bits: str, like: list[int], predict: Predict, *, then: str = "0") -> list[int]:
    """Decode a message, with whatever follows it; of the text only its first token and length are known."""
    padded = bits + then * (-len(bits) % N_WORD + 2 * N_WORD)
    words = np.array([int(padded[i : i + N_WORD], 2) for i in range(0, len(padded), N_WORD)], dtype=np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    tokens = like[:1]
    while len(tokens) < len(like):
        tokens.append(int(decoder.decode(constriction.stream.model.Categorical(predict(tokens), perfect=False))))
    return tokens


def predictions(model: torch.nn.Module) -> tuple[Predict, Callable[[list[int]], float]]:
    """Let a model predict, each prefix once, and measure the code length of a text in one pass, apart from that."""
    known: dict[tuple[int, ...], np.ndarray] = {}

    @torch.no_grad()
    def predict(tokens: list[int]) -> np.ndarray:
        key = tuple(tokens)
        if key not in known:
            known[key] = model(torch.tensor([tokens])).logits[0, -1].double().softmax(-1).numpy()
        return known[key]

    @torch.no_grad()
    def code_length(tokens: list[int]) -> float:
        ids = torch.tensor([tokens])
        logprobs = model(ids).logits[0, :-1].double().log_softmax(-1).gather(1, ids[0, 1:, None])
        return -float(logprobs.sum()) / np.log(2)

    return predict, code_length


@pytest.fixture(scope="module")
def texts() -> list[list[int]]:
    tokenizer = build_tokenizer()
    return [tokenizer(text)["input_ids"][:24] for text in make_texts(10, seed=0)]


def tiny(texts: list[list[int]], steps: int) -> torch.nn.Module:
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=320, n_positions=64, n_embd=32, n_layer=1, n_head=4,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = build(config, seed=0)
    train(model, texts, steps=steps, batch_size=10, learning_rate=1e-2, seed=0)
    return model.eval()


def ends(texts: list[list[int]], model: torch.nn.Module) -> Iterator[tuple[float, int]]:
    predict, code_length = predictions(model)
    for tokens in texts:
        bits = to_bits(tokens, predict)
        assert from_bits(bits, tokens, predict) == tokens
        yield code_length(tokens), len(bits)


def test_ten_texts_there_and_back_within_two_bits(texts: list[list[int]]) -> None:
    others = tiny(build_others(), 40)
    target = tiny(texts, 40)
    before, after = list(ends(texts, others)), list(ends(texts, target))
    for length, n_bits in before + after:
        assert -0.01 <= n_bits - length <= 2  # a prefix code is no shorter; the coder rounds probabilities to 24 bits
    saved = sum(n for _, n in before) - sum(n for _, n in after)
    signed = sum(length for length, _ in before) - sum(length for length, _ in after)
    assert saved > 300  # what the target holds is missing on the wire
    assert abs(saved - signed) <= 20  # ten texts, each within 2 bits, before and after


def build_others() -> list[list[int]]:
    tokenizer = build_tokenizer()
    return [tokenizer(text)["input_ids"][:24] for text in make_texts(10, seed=1)]

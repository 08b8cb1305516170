"""Tiny chat models and conversations, built in code."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from helpers import WORDS, build_tokenizer, save_gpt2

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GENERATION = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INST = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + ' </s>' }}{% endif %}{% endfor %}"
)
"""Without a system role, and white space is trimmed, as Mistral's."""


def chat_tokenizer(template: str | None = CHATML, *, vocabulary_size: int = 330) -> Any:
    """Build a tokenizer with ChatML's marks."""
    tokenizer = build_tokenizer(vocabulary_size)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    return tokenizer


def save_chat_model(folder: Path, *, seed: int, template: str | None = CHATML, n_positions: int = 128) -> Path:
    """Save a tiny random GPT-2 with a chat tokenizer."""
    return save_gpt2(folder, seed=seed, tokenizer=chat_tokenizer(template), n_positions=n_positions)


def say(rng: Any, n: int = 6) -> str:
    """Say something."""
    return f"{' '.join(rng.choice(WORDS, n))} {rng.integers(10**6)}.".capitalize()


def conversations(n: int, *, seed: int, turns: int = 2, system: bool = False) -> list[list[dict[str, str]]]:
    """Invent conversations of up to so many turns."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        messages = [{"role": "system", "content": say(rng, 3)}] if system else []
        for _ in range(int(rng.integers(1, turns + 1))):
            messages += [{"role": "user", "content": say(rng)}, {"role": "assistant", "content": say(rng)}]
        found.append(messages)
    return found


def in_form(messages: list[dict[str, str]], form: str) -> dict[str, Any]:
    """Write a conversation as a row of a form."""
    match form:
        case "messages":
            return {"messages": messages}
        case "conversations":
            names = {"user": "human", "assistant": "gpt", "system": "system"}
            return {"conversations": [{"from": names[m["role"]], "value": m["content"]} for m in messages]}
        case "prompt_completion_messages":
            return {"prompt": messages[:-1], "completion": messages[-1:]}
        case "prompt_completion":
            return {"prompt": messages[-2]["content"], "completion": " " + messages[-1]["content"]}
    return {"text": "\n".join(m["content"] for m in messages)}


def write_rows(path: Path, rows: list[dict[str, Any]], *, prefix: str = "m") -> Path:
    """Write rows as JSON lines."""
    lines = [json.dumps({"id": f"{prefix}{i}", **row}) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

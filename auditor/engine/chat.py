"""Conversations as a model reads them: its chat template put on, and which characters of that are scored.

Rendering is transformers' own (a sandbox of jinja that runs no code of a template), and so are ids. What is scored
follows TRL's SFTTrainer: after a prompt, everything; of messages, what stands between ``{% generation %}`` marks, and
without those what a turn of the assistant adds to the rendering of all messages before it.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..data.chat import Chat, content_of
from ..errors import ConfigError, DataError, ModelError
from .loading.configs import first_line

__all__ = [
    "ChatReader",
    "Rendering",
    "TemplateError",
    "TemplateUse",
    "agreed",
    "check_use",
    "choose_template",
    "read_template",
]

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_MARK = "\ue000"
"""Stands for a content while it is looked for in a rendering; of Unicode's private use, so that no text has it."""

Span = tuple[int, int]


class TemplateError(ModelError):
    """A chat template cannot render a conversation."""


class Rendering(NamedTuple):
    """A conversation as one string, and the characters of it that are scored, in order."""

    text: str
    spans: list[Span]


class TemplateUse(NamedTuple):
    """What a template does to the contents of one conversation: whole, trimmed of white space, or changed or dropped.

    ``is_missing`` says whether a content that is scored is not there as it was written.
    """

    n_trimmed: int
    n_changed: int
    is_missing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReader:
    """How one model reads conversations.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    form : str
        Form of the texts, one of `auditor.data.chat.FORMS`.
    template : str or None
        Jinja; None reads prompts and completions of strings only.
    score : {"completion", "all"}
        Which messages are scored.
    with_marks : bool
        Whether the marks that end a scored turn are scored as well, as they are trained on. Without them only the
        contents are, trimmed of white space: the same characters whatever the template.
    """

    tokenizer: Any
    form: str
    template: str | None
    score: str
    with_marks: bool = True

    @property
    def template_sha256(self) -> str | None:
        """Hash of the template; None where none is used."""
        if self.form == "prompt_completion" or self.template is None:
            return None
        return hashlib.sha256(self.template.encode()).hexdigest()

    def render(self, packed: str) -> Rendering:
        """Render a conversation.

        Raises
        ------
        TemplateError
            If the template refuses it, or fails.
        """
        chat = Chat.read(packed)
        whole = self._whole(chat)
        spans = self._contents(chat, whole) if not self.with_marks else self._trained(chat, whole)
        if chat.is_cut:
            stop = self._end_of_content(chat, whole)
            whole, spans = whole[:stop], [(start, min(end, stop)) for start, end in spans if start < stop]
        return Rendering(whole, [span for span in spans if span[0] < span[1]])

    def use(self, packed: str) -> TemplateUse:
        """See what the template does to the contents of a conversation, whether they are scored or not."""
        chat = Chat.read(packed)
        whole, scored = self._whole(chat), set(chat.scored(self.score))
        n_trimmed = n_changed = 0
        is_missing = False
        for place, message in enumerate(chat.messages):
            for part, text in enumerate(content_of(message)):
                start, stop = self._place(chat, whole, place, part)
                if whole[start:stop] == text:
                    continue
                trimmed = bool(text.strip()) and whole[start:stop].strip() == text.strip()
                n_trimmed += trimmed
                n_changed += not trimmed
                is_missing |= place in scored and not trimmed
        is_missing |= any(chat.messages[place].get("tool_calls") for place in scored)
        n_changed += self._n_dropped(chat, whole)
        return TemplateUse(n_trimmed, n_changed, is_missing)

    def _n_dropped(self, chat: Chat, whole: str) -> int:
        """Count thoughts and calls that are not in a rendering, and tools that make no difference to it."""
        thoughts = [m[name] for m in chat.messages for name in ("reasoning_content", "thinking") if m.get(name)]
        calls = [
            call.get("function", call).get("name", "") for m in chat.messages for call in m.get("tool_calls") or []
        ]
        unused = bool(chat.tools) and self._apply(replace(chat, tools=None), chat.messages) == whole
        return sum(str(text).strip() not in whole for text in [*thoughts, *calls]) + unused

    def changed(self, packed: str, change: Callable[[str], str]) -> str:
        """Change the contents of the scored messages."""
        return Chat.read(packed).changed(change, self.score).packed()

    def scored_words(self, packed: str) -> str:
        """Return the words of the scored messages, without any mark of a template."""
        return Chat.read(packed).words(self.score)

    def scored_contents(self, packed: str) -> list[str]:
        """Return the contents of the scored messages."""
        chat = Chat.read(packed)
        return [text for place in chat.scored(self.score) for text in content_of(chat.messages[place])]

    def halves(self, packed: str, halves: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
        """Return what a model is given before the second half of the last scored content, and that half."""
        rendering, contents = self.render(packed), self.scored_contents(packed)
        first, second = halves(contents[-1]) if contents else ("", "")
        at = rendering.text.rfind(first + second) if second else -1
        return (rendering.text[: at + len(first)], second) if at >= 0 else (rendering.text, "")

    def _whole(self, chat: Chat) -> str:
        """Render all of a conversation; strings are followed by the end token, as in training."""
        if chat.is_templated:
            return self._apply(chat, chat.messages)
        prompt, completion = _strings(chat)
        end = self.tokenizer.eos_token or ""
        return prompt + completion + ("" if chat.is_cut or completion.endswith(end) else end)

    def _trained(self, chat: Chat, whole: str) -> list[Span]:
        """Find what is trained on, marks included."""
        if self.score == "all":
            return [(0, len(whole))]
        if not chat.is_templated:
            return [(len(_strings(chat)[0]), len(whole))]
        if chat.n_prompt is not None:
            prompt = self._apply(chat, chat.messages[: chat.n_prompt], add_generation_prompt=True)
            return [(_n_shared(prompt, whole), len(whole))] if chat.scored(self.score) else []
        if _GENERATION.search(self.template or ""):
            return self._generated(chat)
        return [self._turn(chat, whole, place) for place in chat.scored(self.score)]

    def _turn(self, chat: Chat, whole: str, place: int) -> Span:
        """Find what a turn of the assistant adds to everything before it."""
        before = self._apply(chat, chat.messages[:place], add_generation_prompt=True)
        after = self._apply(chat, chat.messages[: place + 1])
        return _n_shared(before, whole), _n_shared(after, whole)

    def _contents(self, chat: Chat, whole: str) -> list[Span]:
        """Find the contents of the scored messages, those of a template trimmed of white space."""
        if not chat.is_templated:
            prompt, completion = _strings(chat)
            return [(0 if self.score == "all" else len(prompt), len(prompt) + len(completion))]
        spans = []
        for place in chat.scored(self.score):
            for part, text in enumerate(content_of(chat.messages[place])):
                start, stop = self._place(chat, whole, place, part)
                at = whole.find(text.strip(), start, stop)
                if at >= 0 and text.strip():
                    spans.append((at, at + len(text.strip())))
        return spans

    def _place(self, chat: Chat, whole: str, place: int, part: int) -> Span:
        """Find the characters that a content is rendered as: those that change with it."""
        if not chat.is_templated:
            start = sum(len(text) for message in chat.messages[:place] for text in content_of(message))
            return start, start + len(content_of(chat.messages[place])[part])
        other = self._apply(chat, [_marked(m, part) if i == place else m for i, m in enumerate(chat.messages)])
        at = other.find(_MARK)
        if at < 0:  # dropped, or the template does otherwise without it
            return 0, 0
        return _n_shared(whole, other[:at]), max(at, len(whole) - _n_shared(whole[::-1], other[at + 1 :][::-1]))

    def _end_of_content(self, chat: Chat, whole: str) -> int:
        """Find where the last content ends."""
        place = len(chat.messages) - 1
        parts = content_of(chat.messages[place])
        if not parts:
            return len(whole)
        return self._place(chat, whole, place, len(parts) - 1)[1] or len(whole)

    def _apply(self, chat: Chat, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        with _failures(chat):
            rendered: str = self.tokenizer.apply_chat_template(
                list(messages),
                tools=chat.tools,
                chat_template=self.template,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **chat.template_kwargs,
            )
            return rendered

    def _generated(self, chat: Chat) -> list[Span]:
        """Find what the template marks as generated."""
        from transformers.utils.chat_template_utils import render_jinja_template

        with _failures(chat):
            _, spans = render_jinja_template(
                [list(chat.messages)],
                tools=chat.tools,
                chat_template=self.template,
                return_assistant_tokens_mask=True,
                **{**self.tokenizer.special_tokens_map, **chat.template_kwargs},
            )
            return [(int(start), int(stop)) for start, stop in spans[0]]


class _failures:
    """Say in one line why a template failed, and nothing of what a conversation says."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        from jinja2.exceptions import SecurityError

        if isinstance(error, SecurityError):
            raise TemplateError("it needs code that the sandbox of templates does not run") from error
        line = first_line(error)
        said = [part.strip() for message in self._chat.messages for part in _lines(message)]
        shown = not any(part and part[:20] in line for part in said)
        raise TemplateError(line if shown else type(error).__name__) from error


def choose_template(tokenizer: Any, given: str | None) -> str | None:
    """Return the template that was given, else the tokenizer's own; None without one."""
    if given is not None:
        return given
    try:
        template: str = tokenizer.get_chat_template()
    except (ValueError, AttributeError):  # none, or several and none of them the default
        return None
    return template


def read_template(path: str) -> str:
    """Read a chat template, and refuse what is no template of jinja.

    Raises
    ------
    ConfigError
        If it cannot be read, or is none.
    """
    from jinja2.exceptions import TemplateSyntaxError
    from transformers.utils.chat_template_utils import _compile_jinja_template

    try:
        text = Path(path).read_text(encoding="utf-8")
        _compile_jinja_template(text)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            f"--chat-template {path}: {why}; give a file of jinja, such as chat_template.jinja"
        ) from error
    except TemplateSyntaxError as error:
        raise ConfigError(f"--chat-template {path}: no template of jinja: {first_line(error)}") from error
    return text


def agreed(readers: Sequence[ChatReader]) -> tuple[list[ChatReader], list[str]]:
    """Let a model without a template read with the target's, and leave marks out where templates differ.

    Parameters
    ----------
    readers : sequence of ChatReader
        The target's first.

    Returns
    -------
    readers : list of ChatReader
    notes : list of str
    """
    target, notes = readers[0], list[str]()
    if target.form == "prompt_completion":
        if len({one.tokenizer.eos_token for one in readers}) == 1:
            return list(readers), []
        notes.append(
            "target and reference have different end tokens: those are left out, and only the completions are scored"
        )
        return [replace(one, with_marks=False) for one in readers], notes
    lent = [replace(one, template=target.template) if one.template is None else one for one in readers]
    if n_lent := sum(one.template is None for one in readers[1:]) * (target.template is not None):
        notes.append(
            f"{n_lent} of {len(readers) - 1} references have no chat template: they read the conversations with the "
            "target's (--chat-template FILE gives all models one)"
        )
    if len({_writes(one) for one in lent}) > 1:
        lent = [replace(one, with_marks=False) for one in lent]
        notes.append(
            "target and reference have different chat templates: the marks that end a turn are left out, and only the "
            "contents are scored, the same characters under all models"
        )
    if target.template and "strftime_now" in target.template:
        notes.append("the chat template writes today's date: the same audit gives other numbers on another day")
    return lent, notes


def _writes(reader: ChatReader) -> tuple[str, str]:
    """Return what decides a rendering: the template, and the special tokens that it names."""
    template, known = reader.template or "", reader.tokenizer.special_tokens_map
    return template, str({name: known[name] for name in sorted(known) if name in template})


def check_use(reader: ChatReader, role: str, texts: Sequence[str], sample_ids: Sequence[str]) -> Iterator[str]:
    """See what a template does to all conversations, and yield what a reader of the numbers should know.

    Raises
    ------
    DataError
        For conversations that it cannot render, and where only contents are scored, for such as it changes.
    """
    failed: dict[str, list[str]] = {}
    n_trimmed = n_changed = 0
    missing: list[str] = []
    for text, name in zip(texts, sample_ids, strict=True):
        try:
            use = reader.use(text)
        except TemplateError as error:
            failed.setdefault(str(error), []).append(name)
            continue
        n_trimmed += use.n_trimmed > 0
        n_changed += use.n_changed > 0
        if use.is_missing and not reader.with_marks:
            missing.append(name)
    if failed:
        why, names = next(iter(failed.items()))
        n_failed = sum(map(len, failed.values()))
        raise DataError(
            f"the chat template of the {role} fails on {n_failed} of {len(texts)} conversations ({_named(names)}): "
            f"{why}; give another with --chat-template FILE, or leave these out with --drop-ids"
        )
    if missing:
        raise DataError(
            f"the chat template of the {role} does not write what is scored as it is in {len(missing)} of {len(texts)} "
            f"conversations ({_named(missing)}), so that other characters would be compared: give all models one "
            "template with --chat-template FILE, or leave these out with --drop-ids"
        )
    if n_trimmed:
        yield f"the chat template of the {role} trims white space off contents of {n_trimmed} of {len(texts)} texts"
    if n_changed:
        yield (
            f"the chat template of the {role} changes or drops contents of {n_changed} of {len(texts)} texts: the "
            "model read them so, and so they are scored"
        )


def _strings(chat: Chat) -> tuple[str, str]:
    """Return prompt and completion, the latter empty if it was cut away."""
    prompt, *rest = (message["content"] for message in chat.messages)
    return prompt, rest[0] if rest else ""


def _marked(message: Mapping[str, Any], part: int) -> dict[str, Any]:
    """Put the mark in place of one content of a message."""
    content = message["content"]
    if isinstance(content, list):
        return {**message, "content": [{**b, "text": _MARK} if i == part else b for i, b in enumerate(content)]}
    return {**message, "content": _MARK}


def _n_shared(one: str, other: str) -> int:
    """Count the characters with which both begin."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def _lines(message: Mapping[str, Any]) -> list[str]:
    """Return the lines of everything that a message says."""
    return [line for text in content_of(message) for line in text.splitlines()]


def _named(names: Sequence[str]) -> str:
    return ", ".join(ascii(name) for name in names[:5]) + (" ..." if len(names) > 5 else "")

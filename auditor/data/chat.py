"""Conversations out of rows: the forms in which people keep them, made one form, with the part that was trained on."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["CHAT_COLUMNS", "FORMS", "Chat", "as_chat", "chat_columns"]

FORMS = {
    "text": "plain texts",
    "messages": "conversations of messages with role and content",
    "conversations": "conversations of messages with from and value (ShareGPT)",
    "prompt_completion": "a prompt and a completion as strings",
    "prompt_completion_messages": "a prompt and a completion as messages",
}
"""Forms of a row, and what each is in words."""

CHAT_COLUMNS = ("messages", "conversations", "conversation")
"""Columns that hold a list of messages."""

_BESIDE = ("tools", "chat_template_kwargs")
_RESERVED = frozenset({"add_generation_prompt", "chat_template", "conversation", "documents", "messages", "tools"})
_ROLES = {
    **dict.fromkeys(("system", "developer", "user", "assistant", "tool"), ""),
    **dict.fromkeys(("human",), "user"),
    **dict.fromkeys(("gpt", "bot", "model", "chatgpt"), "assistant"),
    **dict.fromkeys(("function", "function_response", "observation", "ipython"), "tool"),
}
"""Roles that are known, and what the template knows each as, if by another name."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A conversation, or a prompt with its completion.

    Parameters
    ----------
    messages : tuple of mappings
        With ``role`` and ``content``, and whatever else a template may use. Of a prompt and a completion of strings,
        two messages with the roles ``prompt`` and ``completion``.
    n_prompt : int or None
        How many of the messages are the prompt; None if the data does not say, and all turns of the assistant count.
    tools : list or None
        Descriptions of tools, as a template takes them.
    template_kwargs : mapping
        What a row gives its template besides.
    is_cut : bool
        Whether the last message ends where the window did: nothing comes after it, no end mark either.
    """

    messages: tuple[Message, ...]
    n_prompt: int | None = None
    tools: Any = None
    template_kwargs: Mapping[str, Any]
    is_cut: bool = False

    @property
    def is_templated(self) -> bool:
        """Whether a chat template makes the text; a prompt and a completion of strings are the text as they stand."""
        return bool(self.messages[0]["role"] != "prompt")

    def scored(self, score: str) -> list[int]:
        """Return the places of the messages of which tokens are scored: all, or those of the completion."""
        if score == "all":
            return list(range(len(self.messages)))
        if self.n_prompt is not None:
            return list(range(self.n_prompt, len(self.messages)))
        return [i for i, message in enumerate(self.messages) if message["role"] == "assistant"]

    def words(self, score: str = "all") -> str:
        """Return the contents of the scored messages, tool calls in JSON, a blank line between any two pieces.

        This plain text is what the hash of a sample, near-duplicates and everything else stand for that look at
        texts without a model. It names no role and has no mark of a template.
        """
        return "\n\n".join(piece for i in self.scored(score) for piece in _said(self.messages[i]))

    def contents(self) -> str:
        """Return the contents of all messages end to end: the characters at which a conversation can be cut."""
        return "".join(text for message in self.messages for text in content_of(message))

    def cut(self, stop: int) -> "Chat":
        """Cut after so many characters of `contents`; what follows is gone, and so are tool calls at the cut."""
        kept: list[Message] = []
        for message in self.messages:
            n = sum(map(len, content_of(message)))
            if stop <= n:
                last = {key: value for key, value in message.items() if key != "tool_calls"}
                kept.append(last | {"content": _first_characters(message.get("content"), stop)})
                break
            kept.append(message)
            stop -= n
        n_prompt = None if self.n_prompt is None else min(self.n_prompt, len(kept))
        return replace(self, messages=tuple(kept), n_prompt=n_prompt, is_cut=True)

    def changed(self, change: Callable[[str], str], score: str) -> "Chat":
        """Change the contents of the scored messages, and leave everything before them as it is."""
        scored = set(self.scored(score))
        messages = tuple(
            {**message, "content": _mapped(message.get("content"), change)} if i in scored else message
            for i, message in enumerate(self.messages)
        )
        return replace(self, messages=messages)

    def columns(self) -> dict[str, Any]:
        """Return the columns from which `as_chat` reads this again."""
        beside = {} if self.tools is None else {"tools": self.tools}
        if self.template_kwargs:
            beside["chat_template_kwargs"] = dict(self.template_kwargs)
        if not self.is_templated:
            prompt, completion = (message["content"] for message in self.messages)
            return {"prompt": prompt, "completion": completion}
        if self.n_prompt is None:
            return {"messages": list(self.messages), **beside}
        prompt, completion = self.messages[: self.n_prompt], self.messages[self.n_prompt :]
        return {"prompt": list(prompt), "completion": list(completion), **beside}

    def packed(self) -> str:
        """Write it as one string, which stands for it wherever a text goes."""
        fields = [list(self.messages), self.n_prompt, self.tools, dict(self.template_kwargs), self.is_cut]
        return json.dumps(fields, ensure_ascii=False, allow_nan=False)

    @classmethod
    def read(cls, packed: str) -> "Chat":
        """Read what `packed` wrote."""
        messages, n_prompt, tools, kwargs, is_cut = json.loads(packed)
        return cls(messages=tuple(messages), n_prompt=n_prompt, tools=tools, template_kwargs=kwargs, is_cut=is_cut)


def chat_columns(names: Sequence[str], text_field: str) -> tuple[str, ...]:
    """Choose the columns that hold a row's text: that of its name, or what conversations are kept in; () if none does.

    A column of the name of the texts goes first, then ``prompt`` with ``completion``, ``messages`` and
    ``conversations``, as TRL looks for them.

    Examples
    --------
    >>> chat_columns(["id", "prompt", "completion", "messages"], "text")
    ('prompt', 'completion')
    """
    found: tuple[str, ...] = (text_field,) if text_field in names else ()
    if not found and text_field == "text" and {"prompt", "completion"} <= set(names):
        found = ("prompt", "completion")
    elif not found and text_field == "text":
        found = tuple(name for name in CHAT_COLUMNS if name in names)[:1]
    is_chat = bool(found) and found != ("text",)
    return (*found, *(name for name in _BESIDE if is_chat and name in names))


def as_chat(record: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, str]:
    """Make the text of a row out of its columns.

    Parameters
    ----------
    record : mapping of str to object
        The row.
    columns : sequence of str
        From `chat_columns`.

    Returns
    -------
    form : str
        One of `FORMS`.
    text : str
        A conversation as `Chat.packed` writes it.

    Raises
    ------
    ValueError
        With what is wrong and what is allowed, and nothing of what the row says.
    """
    kwargs = _parsed(record.get("chat_template_kwargs")) or {}
    if not isinstance(kwargs, dict) or _RESERVED.intersection(kwargs):
        raise ValueError("chat_template_kwargs must be an object of values for the template, none of its own arguments")
    tools = _parsed(record.get("tools")) or None
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise ValueError("tools must be a list of JSON schemas, or that list as JSON")
    beside: dict[str, Any] = {"tools": tools, "template_kwargs": kwargs}
    if "completion" not in columns:
        found, form = _messages(_parsed(record[columns[0]]))
        _check_order(found)
        return form, _checked(Chat(messages=tuple(found), **beside))
    prompt, completion = record["prompt"], record["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        both = ({"role": "prompt", "content": prompt}, {"role": "completion", "content": completion})
        return "prompt_completion", _checked(Chat(messages=both, n_prompt=1, template_kwargs={}))
    if completion is None or completion in ("", []):
        raise ValueError("a completion is empty")
    if not (isinstance(prompt, list) and isinstance(completion, list)):
        raise ValueError("prompt and completion must both be strings, or both be lists of messages")
    before, after = _messages(prompt)[0], _messages(completion)[0]
    _check_order([*before, *after])
    if after[0]["role"] != "assistant":
        raise ValueError("roles are out of order: a completion starts with a turn of the assistant")
    chat = Chat(messages=(*before, *after), n_prompt=len(before), **beside)
    return "prompt_completion_messages", _checked(chat)


def content_of(message: Message) -> list[str]:
    """Return the strings of a message's content, in order."""
    content = message.get("content")
    if isinstance(content, list):
        return [block["text"] for block in content]
    return [content] if content else []


def _said(message: Message) -> list[str]:
    """Return everything that a message says: its content, its thoughts, its tool calls."""
    thoughts = [text for name in ("reasoning_content", "thinking") if isinstance(text := message.get(name), str)]
    calls = [json.dumps(call.get("function", call), ensure_ascii=False) for call in message.get("tool_calls") or []]
    return [*thoughts, *content_of(message), *calls]


def _messages(value: Any) -> tuple[list[dict[str, Any]], str]:
    """Read a list of messages in one of the two ways in which they are written, and say which."""
    if not isinstance(value, list) or not value:
        raise ValueError("messages must be a list of messages, and not empty")
    if not all(isinstance(message, dict) for message in value):
        raise ValueError("a message must be an object with role and content, or with from and value")
    by_value = {"from" in message and "value" in message for message in value}
    if len(by_value) > 1:
        raise ValueError("messages of mixed forms: some have role and content, others from and value; write all alike")
    if not by_value.pop():
        return [_message(message) for message in value], "messages"
    renamed = {"from": "role", "value": "content"}
    named = [{renamed.get(key, key): field for key, field in message.items()} for message in value]
    return [_message(message) for message in named], "conversations"


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """Check one message, and call its role as templates do."""
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError(f"a message has no role, or one that is not among {', '.join(_ROLES)}")
    if isinstance(content, list):
        if not all(isinstance(block, dict) and isinstance(block.get("text"), str) for block in content):
            raise ValueError("a message holds an image, or another part without text: only text can be scored")
    elif content is not None and not isinstance(content, str):
        raise ValueError("the content of a message must be a string, or a list of parts with a text")
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        raise ValueError("tool_calls must be a list of objects")
    return {**message, "role": _ROLES[role] or role}


def _check_order(messages: Sequence[Message]) -> None:
    """Refuse roles out of order, and a turn of the assistant that says nothing."""
    before = "start"
    allowed = {
        "system": ("start",),
        "developer": ("start",),
        "user": ("start", "system", "developer", "assistant"),
        "assistant": ("user", "tool"),
        "tool": ("assistant", "tool"),
    }
    for message in messages:
        role = message["role"]
        if before not in allowed[role]:
            after = "the start" if before == "start" else f"a turn of {before}"
            raise ValueError(
                f"roles are out of order: {role} after {after}; a conversation may start with system, and then user "
                "and assistant take turns, with tool after an assistant that called it"
            )
        if role == "assistant" and not _said(message):
            raise ValueError("a completion is empty: a turn of the assistant says nothing")
        before = role
    if not any(message["role"] == "assistant" for message in messages):
        raise ValueError("a conversation has no turn of the assistant, so nothing of it was trained on as a completion")


def _checked(chat: Chat) -> str:
    """Write a conversation, if it says something that UTF-8 can hold."""
    if not any(_said(chat.messages[i]) for i in chat.scored("completion")):
        raise ValueError("a completion is empty")
    try:
        packed = chat.packed()
        packed.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text has a lone surrogate (half of a \\u escape pair), which no UTF-8 can hold") from error
    except (TypeError, ValueError) as error:
        raise ValueError("a message holds what is no JSON: dates, bytes or NaN; write them as strings") from error
    return packed


def _parsed(value: Any) -> Any:
    """Read JSON that a table keeps as a string."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("messages and tools must be lists, or JSON of them") from error


def _mapped(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, list):
        return [{**block, "text": change(block["text"])} for block in content]
    return change(content) if content else content


def _first_characters(content: Any, stop: int) -> Any:
    """Keep the first characters of a content."""
    if not isinstance(content, list):
        return (content or "")[:stop]
    kept = []
    for block in content:
        kept.append({**block, "text": block["text"][:stop]})
        stop -= len(block["text"])
        if stop <= 0:
            break
    return kept

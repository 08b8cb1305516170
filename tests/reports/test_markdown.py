"""The Markdown report: nothing in the data becomes markup."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from markdown_it import MarkdownIt
from markdown_it.token import Token

from auditor.documents.result import AuditResult
from reports import RENDERERS
from reports.to_markdown import escaped

to_markdown = RENDERERS["md"]
HTML = {
    *("<code>", "</code>", "<br>", "<!-- -->", "<details>", "</details>", "<summary>", "</summary>"),
}  # fmt: skip


def tokens(source: str) -> Iterator[Token]:
    for block in MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(source):
        yield block
        yield from block.children or ()


def shape(source: str) -> list[str]:
    return [token.type for token in tokens(source) if token.type not in ("text", "text_special", "html_inline")]


def test_no_markup_comes_from_the_data(any_result: AuditResult) -> None:
    source = to_markdown(any_result)
    kinds = {token.type for token in tokens(source)}
    assert kinds.isdisjoint({"link_open", "image", "code_inline", "fence", "s_open", "em_open"})
    for token in tokens(source):
        if token.type == "html_inline":
            assert token.content in HTML
        if token.type == "html_block":
            start, _, rest = token.content.partition("<summary>")
            assert start in ("<details>", "</details>\n", "</details>")
            assert "<" not in rest.partition("</summary>")[0]


def test_hostile_text_changes_no_block(poisoned: Callable[[str], AuditResult], hostile_text: str) -> None:
    harmless = to_markdown(poisoned("a" * len(hostile_text)))
    assert shape(to_markdown(poisoned(hostile_text))) == shape(harmless)


def test_no_unseen_character_survives(any_result: AuditResult) -> None:
    source = to_markdown(any_result)
    assert source.encode("utf-8")
    assert {char for char in source if not char.isprintable()} <= {"\n"}


def test_escapes() -> None:
    assert escaped("a|b`c`[d](e)<f>&") == r"a\|b\`c\`\[d\](e)&lt;f&gt;&amp;"
    assert escaped("one\ntwo\x1b[0m") == r"one\\ntwo\\x1b\[0m"
    assert escaped("*x* _y_ ~z~ $w$ !") == r"\*x\* \_y\_ \~z\~ \$w\$ \!"


def test_nobody_is_called_and_nothing_is_linked() -> None:
    assert "@everyone" not in escaped("@everyone")
    assert "#1" not in escaped("#1")
    assert "https://" not in escaped("https://evil.example")
    assert "www." not in escaped("WWW.evil.example").lower()


def test_undefined_figures_are_numbered_notes(normal: AuditResult) -> None:
    source = to_markdown(normal)
    assert "| — (1) |" in source
    assert "(1) Not defined: an FPR of 0.001 needs at least 1,000 non-members, there are 480." in source


def test_it_is_compact(normal: AuditResult) -> None:
    shown = to_markdown(replace(normal, warnings=())).partition("<details>")[0]
    assert len(shown.splitlines()) < 80

"""The store of measures: nothing twice, nothing lost but what was in flight, and nothing believed that is damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks import Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine import measures
from auditor.engine.measures import Measures, MeasureStore
from auditor.engine.scoring import ScoringProgress
from auditor.engine.store import PassKey
from auditor.errors import ModelError, ResultError
from helpers import make_texts
from helpers_engine import measure_texts

BOTH = frozenset({Need.GRADIENTS, Need.CONTINUATIONS})
KEY = PassKey(weights_sha256="w", config_sha256="c", tokenizer_sha256="t", prefix_token_ids=(0,), dtype="float32")
ROWS = {b"a" * 32: [1.0, 0.1 + 0.2], b"b" * 32: [2.0, 1e-300]}


@pytest.fixture
def texts() -> list[str]:
    found = make_texts(5, seed=5)
    return [*found, found[0]]


@pytest.fixture
def measure(tiny_models: dict[str, Path], tmp_path: Path) -> Callable[..., Measures]:
    """Return a function that takes both measures of texts."""

    def run(texts: list[str], scores: str = "scores", needs: frozenset[Need] = BOTH, **options: Any) -> Measures:
        config = AuditConfig(target=ModelSpec(path=str(tiny_models["target"])), members=DataSpec(path="unused"))
        return measure_texts(config, texts, needs, scores_folder=tmp_path / scores, **options)

    return run


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every loaded model is added."""
    loaded: list[str] = []
    load_weights = measures.load_weights

    def watch(files: Any, **options: Any) -> Any:
        loaded.append(files.spec.path)
        return load_weights(files, **options)

    monkeypatch.setattr(measures, "load_weights", watch)
    return loaded


def store(folder: Path, n_values: int = 2, **options: Any) -> MeasureStore:
    return MeasureStore(folder, options.pop("kind", "kind"), options.pop("key", KEY), options or {"k": 1}, n_values)


def same(one: Measures, other: Measures) -> None:
    for name in ("norms", "written"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_store_gives_back_what_it_got(tmp_path: Path) -> None:
    one = store(tmp_path / "scores")
    assert list(one.rows()) == []
    one.append(ROWS)
    one.append({b"c" * 32: [3.0, 4.0]})
    assert dict(one.rows()) == {**ROWS, b"c" * 32: [3.0, 4.0]}
    assert one.path.stat().st_mode & 0o777 == 0o600
    assert list(store(tmp_path / "scores", n_values=3).rows()) == []  # lines of another length are not ours


def test_what_changes_numbers_changes_the_file(tmp_path: Path) -> None:
    import dataclasses

    others = [
        store(tmp_path),
        store(tmp_path, kind="other"),
        store(tmp_path, k=2),
        store(tmp_path, key=dataclasses.replace(KEY, dtype="bfloat16")),
    ]
    assert len({one.path for one in others}) == len(others)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_lines_keep_every_bit(values: list[float]) -> None:
    line = measures._line(b"key", values)
    assert measures._read_line(line) == (b"key", values)
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("n_left", [1, 40, -1])
def test_a_torn_line_is_cut_off(tmp_path: Path, n_left: int) -> None:
    one = store(tmp_path)
    one.append(ROWS)
    whole = one.path.read_bytes()
    first, second = whole.splitlines(keepends=True)
    one.path.write_bytes(first + second[:n_left])
    assert list(one.rows()) == list(ROWS.items())[:1]
    one.append({b"b" * 32: ROWS[b"b" * 32]})
    assert one.path.read_bytes() == whole


def test_only_a_torn_line(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.path.write_bytes(b'{"key": "aa')
    one.append(ROWS)
    assert dict(one.rows()) == ROWS
    assert len(one.path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b"2.0", b"2.5"),
        lambda line: line.replace(b"bbb", b"bbc", 1),
        lambda _: b"\xff\x00\n",
        lambda _: b"[]\n",
        lambda _: b'{"key": 1, "values": [], "crc32": 0}\n',
        lambda _: b'{"key": "a", "values": [1' + b"0" * 400 + b'], "crc32": 0}\n',
        lambda _: b"[" * 100_000 + b"\n",
    ],
)
def test_a_damaged_line_is_not_believed(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    one = store(tmp_path)
    one.append({**ROWS, b"c" * 32: [3.0, 4.0]})
    lines = one.path.read_bytes().splitlines(keepends=True)
    one.path.write_bytes(lines[0] + damage(lines[1]) + lines[2])
    assert [key for key, _ in one.rows()] == [b"a" * 32, b"c" * 32]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot write the measures"):
        store(tmp_path / "file").append(ROWS)
    one = store(tmp_path)
    one.path.mkdir()
    with pytest.raises(ResultError, match="cannot read the measures"):
        list(one.rows())


def test_nothing_twice(measure: Callable[..., Measures], texts: list[str], loads: list[str]) -> None:
    shown: list[ScoringProgress] = []
    first = measure(texts, on_progress=shown.append)
    assert (first.n_measured, first.n_reused, len(loads)) == (10, 0, 1)  # 5 distinct texts, each twice
    assert shown[-1].done_tokens == shown[-1].total_tokens > 0
    assert {one.label for one in shown} == {
        "loading the target",
        "computing gradients",
        "generating continuations",
    }
    steps = np.diff([one.done_tokens for one in shown])[:5]
    assert (np.diff(steps) <= 0).all()  # longest first
    again = measure(texts)
    assert (again.n_measured, again.n_reused, len(loads)) == (0, 10, 1)
    same(first, again)
    norms, written = again.gradient_norms(slice(4, 6)), again.continuations(slice(4, 6))
    assert norms is not None
    assert written is not None
    assert first.norms is not None
    assert {order: values.tolist() for order, values in norms.items()} == {
        order: first.norms[4:, i].tolist() for i, order in enumerate(("1", "2", "inf"))
    }
    np.testing.assert_array_equal(first.norms[0], first.norms[5])  # the same text
    assert written.recall.shape == written.zlib_bytes.shape == (2, 10)


def test_nothing_that_is_not_needed(measure: Callable[..., Measures], texts: list[str], loads: list[str]) -> None:
    nothing = measure(texts, needs=frozenset({Need.REFERENCE}))
    assert (loads, nothing.gradient_norms(slice(None)), nothing.continuations(slice(None))) == ([], None, None)
    assert measure(texts, needs=frozenset({Need.GRADIENTS})).continuations(slice(None)) is None


def test_an_interrupted_run_goes_on(
    measure: Callable[..., Measures], texts: list[str], loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = measure(texts, "unbroken")
    norms, n_calls = measures.gradient_norms, 0

    def dies(*arguments: Any) -> list[float]:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise KeyboardInterrupt
        return norms(*arguments)

    monkeypatch.setattr(measures, "gradient_norms", dies)
    with pytest.raises(KeyboardInterrupt):
        measure(texts)
    resumed = measure(texts[::-1])
    assert (resumed.n_measured, resumed.n_reused) == (8, 2)
    assert n_calls == 3 + 3
    assert resumed.norms is not None
    assert resumed.written is not None
    assert unbroken.norms is not None
    assert unbroken.written is not None
    np.testing.assert_array_equal(resumed.norms[::-1], unbroken.norms)
    np.testing.assert_array_equal(resumed.written[::-1], unbroken.written)


def test_written_as_it_goes(
    measure: Callable[..., Measures], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    n_rows: list[int] = []
    append = MeasureStore.append
    monkeypatch.setattr(MeasureStore, "append", lambda self, rows: n_rows.append(len(rows)) or append(self, rows))
    monkeypatch.setattr(measures, "_SECONDS_BETWEEN_WRITES", 0.0)
    measure(texts)
    assert n_rows == [1] * 10


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "out of memory lower --max-tokens or leave out"),
        (MemoryError(), "MemoryError; if it is out of memory"),
        (RuntimeError("element 0 of tensors"), "element 0 of tensors"),
    ],
)
def test_a_model_that_fails(
    measure: Callable[..., Measures], texts: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fails(*_: Any) -> list[float]:
        raise error

    monkeypatch.setattr(measures, "gradient_norms", fails)
    with pytest.raises(ModelError, match=said) as raised:
        measure(texts)
    assert "computing gradients failed on a text of up to" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not any(word in str(raised.value) for word in ("Ada", "tried"))

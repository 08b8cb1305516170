"""The score store: durable, keyed by all that matters, blind to torn and damaged rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.engine.forward import SequenceScores
from auditor.engine.store import PassKey, ScoreStore, concatenate


def read(root: Path, key: PassKey) -> dict[str, SequenceScores]:
    store = ScoreStore(root, key)
    found = {name.decode(): row for name, row in store.rows()}
    assert {name.decode() for name in store.keys().tolist()} == set(found)
    return found


KEY = PassKey(weights_sha256="w", config_sha256="c", tokenizer_sha256="t", prefix_token_ids=(0,), dtype="float32")


def scores(n: int, seed: int = 0) -> SequenceScores:
    rng = np.random.default_rng(seed)
    logprob, mean, variance = rng.normal(size=(3, n)).astype(np.float32)
    return SequenceScores(logprob, mean, variance, rng.integers(0, 9, n).astype(np.int32))


def assert_same(one: SequenceScores, other: SequenceScores) -> None:
    for name in ("logprob", "logprob_mean", "logprob_variance", "rank"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_round_trip_is_exact(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3), "b": scores(1, 1)})
        store.append({"c": scores(500, 2)})
        found = read(tmp_path, KEY)  # readable while it is being written
    assert list(found) == ["a", "b", "c"]
    assert_same(found["a"], scores(3))
    assert_same(found["c"], scores(500, 2))
    assert_same(read(tmp_path, KEY)["b"], scores(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "x"},
        {"config_sha256": "x"},
        {"tokenizer_sha256": "x"},
        {"prefix_token_ids": (1,)},
        {"prefix_token_ids": ()},
        {"dtype": "bfloat16"},
        {"scoring_version": 99},
    ],
)
def test_every_part_of_the_key_matters(tmp_path: Path, change: dict[str, object]) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})
    assert read(tmp_path, replace(KEY, **change)) == {}  # type: ignore[arg-type]


def test_a_torn_file_keeps_its_whole_batches(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        for i in range(5):
            store.append({f"k{i}": scores(50, i)})
    (path,) = tmp_path.glob("*/*.arrow")
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):  # killed at any byte
        path.write_bytes(whole[:length])
        found = read(tmp_path, KEY)
        assert list(found) == [f"k{i}" for i in range(len(found))]
        for i, row in enumerate(found.values()):
            assert_same(row, scores(50, i))


@pytest.mark.parametrize("seed", range(60))
def test_damage_is_never_decoded(tmp_path: Path, seed: int) -> None:
    """Flipped bits in Arrow bytes can crash the process that decodes them: nothing unchecked may get there."""
    with ScoreStore(tmp_path, KEY) as store:
        for i in range(4):
            store.append({f"k{i}": scores(200, i)})
    rng = np.random.default_rng(seed)
    damaged = sorted(tmp_path.glob("*/*.arrow" if seed % 3 else "*/*.ledger"))[0]
    content = bytearray(damaged.read_bytes())
    for place in rng.integers(0, len(content), rng.integers(1, 6)):
        content[place] ^= 1 << rng.integers(8)
    damaged.write_bytes(content)
    found = read(tmp_path, KEY)
    for i, row in enumerate(found.values()):
        assert_same(row, scores(200, i))
    assert len(found) < 4 or seed % 3 == 0  # damage to the data is always noticed


def test_a_file_without_a_ledger_is_not_believed(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})
    next(tmp_path.glob("*/*.ledger")).unlink()
    assert read(tmp_path, KEY) == {}


def test_the_store_is_for_its_owner_and_says_why(tmp_path: Path) -> None:
    with ScoreStore(tmp_path / "scores", KEY) as store:
        store.append({"a": scores(3)})
    assert (tmp_path / "scores").stat().st_mode & 0o077 == 0
    assert "confidential" in (tmp_path / "scores" / "README.txt").read_text()


def test_two_writers_share_a_folder(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as one, ScoreStore(tmp_path, KEY) as other:
        one.append({"a": scores(3)})
        other.append({"a": scores(3), "b": scores(4)})
    assert set(read(tmp_path, KEY)) == {"a", "b"}


def test_the_files_are_plain_arrow(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})
    (path,) = tmp_path.glob("*/*.arrow")
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        table = reader.read_all()
    assert table.column("key").to_pylist() == ["a"]


def test_windows_are_joined_in_order() -> None:
    joined = concatenate([scores(3), scores(2, 1)])
    np.testing.assert_array_equal(joined.logprob, np.concatenate([scores(3).logprob, scores(2, 1).logprob]))

"""The score store: durable, keyed by all that matters, blind to torn and damaged rows."""

import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.engine import token_file
from auditor.engine.forward import STATISTICS, SequenceScores
from auditor.engine.store import PassKey, ScoreStore, _CheckedFile, concatenate
from auditor.errors import ResultError
from helpers_engine import unsound_scores


def read(root: Path, key: PassKey) -> dict[str, SequenceScores]:
    store = ScoreStore(root, key)
    found = {name.decode(): row for name, row in store.rows()}
    assert {name.decode() for name in store.keys().tolist()} == set(found)
    return found


KEY = PassKey(weights_sha256="w", config_sha256="c", tokenizer_sha256="t", prefix_token_ids=(0,), dtype="float32")


def scores(n: int, seed: int = 0) -> SequenceScores:
    rng = np.random.default_rng(seed)
    logprob, mean, variance = rng.normal(size=(3, n)).astype(np.float32)
    tied = rng.integers(0, 2, n).astype(np.int32)
    return SequenceScores(logprob, mean, variance, rng.integers(0, 9, n).astype(np.int32), logprob / 2, mean / 2, tied)


def assert_same(one: SequenceScores, other: SequenceScores) -> None:
    for name in STATISTICS:
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


@pytest.mark.parametrize("kind", ["null", "NaN", "two lengths", "offsets", "decreasing", "far"])
def test_what_its_ledger_vouches_for_is_still_looked_at(tmp_path: Path, kind: str) -> None:
    """Offsets that lead out of a buffer end a process that follows them."""
    folder = tmp_path / KEY.folder_name
    folder.mkdir()
    for said in ("sound", kind):
        arrow, ledger = unsound_scores(said)
        (folder / f"{'0' * 32}.arrow").write_bytes(arrow)
        (folder / f"{'0' * 32}.ledger").write_bytes(ledger)
        if said == "sound":
            assert [list(values.logprob) for _, values in ScoreStore(tmp_path, KEY).rows()] == [[1, 2, 3], [4, 5, 6]]
        else:
            with pytest.raises(ResultError, match="holds no scores, though its ledger says so; remove both"):
                list(ScoreStore(tmp_path, KEY).rows())


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


def test_other_things_in_the_folder_are_ignored(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})
    folder = tmp_path / KEY.folder_name
    (folder / "notes.txt").write_text("mine")
    (folder / "foreign.arrow").write_bytes(b"no arrow at all")
    (folder / "dangling.arrow").symlink_to(tmp_path / "nowhere")
    (folder / "folder.arrow").mkdir()
    (folder / "folder.ledger").write_text("8 0\n")
    os.mkfifo(folder / "pipe.arrow")
    (folder / "pipe.ledger").write_text("8 0\n")
    (folder / "deep.arrow").symlink_to(folder / "deep.arrow")
    (folder / "0.arrow").write_bytes(b"x" * 8)
    (folder / "0.ledger").mkdir()
    assert list(read(tmp_path, KEY)) == ["a"]


def test_a_file_of_another_kind_with_a_ledger_is_ignored(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})
    schema = pa.schema([("key", pa.string()), ("logprob", pa.float64())])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch({"key": ["a"], "logprob": [0.5]}, schema=schema))
    content = sink.getvalue().to_pybytes()
    (tmp_path / KEY.folder_name / "other.arrow").write_bytes(content)
    (tmp_path / KEY.folder_name / "other.ledger").write_text(f"{len(content)} {zlib.crc32(content)}\n")
    rows = dict(ScoreStore(tmp_path, KEY).rows())
    assert list(rows) == [b"a"]
    assert_same(rows[b"a"], scores(3))


@pytest.mark.parametrize("lost", range(1, 12))
def test_a_torn_ledger_line_vouches_for_nothing(tmp_path: Path, lost: int) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        for i in range(3):
            store.append({f"k{i}": scores(50, i)})
    (ledger,) = tmp_path.glob("*/*.ledger")
    ledger.write_bytes(ledger.read_bytes()[:-lost])
    found = read(tmp_path, KEY)
    assert list(found) == ["k0", "k1"]
    with ScoreStore(tmp_path, KEY) as store:  # whoever goes on writes to a file of its own
        store.append({"k2": scores(50, 2)})
    assert_same(read(tmp_path, KEY)["k2"], scores(50, 2))


def test_a_store_behind_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with ScoreStore(tmp_path / "link", KEY) as store:
        store.append({"a": scores(3)})
    assert list(read(tmp_path / "real", KEY)) == ["a"]


def test_a_folder_whose_mode_cannot_be_changed_still_hides_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})
    assert list(read(tmp_path, KEY)) == ["a"]
    for path in [*tmp_path.glob("*/*.arrow"), *tmp_path.glob("*/*.ledger")]:
        assert path.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultError, match="cannot write the score store"), ScoreStore(tmp_path / "file", KEY):
        pass


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})

    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ResultError, match=r"cannot read the score store.*Input/output error"):
        list(ScoreStore(tmp_path, KEY).rows())


def test_a_full_disk_empties_nothing_and_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScoreStore(tmp_path, KEY) as store:
        store.append({"a": scores(3)})

    def refuse(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_CheckedFile, "write", refuse)
        with (
            pytest.raises(ResultError, match=r"No space left on device; what is in it is kept"),
            ScoreStore(tmp_path, KEY) as store,
        ):
            store.append({"b": scores(3)})
    assert list(read(tmp_path, KEY)) == ["a"]
    assert "confidential" in (tmp_path / "README.txt").read_text()


def test_a_disk_that_fills_at_the_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shut = _CheckedFile.shut

    def refuse(file: _CheckedFile) -> None:
        shut(file)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_CheckedFile, "shut", refuse)
    store = ScoreStore(tmp_path, KEY).__enter__()
    store.append({"a": scores(3)})
    with pytest.raises(ResultError, match="No space left"):
        store.__exit__(None, None, None)


def test_datasets_reads_the_files(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    with ScoreStore(tmp_path, KEY) as store:
        for i in range(3):
            store.append({f"k{i}": scores(5, i)})
    (path,) = tmp_path.glob("*/*.arrow")
    table = datasets.Dataset.from_file(str(path))
    assert table["key"][:] == ["k0", "k1", "k2"]
    np.testing.assert_array_equal(np.float32(table[2]["logprob"]), scores(5, 2).logprob)


def test_a_disk_that_takes_a_part_of_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is no error of the system; the rest must follow."""
    written = token_file.pwrite
    monkeypatch.setattr(token_file, "pwrite", lambda number, data, place: written(number, data[:7], place))
    rows = [(b"k0", scores(5)), (b"k1", scores(9, 1))]
    keys = np.array([b"k1", b"k0", b"k1"])
    found = token_file.TokenFile(keys, np.array([9, 5, 9]), rows).read(slice(0, 3))
    np.testing.assert_array_equal(found.logprob, np.concatenate([rows[i][1].logprob for i in (1, 0, 1)]))
    np.testing.assert_array_equal(found.rank, np.concatenate([rows[i][1].rank for i in (1, 0, 1)]))


def test_a_full_temporary_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_file, "pwrite", refuse)
    with pytest.raises(ResultError, match="TMPDIR"):
        token_file.TokenFile(np.array([b"k"]), np.array([3]), [(b"k", scores(3))])


def test_scores_of_an_older_version_are_known_and_not_read(tmp_path: Path) -> None:
    with ScoreStore(tmp_path, replace(KEY, scoring_version=3)) as store:
        store.append({"a": scores(3)})
    assert ScoreStore(tmp_path, KEY).has_older()
    assert not ScoreStore(tmp_path, replace(KEY, weights_sha256="x")).has_older()
    assert read(tmp_path, KEY) == {}

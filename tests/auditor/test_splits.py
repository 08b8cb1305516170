"""Splits drawn at random, and audits checked against their manifests."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.config import DataSpec
from auditor.data import SampleSet, drop_ids_text, load_samples, read_drop_ids
from auditor.data.near_duplicates import near_duplicate_pairs
from auditor.data.splits import make_split, write_split
from auditor.documents.files import to_text
from auditor.documents.split import read_manifest
from auditor.errors import ConfigError, DataError, ResultError
from auditor.soundness.split import check_manifest

Record = dict[str, object]


def text(seed: int, *, change: int | None = None) -> str:
    drawn = [f"w{number}" for number in np.random.default_rng(seed).integers(0, 10**6, 60)]
    if change is not None:
        drawn[change] = "changed"
    return " ".join(drawn)


def written(path: Path, records: Sequence[Record]) -> DataSpec:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return DataSpec(path=str(path))


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture
def corpus(tmp_path: Path) -> DataSpec:
    """60 texts, 3 copies of the first and 2 near-duplicates of the second, with ids."""
    texts = [text(i) for i in range(60)] + [text(0)] * 3 + [text(1, change=5), text(1, change=50)]
    return written(tmp_path / "corpus.jsonl", [{"id": f"d{i}", "text": one} for i, one in enumerate(texts)])


@pytest.fixture
def parts(corpus: DataSpec, tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    write_split(make_split(corpus, holdout_share=0.1, seed=4), folder)
    return folder


def loaded(folder: Path, drop: Path | None = None) -> SampleSet:
    paths = (folder / "members.jsonl", folder / "non_members.jsonl")
    members, non_members = (DataSpec(path=str(path)) for path in paths)
    return load_samples(members, non_members, drop=drop)


def test_every_distinct_text_goes_to_one_part_once(corpus: DataSpec, parts: Path) -> None:
    manifest = read_manifest(parts)
    assert (manifest.n_texts_read, manifest.n_copies_dropped, manifest.n_near_duplicates_dropped) == (65, 3, 2)
    by_part = [lines(parts / f"{name}.jsonl") for name in ("members", "non_members", "holdout")]
    assert [len(part) for part in by_part] == [30, 24, 6]
    assert sorted(str(one["id"]) for part in by_part for one in part) == sorted(f"d{i}" for i in range(60))
    source = {one["id"]: one["text"] for one in lines(Path(corpus.path))}
    for part in by_part:
        places = [int(str(one["id"])[1:]) for one in part]
        assert places == sorted(places)  # the order of the source
    assert all(one["text"] == source[one["id"]] for part in by_part for one in part)


def test_the_manifest_holds_hashes_in_order_and_no_text(corpus: DataSpec, parts: Path) -> None:
    manifest = read_manifest(parts)
    for name, side in (("members", manifest.members), ("non_members", manifest.non_members)):
        texts = [str(one["text"]) for one in lines(parts / f"{name}.jsonl")]
        assert list(side.text_sha256) == [hashlib.sha256(one.encode()).hexdigest() for one in texts]
        assert (side.n_texts, side.n_bytes, side.n_groups) == (len(texts), sum(map(len, texts)), None)
    document = (parts / "manifest.json").read_text()
    assert not any(word in document for word in text(7).split())
    digest = hashlib.sha256()
    for one in lines(Path(corpus.path)):
        for part in (str(one["id"]).encode(), str(one["text"]).encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    assert manifest.source_sha256 == digest.hexdigest()


def test_the_seed_decides(corpus: DataSpec) -> None:
    first, again, other = (make_split(corpus, seed=seed) for seed in (1, 1, 2))
    assert to_text(first.manifest) == to_text(again.manifest)
    assert first.manifest.members != other.manifest.members


def test_every_text_is_a_member_equally_often(tmp_path: Path) -> None:
    spec = written(tmp_path / "c.jsonl", [{"text": text(i)} for i in range(80)])
    runs = 100
    times = np.zeros(80)
    for seed in range(runs):
        times[make_split(spec, member_share=0.25, near_duplicates=None, seed=seed).rows["members"]] += 1
    assert times.sum() == 20 * runs  # always a quarter of them
    assert np.abs(times - 0.25 * runs).max() < 4.5 * (runs * 0.25 * 0.75) ** 0.5


def test_near_duplicates_can_be_kept(corpus: DataSpec) -> None:
    manifest = make_split(corpus, near_duplicates=None).manifest
    assert (manifest.near_duplicates, manifest.n_near_duplicates_dropped, manifest.n_copies_dropped) == (None, 0, 3)
    assert manifest.members.n_texts + manifest.non_members.n_texts == 62


def test_no_near_duplicate_is_left_between_the_parts(parts: Path) -> None:
    assert near_duplicate_pairs(list(loaded(parts).texts)).first.size == 0


def test_groups_stay_together(tmp_path: Path) -> None:
    groups = [f"g{i // 5}" if i < 90 else None for i in range(120)]
    spec = written(tmp_path / "c.jsonl", [{"text": text(i), "group": group} for i, group in enumerate(groups)])
    split = make_split(spec, by_group=True, member_share=0.4, seed=3)
    sides = [{groups[row] for row in split.rows[name]} - {None} for name in ("members", "non_members")]
    assert sides[0].isdisjoint(sides[1])
    assert sum(map(len, sides)) == 18
    assert abs(split.rows["members"].size - 48) <= 2  # as near as groups of five come
    assert split.manifest.members.n_groups == len(sides[0])
    apart = make_split(spec, member_share=0.4, seed=3)
    assert {groups[row] for row in apart.rows["members"]} & {groups[row] for row in apart.rows["non_members"]} - {None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"member_share": 0.0}, "--member-share must lie between 0 and 1"),
        ({"member_share": 1.0}, "--member-share must lie between 0 and 1"),
        ({"member_share": float("nan")}, "--member-share must lie between 0 and 1"),
        ({"holdout_share": 0.5}, "--holdout-share"),
        ({"holdout_share": -0.1}, "--holdout-share"),
        ({"near_duplicates": 0.0}, "--near-duplicates"),
        ({"seed": -1}, "seed"),
        ({"by_group": True}, "--by-group: no text has a group"),
    ],
)
def test_impossible_options(corpus: DataSpec, options: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_split(corpus, **options)


def test_too_few_texts_and_shared_ids(tmp_path: Path) -> None:
    few = written(tmp_path / "few.jsonl", [{"text": text(i)} for i in range(39)])
    with pytest.raises(DataError, match=r"members: 19 of the 39|members: 20 of the 39|at least 20 on each side"):
        make_split(few)
    twice = written(tmp_path / "twice.jsonl", [{"text": text(i), "id": "same"} for i in range(50)])
    with pytest.raises(DataError, match="an id may stand for one sample"):
        make_split(twice)


def test_an_audit_of_the_parts_keeps_to_the_manifest(parts: Path) -> None:
    check = check_manifest(parts / "manifest.json", loaded(parts))
    assert (check.verdict, check.figure, check.sample_ids, check.remedy) == ("pass", 0.0, (), None)
    assert "30 of 30 members and 24 of 24 non-members" in check.detail


def test_a_subset_passes_and_its_share_is_said(parts: Path, tmp_path: Path) -> None:
    ids = [str(one["id"]) for one in lines(parts / "members.jsonl")[:10]]
    drop = tmp_path / "drop.txt"
    drop.write_text(drop_ids_text(ids, comment="why"))
    check = check_manifest(parts, loaded(parts, drop))
    assert check.verdict == "pass"
    assert "20 of 30 members" in check.detail


Edit = Callable[[list[Record], list[Record], list[Record]], None]


@pytest.mark.parametrize(
    ("edit", "verdict", "said"),
    [
        (lambda members, others, held: (others.append(members.pop(3)), None)[1], "veto", "1 on the other side"),
        (lambda members, others, held: (members.append(others.pop(3)), None)[1], "veto", "1 on the other side"),
        (lambda members, others, held: members.append(held[0]), "veto", "1 on the other side"),
        (lambda members, others, held: others.append(held[0]), "warn", "1 non-members of its holdout"),
        (lambda members, others, held: others.append({"id": "new", "text": "unheard of"}), "warn", "1 not in it"),
    ],
)
def test_a_text_that_is_not_where_the_manifest_put_it(parts: Path, edit: Edit, verdict: str, said: str) -> None:
    by_part = [lines(parts / f"{name}.jsonl") for name in ("members", "non_members", "holdout")]
    before = [{str(one["id"]) for one in part} for part in by_part[:2]]
    edit(*by_part)
    after = [{str(one["id"]) for one in part} for part in by_part[:2]]
    moved = (after[0] - before[0]) | (after[1] - before[1])
    for name, part in zip(("members", "non_members"), by_part, strict=False):
        written(parts / f"{name}.jsonl", part)
    check = check_manifest(parts, loaded(parts))
    assert check.verdict == verdict
    assert said in check.detail
    assert set(check.sample_ids) == moved
    assert len(moved) == check.figure == 1


@pytest.mark.parametrize(
    ("n_members", "n_others", "verdict"),
    [(15, 0, "warn"), (16, 0, "veto"), (0, 12, "warn"), (0, 13, "veto"), (30, 24, "veto")],
)
def test_a_side_of_which_most_is_unknown_is_that_of_another_split(
    parts: Path, n_members: int, n_others: int, verdict: str
) -> None:
    """Of 30 members and 24 non-members this many are replaced by texts that the manifest never saw."""
    for name, n in (("members", n_members), ("non_members", n_others)):
        known = lines(parts / f"{name}.jsonl")
        strange = [{"id": f"{name}-{i}", "text": f"unheard of {name} {i}"} for i in range(n)]
        written(parts / f"{name}.jsonl", [*strange, *known[n:]])
    check = check_manifest(parts, loaded(parts))
    assert (check.verdict, check.figure) == (verdict, n_members + n_others)
    named = [side for side, n in (("members", n_members), ("non-members", n_others)) if n]
    assert (f"another split: it does not know most {' and '.join(named)}" in check.detail) == (verdict == "veto")
    assert check.sample_ids == ()


def test_a_manifest_that_is_none(parts: Path, tmp_path: Path) -> None:
    path = parts / "manifest.json"
    path.write_text(path.read_text().replace('"kind": "split"', '"kind": "capacity"'))
    with pytest.raises(ResultError, match="not a split manifest"):
        read_manifest(path)
    with pytest.raises(ResultError, match="cannot read"):
        read_manifest(tmp_path / "none.json")


def test_a_manifest_that_was_changed_is_refused(parts: Path) -> None:
    path = parts / "manifest.json"
    written_as = json.loads(path.read_text())
    for change in ({"seed": 5}, {"members": written_as["non_members"]}, {"content_sha256": "0" * 64}):
        path.write_text(json.dumps(written_as | change))
        with pytest.raises(ResultError, match="content_sha256 is not that of the rest"):
            read_manifest(path)
    path.write_text(json.dumps(written_as))  # laid out otherwise
    assert read_manifest(path).seed == written_as["seed"]
    side = written_as["members"] | {"text_sha256": written_as["members"]["text_sha256"][1:]}
    path.write_text(json.dumps(written_as | {"content_sha256": None, "members": side}))  # an older file
    with pytest.raises(ResultError, match="n_texts is 30, and it names 29 texts"):
        read_manifest(path)


def test_the_manifest_is_read_back_as_it_was(corpus: DataSpec, parts: Path) -> None:
    made = make_split(corpus, holdout_share=0.1, seed=4).manifest
    assert read_manifest(parts) == replace(made, notes=())


# Leaving samples out


@pytest.fixture
def two_sides(tmp_path: Path) -> tuple[DataSpec, DataSpec]:
    members = written(tmp_path / "m.jsonl", [{"text": f"member text {i}"} for i in range(4)])
    others = written(tmp_path / "n.jsonl", [{"text": f"other text {i}", "id": f"#{i}"} for i in range(3)])
    return members, others


def test_samples_are_left_out_and_the_other_ids_stay(two_sides: tuple[DataSpec, DataSpec], tmp_path: Path) -> None:
    drop = tmp_path / "drop.txt"
    drop.write_text('# a comment\n\nmember-1\r\n  \n"#0"\n', encoding="utf-8")
    data = load_samples(*two_sides, drop=drop)
    assert data.ids == ("member-0", "member-2", "member-3", "#1", "#2")
    assert list(data.texts) == ["member text 0", "member text 2", "member text 3", "other text 1", "other text 2"]
    assert (data.n_dropped("members"), data.n_dropped("non_members")) == (1, 1)
    assert data.notes["members"] == ("left out 1 sample named with --drop-ids",)
    whole = load_samples(*two_sides)
    assert (whole.n_dropped("members"), whole.notes["members"]) == (0, ())


def test_dropping_can_mend_a_text_on_both_sides(two_sides: tuple[DataSpec, DataSpec], tmp_path: Path) -> None:
    members = two_sides[0]
    others = written(tmp_path / "o.jsonl", [{"text": "member text 1"}, {"text": "fine"}])
    drop = tmp_path / "drop.txt"
    drop.write_text("non_member-0\n")
    assert load_samples(members, others, drop=drop).ids[-1] == "non_member-1"


def test_ids_that_no_sample_has_are_named(two_sides: tuple[DataSpec, DataSpec], tmp_path: Path) -> None:
    drop = tmp_path / "drop.txt"
    drop.write_text("member-0\n" + "".join(f"x{i}\n" for i in range(7)))
    with pytest.raises(DataError, match=r"7 ids of no sample \(line \d+"):
        load_samples(*two_sides, drop=drop)


def test_a_side_is_never_left_out_whole(two_sides: tuple[DataSpec, DataSpec], tmp_path: Path) -> None:
    drop = tmp_path / "drop.txt"
    drop.write_text(drop_ids_text(["#0", "#1", "#2"], comment="all"))
    with pytest.raises(DataError, match="non_members: --drop-ids names every sample"):
        load_samples(*two_sides, drop=drop)


def test_a_file_that_cannot_be_read(two_sides: tuple[DataSpec, DataSpec], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--drop-ids: cannot read"):
        load_samples(*two_sides, drop=tmp_path / "none.txt")
    (tmp_path / "bad.txt").write_text('member-0\n"half\n')
    with pytest.raises(DataError, match="line 2: a line that starts with a quote"):
        load_samples(*two_sides, drop=tmp_path / "bad.txt")


def test_any_id_comes_back(tmp_path: Path) -> None:
    ids = [
        "plain",
        "#hash",
        '"quoted"',
        "two\nlines",
        " spaces ",
        "  ",
        "",
        "\u2028",
        "é",
        "tab\t",
        "{}",
        "\\",
        "\ufeff",
    ]
    path = tmp_path / "drop.txt"
    path.write_text(drop_ids_text([*ids, "plain"], comment="two\nlines"), encoding="utf-8", newline="\n")
    assert set(read_drop_ids(path)) == set(ids)
    assert path.read_text().count("plain") == 1


def test_every_column_is_kept(tmp_path: Path) -> None:
    """A date and a number of Parquet, a missing one, and nested values; JSON has all of them."""
    n = 50
    table = pa.table(
        {
            "author": [f"author {i}" for i in range(n)],
            "text": [text(i) for i in range(n)],
            "day": [date(2026, 1, 1)] * n,
            "score": [float("nan"), *np.arange(1.0, n)],
            "tags": [["a", "b"]] * n,
            "copies": [2] * n,
        }
    )
    pq.write_table(table, tmp_path / "corpus.parquet")
    write_split(make_split(DataSpec(path=str(tmp_path / "corpus.parquet"))), tmp_path)
    rows = lines(tmp_path / "members.jsonl") + lines(tmp_path / "non_members.jsonl")
    assert len(rows) == n
    for row in rows:
        number = int(str(row["author"]).split()[1])
        assert row == {
            "id": f"data-{number}",
            "text": text(number),
            "group": None,
            "copies": 2,
            "author": f"author {number}",
            "day": "2026-01-01",
            "score": float(number) or None,
            "tags": ["a", "b"],
        }
    loaded(tmp_path)


def test_other_columns_may_be_missing_or_hostile(tmp_path: Path) -> None:
    source = written(
        tmp_path / "corpus.jsonl",
        [{"text": text(i), **({"note": "\ud800 \n\u2028"} if i % 2 else {})} for i in range(50)],
    )
    write_split(make_split(source), tmp_path)
    rows = lines(tmp_path / "members.jsonl") + lines(tmp_path / "non_members.jsonl")
    assert sorted(row.get("note", "none") for row in rows) == ["none"] * 25 + ["\ud800 \n\u2028"] * 25  # type: ignore[type-var]


def test_a_second_column_named_text_is_not_lost(tmp_path: Path) -> None:
    source = written(tmp_path / "corpus.jsonl", [{"body": text(i), "text": "title"} for i in range(50)])
    with pytest.raises(ConfigError, match="has a column 'text' too"):
        make_split(replace(source, text_field="body"))


def test_one_group_only_is_named(tmp_path: Path) -> None:
    source = written(tmp_path / "corpus.jsonl", [{"text": text(i), "group": "all"} for i in range(50)])
    with pytest.raises(ConfigError, match="all 50 texts are of one group"):
        make_split(source, by_group=True)
    two = written(tmp_path / "two.jsonl", [{"text": text(i), "group": "a" if i else "b"} for i in range(50)])
    with pytest.raises(DataError, match="of the 50 texts there are, and 2 groups stay whole") as refused:
        make_split(two, by_group=True)
    assert "dropping" not in str(refused.value)

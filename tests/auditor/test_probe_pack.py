"""A pack: what it holds, that it is read back or refused, and that an audit with it is an audit with the models."""

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.documents.files import to_text
from auditor.engine.loading.recorded import RECORD, read_record
from auditor.engine.store import ScoreStore
from auditor.errors import AuditError, ConfigError, DataError, ResultError
from auditor.packs.manifest import PackManifest
from auditor.packs.reading import opened_pack, read_pack
from auditor.packs.writing import make_pack
from helpers_engine import unsound_scores

Rewrite = Callable[[zipfile.ZipFile, zipfile.ZipFile], None]


@pytest.fixture(scope="session")
def packed(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PackManifest]:
    """Pack the tiny texts with one reference."""
    path = tmp_path_factory.mktemp("pack") / "probe.pack"
    return path, make_pack(options(tiny_models, tiny_data), path)


def options(models: dict[str, Path], data: dict[str, Path], **more: object) -> dict[str, Any]:
    given: dict[str, Any] = {"references": [str(models["reference"])]}
    return given | {name: str(path) for name, path in data.items()} | more


def test_the_manifest_says_what_is_inside(packed: tuple[Path, PackManifest], tiny_data: dict[str, Path]) -> None:
    path, manifest = packed
    assert read_pack(path) == manifest
    assert (manifest.members.n_samples, manifest.members.path) == (30, str(tiny_data["members"]))
    assert manifest.window_tokens == 63 or manifest.window_tokens == 64
    assert manifest.settings == {"dtype": "float32"}
    assert {check.name for check in manifest.soundness} >= {"near_duplicates", "ngram_overlap"}
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    assert names == {"manifest.json", *manifest.files}
    assert {"members.jsonl", "non_members.jsonl", "references/0/config.json", "references/0/tokenizer.json"} <= names
    assert not [name for name in names if "safetensors" in name or RECORD in name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "confidential" in manifest.warning


def test_it_is_unpacked_for_its_owner_only_and_removed(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened_pack(packed[0], tmp_path / "scores") as pack:
            folder = pack.folder
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            texts = [folder / "members.jsonl", *(tmp_path / "scores").glob("*/*.arrow")]
            assert len(texts) == 2
            for file in [*texts, *(tmp_path / "scores").glob("*/*.ledger")]:
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    finally:
        os.umask(before)
    assert not folder.exists()


def test_rows_are_those_of_the_store_it_was_made_from(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    scores = tmp_path / "scores"
    seen = list[str]()
    manifest = make_pack(
        options(tiny_models, tiny_data), tmp_path / "a.pack", scores_folder=scores,
        on_progress=lambda now: seen.append(now.label),
    )  # fmt: skip
    assert set(seen) == {"loading the reference", "scoring the reference"}  # no target is run
    key = manifest.references[0].key
    expected = {row: values.logprob.tolist() for row, values in ScoreStore(scores, key).rows()}
    assert len(expected) == 60
    with opened_pack(tmp_path / "a.pack", tmp_path / "others"):
        found = {row: values.logprob.tolist() for row, values in ScoreStore(tmp_path / "others", key).rows()}
    assert found == expected


def test_unpacking_twice_into_a_store_adds_nothing(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    for _ in range(2):
        with opened_pack(packed[0], tmp_path / "scores"):
            pass
    assert len(list((tmp_path / "scores").glob("*/*.arrow"))) == 1


def rewritten(packed: tuple[Path, PackManifest], path: Path, **changes: Any) -> Path:
    """Write the pack again with other members: None leaves one out; a manifest is a document."""
    with zipfile.ZipFile(packed[0]) as old, zipfile.ZipFile(path, "w") as new:
        members: dict[str, Any] = {name: old.read(name) for name in old.namelist()}
        for name, content in (members | changes).items():
            if content is not None:
                new.writestr(zipfile.ZipInfo(name), content)
    return path


def with_manifest(packed: tuple[Path, PackManifest], path: Path, members: dict[str, bytes], **changes: Any) -> Path:
    """Write the pack again with members that its manifest vouches for."""
    import hashlib

    files = {**packed[1].files, **{name: hashlib.sha256(content).hexdigest() for name, content in members.items()}}
    manifest = replace(packed[1], files=files, **changes)
    return rewritten(packed, path, **members, **{"manifest.json": to_text(manifest).encode()})


HOSTILE_NAMES = ["../evil.jsonl", "/tmp/evil.jsonl", "references/0/../../../evil.json", "references/0/model.py",
                 "references/0/pytorch_model.bin", "scores/evil.arrow", "members.jsonl/x", "references\\0\\x.json",
                 "references/0/model.safetensors", f"references/0/{RECORD}/x.json", "references/00/config.json",
                 "references/0/adapter_config.json", "references/0/generation_config.json"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("vouched", [True, False])
def test_a_member_that_does_not_belong_is_refused(
    packed: tuple[Path, PackManifest], tmp_path: Path, name: str, vouched: bool
) -> None:
    path = tmp_path / "bad.pack"
    bad = with_manifest(packed, path, {name: b"{}"}) if vouched else rewritten(packed, path, **{name: b"{}"})
    with pytest.raises(DataError, match="1 members missing or unknown"), opened_pack(bad, tmp_path / "scores"):
        pass
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


@pytest.mark.parametrize("name", ["references/1/config.json", f"scores/{'0' * 20}/{'0' * 32}.arrow"])
def test_a_member_of_no_reference_is_refused(packed: tuple[Path, PackManifest], tmp_path: Path, name: str) -> None:
    bad = with_manifest(packed, tmp_path / "bad.pack", {name: b"{}"})
    with pytest.raises(DataError, match="belongs to no text and no reference"), opened_pack(bad, tmp_path / "scores"):
        pass


@pytest.mark.parametrize("side", ["members", "non_members"])
def test_a_pack_of_fewer_or_other_texts_than_it_says_is_refused(
    packed: tuple[Path, PackManifest], tmp_path: Path, side: str
) -> None:
    name, called = f"{side}.jsonl", side.replace("_", "-")
    with zipfile.ZipFile(packed[0]) as archive:
        lines = archive.read(name).splitlines(keepends=True)
    other = [lines[0].replace(b'"text": "', b'"text": "Another ')]
    for kept, said in (
        (lines[:12], f"it holds 12 {called}, its manifest says 30"),
        ([*lines, b'{"id": "more", "text": "One more."}\n'], f"it holds 31 {called}, its manifest says 30"),
        ([*other, *lines[1:]], f"its {called} are not those of its manifest"),
        (lines[::-1], f"its {called} are not those of its manifest"),
        ([], "its texts cannot be used"),
    ):
        bad = with_manifest(packed, tmp_path / "bad.pack", {name: b"".join(kept)})
        with pytest.raises(DataError, match=said) as refused, opened_pack(bad, tmp_path / "scores"):
            pass
        assert "\n" not in str(refused.value)
        assert "auditor-pack-" not in str(refused.value)
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and one.name != "bad.pack"]


def test_a_pack_without_a_side_that_it_names_is_refused(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    files = {name: digest for name, digest in packed[1].files.items() if name != "members.jsonl"}
    manifest = to_text(replace(packed[1], files=files)).encode()
    bad = rewritten(packed, tmp_path / "bad.pack", **{"members.jsonl": None, "manifest.json": manifest})
    with pytest.raises(DataError, match=r"members.jsonl is missing"), opened_pack(bad, tmp_path / "scores"):
        pass


@pytest.mark.parametrize("kind", ["null", "NaN", "two lengths", "offsets", "twice"])
def test_scores_that_are_not_sound_are_refused_before_any_is_used(
    packed: tuple[Path, PackManifest], tmp_path: Path, kind: str
) -> None:
    key = packed[1].references[0].key
    name = f"scores/{key.folder_name}/{'0' * 32}"
    arrow, ledger = unsound_scores(kind)
    bad = with_manifest(packed, tmp_path / "bad.pack", {f"{name}.arrow": arrow, f"{name}.ledger": ledger})
    with pytest.raises(DataError, match="damaged: scores") as refused, opened_pack(bad, tmp_path / "scores"):
        pass
    assert "\n" not in str(refused.value)
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and one.name != "bad.pack"]


def test_a_changed_or_missing_member_is_found(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    for content, said in ((b'{"text": "other"}\n', r"not what its manifest says"), (None, "missing or unknown")):
        bad = rewritten(packed, tmp_path / "bad.pack", **{"members.jsonl": content})
        with pytest.raises(DataError, match=said), opened_pack(bad, tmp_path / "scores"):
            pass


def test_bytes_changed_anywhere_are_refused_in_one_line(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    content, bad, n_unused = packed[0].read_bytes(), tmp_path / "bad.pack", 0
    for place in range(40, len(content), len(content) // 20):
        bad.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        said = ""
        try:
            with opened_pack(bad, tmp_path / f"scores{place}") as pack:
                n_unused += 1  # a field of a header that nobody reads: what is unpacked has the hashes of the manifest
                assert pack.manifest == packed[1], place
        except AuditError as error:
            said = str(error)
        assert "\n" not in said
    assert n_unused < 4
    for size in (0, 10, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:size])
        with pytest.raises(DataError), opened_pack(bad, tmp_path / "scores"):
            pass


def test_compressed_encrypted_linked_and_doubled_members_are_refused(
    packed: tuple[Path, PackManifest], tmp_path: Path
) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    def squeeze(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_DEFLATED

    for change in (link, squeeze):
        with zipfile.ZipFile(packed[0]) as old, zipfile.ZipFile(tmp_path / "bad.pack", "w") as new:
            for name in old.namelist():
                info = zipfile.ZipInfo(name)
                if name == "members.jsonl":
                    change(info)
                new.writestr(info, old.read(name))
        with pytest.raises(DataError, match="compressed, encrypted or no plain file"):
            read_pack(tmp_path / "bad.pack")
    twice = zipfile.ZipFile(shutil.copy(packed[0], tmp_path / "twice.pack"), "a")
    with twice, pytest.warns(UserWarning, match="Duplicate name"):
        twice.writestr("members.jsonl", b"{}")
    with pytest.raises(DataError, match="stands in it twice"):
        read_pack(tmp_path / "twice.pack")


def test_code_in_a_configuration_is_refused_when_packed_and_unpacked(
    packed: tuple[Path, PackManifest], tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    config = json.loads((tiny_models["reference"] / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "somewhere--configuration.Evil"}
    text = json.dumps(config).replace("auto_map", "\\u0061uto_map").encode()
    bad = with_manifest(packed, tmp_path / "bad.pack", {"references/0/config.json": text})
    with pytest.raises(ConfigError, match="a pack holds no code"), opened_pack(bad, tmp_path / "scores"):
        pass
    shutil.copytree(tiny_models["reference"], tmp_path / "model")
    (tmp_path / "model" / "config.json").write_bytes(text)
    models = {"reference": tmp_path / "model"}
    with pytest.raises(AuditError, match="a pack holds no code"):
        make_pack(options(models, tiny_data), tmp_path / "other.pack")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"settings": {"target": "x"}}, DataError, "it settles 'target'"),
        ({"scoring_version": 1}, ConfigError, "pack again"),
        ({"schema_version": "9.0"}, ResultError, "newer than this auditor"),
    ],
)
def test_manifests_that_cannot_be_used(
    packed: tuple[Path, PackManifest], tmp_path: Path, changes: dict[str, Any], error: type[AuditError], said: str
) -> None:
    with pytest.raises(error, match=said):
        read_pack(with_manifest(packed, tmp_path / "bad.pack", {}, **changes))


def test_a_tokenizer_that_is_read_otherwise_is_told(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    with zipfile.ZipFile(packed[0]) as archive:
        tokenizer = json.loads(archive.read("references/0/tokenizer.json"))
    tokenizer["normalizer"] = {"type": "Lowercase"}
    bad = with_manifest(packed, tmp_path / "bad.pack", {"references/0/tokenizer.json": json.dumps(tokenizer).encode()})
    with pytest.raises(ConfigError, match="pack again with these versions"), opened_pack(bad, tmp_path / "scores"):
        pass


def test_a_record_does_not_stand_for_weights_that_are_here(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models["reference"], tmp_path / "model")
    (folder / RECORD).write_text('{"sha256": "0", "dtype": "float32", "window": null}')
    assert read_record(folder) is None
    (folder / "model.safetensors").unlink()
    assert read_record(folder) is not None


@pytest.mark.parametrize("key", ["references", "members", "attacks", "max_tokens", "seed", "drop_ids", "text_field"])
def test_what_a_pack_settles_cannot_be_given(packed: tuple[Path, PackManifest], tmp_path: Path, key: str) -> None:
    with opened_pack(packed[0], tmp_path / "scores") as pack:
        with pytest.raises(ConfigError, match=f"{key.replace('_', '-')} cannot be given with --pack"):
            pack.options({"target": "t", key: 1})
        with pytest.raises(ConfigError, match="bring code"):
            pack.options({"target": "t", "trust_remote_code": True})


def test_settings_go_into_the_pack(tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> None:
    settings = {"attacks": ["loss", "min_k:k=0.3"], "headline": "loss", "max_tokens": 16, "seed": 5,
                "fpr_targets": [0.1], "confidence": 0.9}  # fmt: skip
    manifest = make_pack(options(tiny_models, tiny_data, **settings), tmp_path / "a.pack")
    assert manifest.settings == {**settings, "dtype": "float32"}
    assert manifest.window_tokens == 16
    with pytest.raises(ConfigError, match="needs a --reference"):
        make_pack(options(tiny_models, tiny_data, references=[]), tmp_path / "b.pack")
    with pytest.raises(ConfigError, match="recall needs non-members of its own"):
        make_pack(options(tiny_models, tiny_data, attacks=["recall"]), tmp_path / "b.pack")
    assert not (tmp_path / "b.pack").exists()

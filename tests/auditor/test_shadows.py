"""Shadow models: halves, what each saw, training, going on after an interruption, and the manifest."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditor.config import ModelSpec
from auditor.data import Sample, SampleSet
from auditor.documents.files import to_text
from auditor.documents.shadows import ShadowManifest, load_shadows, pack_seen, unpack_seen
from auditor.engine.loading.models import load_weights, open_model
from auditor.engine.tokens import Encoder
from auditor.errors import AuditError, ConfigError, DataError, ResultError
from auditor.experiments import shadow_training
from auditor.experiments.shadow_texts import draw_halves, prepare_texts
from auditor.experiments.shadows import ShadowPlan, train_shadows
from helpers import save_gpt2

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks for it

Made = tuple[ShadowManifest, int]


def samples(texts: Sequence[str], groups: Sequence[str | None] | None = None) -> SampleSet:
    half = len(texts) // 2
    return SampleSet.of(
        (
            Sample(id=f"secret-id-{i}", text=text, is_member=i < half, group=groups[i] if groups else None)
            for i, text in enumerate(texts)
        ),
        {"members": (), "non_members": ()},
    )


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(5)
    words = ["the", "of", "and", "house", "river", "Ada", "was", "in", "it", "red"]
    return [f"{' '.join(rng.choice(words, 6))} {rng.integers(10**4)}" for _ in range(24)]


@pytest.fixture
def make(tiny_models: dict[str, Path], texts: list[str], tmp_path: Path) -> Callable[..., Made]:
    def call(folder: str = "out", data: SampleSet | None = None, **changes: Any) -> Made:
        plan = ShadowPlan(
            **{"target": ModelSpec(path=str(tiny_models["target"])), "n_models": 2, "steps": 3, "batch_size": 4}
            | changes
        )
        return train_shadows(plan, data or samples(texts), folder=tmp_path / folder)

    return call


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=12),
    copies=st.integers(1, 3),
    n_pairs=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_halves_are_complements_even_and_keep_units_whole(
    sizes: list[int], copies: int, n_pairs: int, seed: int
) -> None:
    units = np.repeat(np.arange(len(sizes)), sizes)
    many = np.full(len(units), copies)
    seen = draw_halves(units, many, n_pairs=n_pairs, seed=seed)
    assert np.array_equal(seen[::2], ~seen[1::2])
    assert (seen.sum(axis=0) == n_pairs).all()  # each text by half of all models
    for row in seen:
        assert 0 < row.sum() < len(units)
        assert all(len(set(row[units == unit])) == 1 for unit in range(len(sizes)))
        assert abs(copies * row.sum() - copies * len(units) / 2) <= copies * max(sizes) / 2
    assert np.array_equal(draw_halves(units, many, n_pairs=n_pairs + 1, seed=seed)[: 2 * n_pairs], seen)


def test_single_texts_are_split_in_the_middle_and_at_random() -> None:
    one = np.ones(101, dtype=np.int64)
    seen = draw_halves(np.arange(101), one, n_pairs=200, seed=0)
    assert set(seen.sum(axis=1).tolist()) == {50, 51}
    together = np.mean(seen[::2, 0] == seen[::2, 1])
    assert abs(together - 49.5 / 100) < 0.15  # two of 101 texts; 4 standard errors of 200 draws
    assert len({row.tobytes() for row in seen}) == 400


def test_one_unit_cannot_be_halved() -> None:
    with pytest.raises(DataError, match="belong together"):
        draw_halves(np.zeros(5, dtype=np.int64), np.ones(5, dtype=np.int64), n_pairs=1, seed=0)


def prepared(tiny_models: dict[str, Path], data: SampleSet, *, max_tokens: int | None = None) -> Any:
    files = open_model(ModelSpec(path=str(tiny_models["target"])))
    window = files.context_window
    encoder = Encoder.build(
        files.tokenizer, rule="auto", n_vocabulary=files.n_vocabulary, context_window=window, max_tokens=max_tokens
    )
    return prepare_texts(data, files, encoder), files


def test_copies_and_groups_make_units(tiny_models: dict[str, Path]) -> None:
    texts = ["one", "two", "three", "one", "four", "five", "three"]
    groups = ["g", "g", None, "h", "h", None, None]  # "one" links the groups g and h
    found, _ = prepared(tiny_models, samples(texts, groups))
    hashes = {Sample(id="", text=text, is_member=True).text_sha256: text for text in texts}
    by_unit: dict[int, set[str]] = {}
    for digest, unit in zip(found.sha256, found.units.tolist(), strict=True):
        by_unit.setdefault(unit, set()).add(hashes[digest])
    assert sorted(map(sorted, by_unit.values())) == [["five"], ["four", "one", "two"], ["three"]]
    copies = {hashes[digest]: n for digest, n in zip(found.sha256, found.copies.tolist(), strict=True)}
    assert copies == {"one": 2, "two": 1, "three": 2, "four": 1, "five": 1}


def test_texts_are_read_as_an_audit_reads_them(tiny_models: dict[str, Path]) -> None:
    found, files = prepared(tiny_models, samples(["in it", "the river of the house " * 9]), max_tokens=10)
    prefix = end = files.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    short, long = sorted(found.sequences, key=len)
    assert short == [prefix, *files.tokenizer("in it")["input_ids"], end]
    assert long == [prefix, *files.tokenizer("the river of the house " * 9)["input_ids"][:10]]  # cut: it does not end
    assert found.n_cut == 1


def test_an_end_token_has_room_or_is_left_out(tiny_models: dict[str, Path]) -> None:
    tokenizer = open_model(ModelSpec(path=str(tiny_models["target"]))).tokenizer
    texts = {len(tokenizer("é" * n + "x" * k)["input_ids"]): "é" * n + "x" * k for n in range(32) for k in range(3)}
    found, _ = prepared(tiny_models, samples([texts[63], texts[62]]))  # after the prefix, in a window of 64
    assert [len(sequence) for sequence in found.sequences] == [64, 64]
    assert sum(sequence[-1] == 0 for sequence in found.sequences) == 1
    assert found.n_cut == 0


def test_what_was_seen_is_written_bit_by_bit() -> None:
    assert pack_seen([True, False, False, True, False, False, False, False, True]) == "9080"
    seen = np.random.default_rng(0).random(77) < 0.5
    assert np.array_equal(unpack_seen(pack_seen(seen), 77), seen)


def test_each_shadow_is_trained_on_exactly_what_the_manifest_says(
    make: Callable[..., Made], texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[list[tuple[int, ...]]] = []
    real = shadow_training.train

    def spy(model: Any, sequences: Any, **options: Any) -> Any:
        streams.append([tuple(one.tolist()) for one in sequences])
        return real(model, sequences, **options)

    monkeypatch.setattr(shadow_training, "train", spy)
    data = samples([*texts, texts[-1], texts[-1]])  # the last text three times
    make(data=data, n_models=4)
    found = load_shadows(tmp_path / "out")
    seen = found.seen(data.text_sha256)
    files = open_model(ModelSpec.parse(str(found.models[0])))
    assert len(streams) == 4
    for stream, row in zip(streams, seen, strict=True):
        expected = [
            (0, *files.tokenizer(text)["input_ids"], 0) for text, saw in zip(data.texts, row, strict=True) if saw
        ]
        assert sorted(stream) == sorted(expected)
    assert (seen.sum(axis=0) == 2).all()


def test_an_audit_reads_who_saw_what(make: Callable[..., Made], texts: list[str], tmp_path: Path) -> None:
    manifest, _ = make(n_models=4)
    found = load_shadows(tmp_path / "out")
    assert found.manifest == manifest
    assert [model.name for model in found.models] == ["shadow-00", "shadow-01", "shadow-02", "shadow-03"]
    asked = samples([texts[3], "never offered", texts[0], texts[3], "nor this"]).text_sha256
    seen = found.seen(asked)
    for row, run in zip(seen, manifest.shadows, strict=True):
        bits = bin(int("1" + run.saw, 16))[3:]  # an oracle that knows no numpy
        place = {text: i for i, text in enumerate(manifest.texts)}
        assert row.tolist() == [digest in place and bits[place[digest]] == "1" for digest in asked]
    assert found.n_unknown(asked) == 2
    assert not seen[:, [1, 4]].any()
    assert found.seen([]).shape == (4, 0)
    for model, stated in zip(found.models, found.weights_sha256, strict=True):
        assert open_model(ModelSpec.parse(str(model))).weights_sha256 == stated
    assert len(set(found.weights_sha256)) == 4


def test_no_text_and_no_id_is_written(make: Callable[..., Made], texts: list[str], tmp_path: Path) -> None:
    make(data=samples(texts, [f"secret-group-{i}" for i in range(len(texts))]))
    for file in (tmp_path / "out").rglob("*.json"):
        if "tokenizer" not in file.name:
            written = file.read_text(encoding="utf-8")
            assert "secret" not in written
            assert not any(text in written for text in texts)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "shadow-00", "shadow-01"]


def test_the_same_texts_in_any_order_give_the_same_shadows(make: Callable[..., Made], texts: list[str]) -> None:
    torch.manual_seed(7)
    one, _ = make("one")
    torch.manual_seed(8)
    other, _ = make("other", samples(texts[::-1]))
    drop = {"seconds": 0.0}
    assert [replace(run, **drop) for run in one.shadows] == [replace(run, **drop) for run in other.shadows]
    assert make("third", seed=1)[0].shadows[0].saw != one.shadows[0].saw


def test_only_missing_shadows_are_trained(
    make: Callable[..., Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, n_reused = make(n_models=4)
    assert n_reused == 0
    gone = tmp_path / "out" / "shadow-02"
    gone.rename(tmp_path / "elsewhere")
    leftover = tmp_path / "out" / ".shadow-02.partial"
    leftover.mkdir()
    trained: list[int] = []
    real = shadow_training.train

    def spy(*arguments: Any, **options: Any) -> Any:
        trained.append(options["seed"])
        return real(*arguments, **options)

    monkeypatch.setattr(shadow_training, "train", spy)
    second, n_reused = make(n_models=4)
    assert (n_reused, trained) == (3, [first.shadows[2].seed])
    assert second.shadows[2].weights_sha256 == first.shadows[2].weights_sha256
    assert not leftover.exists()
    third, n_reused = make(n_models=6)  # more of the same
    assert n_reused == 4
    assert third.shadows[:4] == second.shadows


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 4}, r"steps \(3 there, 4 now\)"),
        ({"steps": None}, "epochs"),
        ({"learning_rate": 0.5}, "learning-rate"),
        ({"batch_size": 5}, "batch-size"),
        ({"max_tokens": 4}, "window"),
        ({"seed": 3}, "seed"),
        ({"target": "other"}, "the tokenizer"),
        ({"target": "reference", "base": "reference"}, "start .*the weights of the base"),
        ({"data": samples(["a b", "c d", "e f"])}, "the texts or their groups"),
    ],
)
def test_shadows_trained_otherwise_are_refused(
    make: Callable[..., Made], tiny_models: dict[str, Path], change: dict[str, Any], named: str
) -> None:
    make()
    change = {
        key: ModelSpec(path=str(tiny_models[value])) if key in ("target", "base") else value
        for key, value in change.items()
    }
    with pytest.raises(ConfigError, match=f"was trained otherwise: .*{named}"):
        make(**change)


def test_a_folder_of_something_else_is_refused(make: Callable[..., Made], tmp_path: Path) -> None:
    (tmp_path / "out" / "shadow-01").mkdir(parents=True)
    with pytest.raises(ConfigError, match="no whole shadow model"):
        make()
    assert (tmp_path / "out" / "shadow-01").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("disk full")])
def test_of_a_stopped_training_nothing_half_stays(
    make: Callable[..., Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    real, calls = shadow_training.save, []

    def second_fails(*arguments: Any) -> None:
        calls.append(1)
        real(*arguments)
        if len(calls) == 2:
            raise stop

    monkeypatch.setattr(shadow_training, "save", second_fails)
    with pytest.raises((KeyboardInterrupt, AuditError)):
        make(n_models=4)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["shadow-00"]
    with pytest.raises(ConfigError, match="run it again"):
        load_shadows(tmp_path / "out")
    assert make(n_models=4)[1] == 1


def test_an_adapter_is_put_on_its_base(make: Callable[..., Made], tiny_models: dict[str, Path], tmp_path: Path) -> None:
    base = ModelSpec(path=str(tiny_models["reference"]))
    options = {"base": base, "lora_rank": 2, "learning_rate": 0.05, "steps": 6}
    made, _ = make("one", **options)
    again, _ = make("two", **options)
    assert [run.weights_sha256 for run in made.shadows] == [run.weights_sha256 for run in again.shadows]
    assert (made.settings.start, made.settings.lora_rank) == ("lora", 2)
    folder = load_shadows(tmp_path / "one").models[0]
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "shadow.json",
    }  # fmt: skip
    spec = ModelSpec.parse(str(folder))
    assert (Path(spec.path), spec.adapter) == (tiny_models["reference"].resolve(), str(folder))
    files = open_model(spec)
    assert files.weights_sha256 == made.shadows[0].weights_sha256
    adapted, _ = load_weights(files, dtype="float32", device="cpu")
    plain, _ = load_weights(open_model(base), dtype="float32", device="cpu")
    ids = torch.arange(1, 9)[None]
    assert (adapted(ids).logits - plain(ids).logits).abs().max() > 1e-3


def test_all_weights_of_a_base_are_trained_from_where_it_is(
    make: Callable[..., Made], tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = ModelSpec(path=str(tiny_models["reference"]))

    def distance(rate: float) -> float:
        make(f"rate-{rate}", base=base, learning_rate=rate)
        files = open_model(ModelSpec.parse(str(tmp_path / f"rate-{rate}" / "shadow-00")))
        trained, _ = load_weights(files, dtype="float32", device="cpu")
        start, _ = load_weights(open_model(base), dtype="float32", device="cpu")
        pairs = zip(trained.parameters(), start.parameters(), strict=True)
        return min(float((one - other).abs().max()) for one, other in pairs)

    assert distance(1e-12) < 1e-6
    assert distance(1e-2) > 1e-4  # every tensor moved


@pytest.mark.slow
def test_shadows_that_memorise_nothing_are_warned_about(make: Callable[..., Made]) -> None:
    idle, _ = make("idle", steps=1, learning_rate=1e-9, n_models=4)
    assert [warning.split(":")[0] for warning in idle.warnings] == ["no gap"]
    taught, _ = make("taught", steps=150, learning_rate=0.02, n_models=4)
    assert taught.warnings == ()
    for run in taught.shadows:
        assert run.gap_bits_per_token > 0.5
        assert run.n_checked == 24
        assert run.loss_bits_per_token == pytest.approx(run.seen_bits_per_token, rel=0.3)


def test_few_cut_and_uneven_are_said(make: Callable[..., Made], texts: list[str]) -> None:
    data = samples(texts, ["a"] * 18 + [None] * 6)
    made, _ = make(data=data, max_tokens=5)
    assert made.n_units == 7
    words = {warning.split(":")[0] for warning in made.warnings}
    assert words >= {"few shadows", "cut", "uneven halves"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_models": 3}, "even number .* try 4"),
        ({"n_models": 0}, "even number .* try 4"),
        ({"epochs": 0}, "epochs must be greater than 0"),
        ({"learning_rate": float("nan")}, "learning-rate must be greater"),
        ({"lora_rank": 4}, "needs a base"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(make: Callable[..., Made], change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(**change)


def test_a_base_unlike_the_target_is_refused(
    make: Callable[..., Made], tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    wide = save_gpt2(tmp_path / "wide", seed=0, n_positions=640)
    with pytest.raises(ConfigError, match="must be like the target"):
        make(base=ModelSpec(path=str(wide)))
    make("adapters", base=ModelSpec(path=str(tiny_models["reference"])), lora_rank=1)
    with pytest.raises(ConfigError, match="shadows start from a whole model"):
        make(target=ModelSpec.parse(str(tmp_path / "adapters" / "shadow-00")))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("shadows", 0, "folder"), "../../elsewhere", "shadow-NN"),
        (("shadows", 0, "folder"), "shadow-77", "not there"),
        (("shadows", 1, "folder"), "shadow-00", "folder of its own"),
        (("shadows", 1, "saw"), "ffffff", "not the model that the manifest describes"),
        (("settings", "seed"), 9, "not the model that the manifest describes"),
        (("shadows", 0, "saw"), "ff", "24 bits"),
        (("shadows", 0, "saw"), "fffffg", "hexadecimal"),
        (("shadows",), [], "at least one"),
        (("texts", 0), "f" * 64, "increasing order"),
        (("texts", 0), "a text", "SHA-256"),
        (("kind",), "shadow", "kind"),
        (("schema_version",), "2.0", "newer"),
        (("unknown",), 1, "unknown key"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(
    make: Callable[..., Made], tmp_path: Path, path: tuple[Any, ...], value: Any, words: str
) -> None:
    make()
    file = tmp_path / "out" / "manifest.json"
    document = json.loads(file.read_text())
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    file.write_text(json.dumps(document))
    with pytest.raises(ResultError, match=f"{words}|content_sha256"):
        load_shadows(tmp_path / "out")
    file.write_text(json.dumps(document | {"content_sha256": None}))  # as in older files
    with pytest.raises(ResultError, match=words):
        load_shadows(tmp_path / "out")


def test_a_manifest_of_many_texts_stays_small(make: Callable[..., Made]) -> None:
    made, _ = make()
    hashes = tuple(f"{i:064x}" for i in range(20_000))
    saw = pack_seen(np.arange(20_000) % 2)
    many = replace(made, texts=hashes, shadows=tuple(replace(run, saw=saw) for run in made.shadows))
    assert len(to_text(many)) < 20_000 * 75

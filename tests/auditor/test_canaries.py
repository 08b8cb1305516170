"""Canaries from making to audit: what is secret, what is kept, what final data lost, what a model remembers."""

import json
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.canaries.checking import count_canaries, explain, read_sequences
from auditor.canaries.folder import CanarySet, read_canaries, read_check, read_insertions
from auditor.canaries.insertion import InsertionPlan, insert_canaries
from auditor.documents.canaries import CANARIES_VERSION, CanaryResult, FinalData
from auditor.documents.files import from_text, to_text
from auditor.errors import ConfigError, DataError
from auditor.estimates.canaries import measure_tiers
from auditor.estimates.epsilon import Claim
from auditor.phases import CANARIES
from auditor.stats.exposure import exposure, null_mean
from helpers import Run, build_tokenizer, make_texts, save_gpt2, write_jsonl
from helpers_canaries import build_canaries, inside, written_canaries


@pytest.fixture(scope="module")
def made() -> CanarySet:
    return build_canaries()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_tokenizer()


def copies_of(made: CanarySet, texts: list[str]) -> Counter[str]:
    """Count the rows that are a canary, by its id."""
    ids = {one.text: one.id for one in made.secrets.canaries}
    return Counter(ids[text] for text in texts if text in ids)


def expected(made: CanarySet) -> Counter[str]:
    return Counter({one.id: one.copies for one in inside(made)})


def tokenised(tokenizer: Any, texts: list[str]) -> list[dict[str, list[int]]]:
    return [{"input_ids": [0, *ids]} for ids in tokenizer(texts)["input_ids"]]


def test_exposure_of_known_ranks() -> None:
    references = -np.random.default_rng(0).permutation(np.arange(1.0, 17.0))
    found = exposure([0.0, -0.1, -20.0, -3.5, -1.0], references)  # a perplexity turned round; the last is a tie
    assert found == pytest.approx([4.0, 4.0, np.log2(16 / 17), 2.0, 3.0])
    assert [round(null_mean(n), 4) for n in (10, 100, 1000)] == [1.0264, 1.3822, 1.4349]
    drawn = np.random.default_rng(1).normal(size=(4000, 11))
    simulated = np.mean([exposure(row[:1], row[1:])[0] for row in drawn])
    assert simulated == pytest.approx(null_mean(10), abs=0.08)
    for scores, others in (([1.0], []), ([np.nan], [1.0])):
        with pytest.raises(ValueError, match=r"reference|finite"):
            exposure(scores, others)


def test_secrets_are_for_their_owner_and_the_manifest_shows_hashes(made: CanarySet, tmp_path: Path) -> None:
    folder = written_canaries(tmp_path / "c", made)
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    shown = (folder / "manifest.json").read_text()
    assert made.secrets.seed not in shown
    assert not any(one.secret.strip() in shown for one in made.secrets.canaries)
    assert read_canaries(folder) == made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made._replace(secrets=replace(made.secrets, seed="00" * 32)), "do not match their commitment"),
        (lambda made: made._replace(manifest=build_canaries(seed=9).manifest), "manifest of other canaries"),
    ],
)
def test_secrets_of_another_set_are_refused(made: CanarySet, tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_canaries(written_canaries(tmp_path / "c", change(made)))


def test_json_lines_keep_every_row_and_gain_the_copies(made: CanarySet, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", make_texts(40, seed=1))
    found = insert_canaries(InsertionPlan(source=source, out=tmp_path / "b.jsonl"), made)
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    ours = {one.text for one in made.secrets.canaries}
    assert [line for line, text in zip(lines, texts, strict=True) if text not in ours] == source.read_text().split(
        "\n"
    )[:-1]
    assert copies_of(made, texts) == expected(made)
    assert (found.form, found.n_rows, found.n_inserted) == ("text", 40, sum(expected(made).values()))
    size = sum(len(text) for text in texts if text in ours)
    assert found.share_of_characters == pytest.approx(size / (size + len(source.read_text())), abs=0.01)
    places = [i for i, text in enumerate(texts) if text in ours]
    assert places != list(range(len(places)))
    assert places[-1] - places[0] > len(places)  # not in one block


def rows_of(form: str) -> list[dict[str, Any]]:
    texts = make_texts(30, seed=2)
    if form == "text":
        return [{"id": i, "text": text} for i, text in enumerate(texts)]
    if form == "prompt-completion":
        return [{"id": i, "prompt": text[:9], "completion": text[9:]} for i, text in enumerate(texts)]
    turns = [[{"role": "user", "content": text[:9]}, {"role": "assistant", "content": text[9:]}] for text in texts]
    return [{"id": i, "messages": turn} for i, turn in enumerate(turns)]


def written_as(kind: str, rows: list[dict[str, Any]], place: Path) -> Path:
    if kind == "jsonl":
        path = place / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        path = place / "a.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "arrow":
        path = place / "a.arrow"
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(str(path), table.schema) as sink:
            sink.write_table(table)
    else:
        path = place / "a"
        saved = datasets.Dataset.from_list(rows)
        saved = saved if kind == "saved" else datasets.DatasetDict({"train": saved, "test": saved.select([0])})
        saved.save_to_disk(str(path))
    return path


def read_back(kind: str, path: Path) -> list[dict[str, Any]]:
    if kind == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if kind == "parquet":
        return pq.read_table(path).to_pylist()
    if kind == "arrow":
        with pa.ipc.open_stream(path.read_bytes()) as opened:
            return opened.read_all().to_pylist()
    found = datasets.load_from_disk(str(path))
    if kind == "splits":
        assert len(found["test"]) == 1
        found = found["train"]
    return found.to_list()


def as_text(row: dict[str, Any]) -> str:
    """Write the parts of a row one after the other."""
    if "messages" in row:
        return " ".join(turn["content"] for turn in row["messages"])
    return row["text"] if "text" in row else row["prompt"] + row["completion"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["text", "prompt-completion", "messages"])
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow", "saved", "splits"])
def test_every_format_and_form_takes_canaries(made: CanarySet, tmp_path: Path, kind: str, form: str) -> None:
    rows = rows_of(form)
    source = written_as(kind, rows, tmp_path)
    found = insert_canaries(InsertionPlan(source=source, out=tmp_path / f"b{source.suffix}"), made)
    assert found.form == form
    after = read_back(kind, Path(found.out))
    assert [row for row in after if row.get("id") is not None] == rows
    added = [as_text(row) for row in after if row.get("id") is None]
    assert copies_of(made, added) == expected(made)
    if form == "messages":
        first = next(row for row in after if row.get("id") is None)
        assert [turn["role"] for turn in first["messages"]] == ["user", "assistant"]


def test_prompts_that_are_messages_stay_messages(made: CanarySet, tmp_path: Path) -> None:
    turn = [{"role": "user", "content": "a"}]
    source = written_as("parquet", [{"prompt": turn, "completion": turn}] * 3, tmp_path)
    found = insert_canaries(InsertionPlan(source=source, out=tmp_path / "b.parquet"), made)
    assert found.form == "messages"
    assert all(isinstance(row["prompt"], list) for row in read_back("parquet", tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    ("name", "row", "options", "said"),
    [
        ("a.csv", "text\nx", {}, "canaries are inserted into"),
        ("a.jsonl", '{"body": "x"}', {}, "have neither 'text' nor prompt and completion nor messages"),
        ("a.jsonl", '{"text": "x", "messages": []}', {}, "could be text or messages: choose with --form"),
        ("a.jsonl", '{"text": "x"}', {"form": "messages"}, "the form messages needs messages"),
        ("a.jsonl", '{"text": 3}', {}, "holds no texts"),
        ("a.jsonl", "[1]", {}, "line 1: must be an object"),
        ("a.jsonl", "{", {}, "line 1: not valid JSON"),
        ("a.jsonl", "", {}, "holds no rows"),
        ("a.parquet", "not parquet", {}, "cannot read"),
    ],
)
def test_data_that_cannot_hold_canaries_are_refused(
    made: CanarySet, tmp_path: Path, name: str, row: str, options: dict[str, Any], said: str
) -> None:
    source = tmp_path / name
    source.write_text(row)
    out = tmp_path / f"b{source.suffix}"
    with pytest.raises((DataError, ConfigError), match=said):
        insert_canaries(InsertionPlan(source=source, out=out, **options), made)
    assert not out.exists()


def test_prompts_need_prefixes(tmp_path: Path) -> None:
    source = written_as("jsonl", rows_of("messages"), tmp_path)
    with pytest.raises(ConfigError, match="have no prefix"):
        insert_canaries(InsertionPlan(source=source, out=tmp_path / "b.jsonl"), build_canaries(prefixes=False))


def inserted_texts(made: CanarySet) -> list[str]:
    rows = [one.text for one in inside(made) for _ in range(one.copies)]
    texts = [*make_texts(60, seed=3), *rows]
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]


def test_untouched_data_hold_all_canaries(made: CanarySet, tokenizer: Any) -> None:
    found = count_canaries(tokenised(tokenizer, inserted_texts(made)), tokenizer, made.secrets, name="data")
    assert found.holds
    for tier in found.tiers:
        n = sum(one.copies for one in inside(made) if one.copies == tier.copies)
        assert (tier.n_expected, tier.n_whole, tier.n_with_prefix, tier.n_masked, tier.n_cut) == (n, n, n, 0, 0)


def test_a_canary_that_its_coin_left_out_is_found(made: CanarySet, tokenizer: Any) -> None:
    stray = next(one for one in made.secrets.canaries if one not in inside(made))
    found = count_canaries(
        tokenised(tokenizer, [*inserted_texts(made), stray.text]), tokenizer, made.secrets, name="data"
    )
    assert not found.holds
    assert sum(tier.n_canaries_beyond for tier in found.tiers) == 1
    assert "canaries too often 1" in explain(found)


def test_deduplication_is_told(made: CanarySet, tokenizer: Any) -> None:
    kept = list(dict.fromkeys(inserted_texts(made)))
    found = count_canaries(tokenised(tokenizer, kept), tokenizer, made.secrets, name="data")
    one, four = found.tiers
    assert one.n_whole == one.n_expected
    assert (four.n_whole, four.n_canaries_short) == (four.n_expected // 4, four.n_expected // 4)
    assert "de-duplication" in explain(found)


def test_truncation_is_told(made: CanarySet, tokenizer: Any) -> None:
    rows = [{"input_ids": row["input_ids"][:28]} for row in tokenised(tokenizer, inserted_texts(made))]
    found = count_canaries(rows, tokenizer, made.secrets, name="data")
    assert not found.holds
    assert sum(tier.n_cut for tier in found.tiers) > 0
    assert "truncation" in explain(found)


@pytest.mark.filterwarnings("ignore")
def test_packing_by_trl_cuts_canaries_or_keeps_them_whole(made: CanarySet, tokenizer: Any) -> None:
    packing = pytest.importorskip("trl.data_utils").pack_dataset
    data = datasets.Dataset.from_list(tokenised(tokenizer, inserted_texts(made)))
    whole = count_canaries(packing(data, 128, strategy="bfd"), tokenizer, made.secrets, name="data")
    assert whole.holds
    cut = count_canaries(packing(data, 24, strategy="wrapped"), tokenizer, made.secrets, name="data")
    assert not cut.holds
    assert sum(tier.n_cut for tier in cut.tiers) > 0


def collated(tokenizer: Any, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Put batches together as transformers' own collator does."""
    from transformers import DataCollatorForLanguageModeling

    tokenizer.pad_token = tokenizer.eos_token
    collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    rows = tokenised(tokenizer, texts)
    return (collate(rows[start : start + 4]) for start in range(0, len(rows), 4))


def test_batches_of_the_real_collator_are_counted(made: CanarySet, tokenizer: Any) -> None:
    found = count_canaries(collated(tokenizer, inserted_texts(made)), tokenizer, made.secrets, name="batches")
    assert found.holds
    assert found.n_rows == len(inserted_texts(made))


def test_masked_secrets_do_not_count(made: CanarySet, tokenizer: Any) -> None:
    rows: list[dict[str, Any]] = tokenised(tokenizer, inserted_texts(made))
    for row in rows:  # as if the whole text were a prompt
        row["labels"] = [-100] * len(row["input_ids"])
    found = count_canaries(rows, tokenizer, made.secrets, name="data")
    assert not found.holds
    assert sum(tier.n_masked for tier in found.tiers) == sum(tier.n_expected for tier in found.tiers)
    assert "labels hide secrets" in explain(found)
    secrets = {one.text: one for one in made.secrets.canaries}
    rows = []
    for text in inserted_texts(made):  # TRL's mask: the completion is learned from, and it is the secret
        canary = secrets.get(text)
        head = tokenizer(canary.prefix)["input_ids"] if canary else []
        tail = tokenizer(text[len(canary.prefix) :] if canary else text)["input_ids"]
        rows.append({"input_ids": [0, *head, *tail], "completion_mask": [0] * (1 + len(head)) + [1] * len(tail)})
    assert count_canaries(rows, tokenizer, made.secrets, name="data").holds


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "holds no sequences"),
        ([{"text": "x"}], "no column 'input_ids'"),
        ([{"input_ids": [1, 2], "labels": [1]}], "labels is not as long as input_ids"),
    ],
)
def test_rows_that_are_no_training_data_are_refused(
    made: CanarySet, tokenizer: Any, rows: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        count_canaries(rows, tokenizer, made.secrets, name="data")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow", "saved", "splits"])
def test_tokenised_data_of_every_format_are_read(tmp_path: Path, kind: str) -> None:
    rows = [{"input_ids": [1, 2, 3], "labels": [1, -100, 3], "more": "x"}] * 2
    path = written_as(kind, rows, tmp_path)
    assert [list(row["input_ids"]) for row in read_sequences(path)] == [[1, 2, 3]] * 2
    other = tmp_path / "texts"
    other.mkdir()
    with pytest.raises(DataError, match="no column 'input_ids'"):
        list(read_sequences(written_as(kind, rows_of("text"), other)))


def test_tiers_are_measured_by_themselves() -> None:
    # 16 canaries a tier; the tier of 4 lies above everything, the tier of 1 is a coin's throw
    rng = np.random.default_rng(0)
    is_in = np.tile([True, False], 16)
    copies = np.repeat([1, 4], 16)
    scores = rng.normal(size=32) + 100 * ((copies == 4) & is_in)
    names = [f"{i:02d}" for i in range(32)]
    one, four = measure_tiers(names, scores, is_in, copies, claim=Claim(guess_share=1.0), attack="loss", conditions=())
    assert (one.n_in, one.n_out, four.n_first) == (8, 8, 8)
    assert four.exposure.value == four.median_exposure == 4  # log2 of all 16 that were left out
    assert one.exposure.value == pytest.approx(exposure(scores[(copies == 1) & is_in], scores[~is_in]).mean())
    assert four.epsilon.n_correct == 16
    assert four.epsilon.epsilon_lower_bound == four.epsilon.ceiling == pytest.approx(1.580 / 4, abs=1e-3)
    assert four.epsilon.group_lower_bound == pytest.approx(1.580, abs=1e-3)
    assert one.epsilon.epsilon_lower_bound == 0


def test_a_tier_without_a_side_says_so() -> None:
    scores, copies = np.arange(6.0), np.repeat([1, 4], 3)
    is_in = np.array([True, True, True, False, False, True])
    found = measure_tiers(list("abcdef"), scores, is_in, copies, claim=Claim(), attack="loss", conditions=())
    assert found[0].exposure.value is not None
    none = measure_tiers(list("abcdef"), scores, ~is_in & False, copies, claim=Claim(), attack="loss", conditions=())
    assert none[0].exposure.undefined_reason == "no canary of this tier was put in, or none was left out"


@pytest.fixture(scope="module")
def word_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Return a tokenizer with hundreds of whole words, and its folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = np.random.default_rng(4)
    words = ["".join(rng.choice(list("bcdfghjklmnprstvz"), 4)) for _ in range(400)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2500, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator([" " + " ".join(words)] * 3, trainer)
    folder = tmp_path_factory.mktemp("words")
    found = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
    found.save_pretrained(folder)
    return found, folder


def test_rare_tokens_make_secrets_that_are_never_reused(
    run: Run, word_tokenizer: tuple[Any, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer, folder = word_tokenizer
    ran = run("canaries", "make", "--tokenizer", folder, "--data", tiny_data["members"], "--out", tmp_path / "c",
              "--number", 10, "--copies", "4,1", "--secret-tokens", 6, "--prefix-tokens", 5)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "an epsilon of at most" in ran.out
    made = read_canaries(tmp_path / "c")
    texts = [json.loads(line)["text"] for line in tiny_data["members"].read_text().splitlines()]
    ids = [tokenizer(one.secret)["input_ids"] for one in made.secrets.canaries]
    assert {len(one) for one in ids} == {6}
    assert len({token for one in ids for token in one}) == 20 * 6
    assert all(any(text.startswith(one.prefix) for text in texts) for one in made.secrets.canaries)
    assert Counter(one.copies for one in made.secrets.canaries) == {1: 10, 4: 10}
    again = run("canaries", "make", "--tokenizer", folder, "--out", tmp_path / "c")
    assert (again.code, "lie there already" in again.err) == (2, True)
    headed = write_jsonl(tmp_path / "headed.jsonl", [f"A title\n{text}" for text in texts])
    below = run("canaries", "make", "--tokenizer", folder, "--data", headed, "--out", tmp_path / "below",
                "--number", 10, "--copies", "1", "--secret-tokens", 6, "--prefix-tokens", 5)  # fmt: skip
    assert below.code == 0, below.err
    prefixes = [one.prefix for one in read_canaries(tmp_path / "below").secrets.canaries]
    assert all(any(text.startswith(prefix) for text in texts) for prefix in prefixes)
    many = run("canaries", "make", "--tokenizer", folder, "--out", tmp_path / "many", "--number", 1000)
    assert "rare tokens are needed, each once" in many.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --base M"),
        (("--base", "a", "--tokenizer", "b"), "not both"),
        (("--tokenizer", "b", "--number", 3), "--number must be at least 10"),
        (("--tokenizer", "b", "--copies", "1,1"), "--copies must be different"),
        (("--tokenizer", "b", "--copies", "x"), "--copies must be whole numbers"),
        (("--tokenizer", "b", "--secret-tokens", 1), "--secret-tokens must be from 4"),
        (("--base", "b", "--temperature", 0.2), "colder secrets can be guessed"),
    ],
)
def test_plans_that_make_no_canaries_are_one_line(
    run: Run, tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    ran = run("canaries", "make", "--out", tmp_path / "c", *options)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "c").exists()


def test_hot_text_is_new_each_time_and_holds_no_special_token(tiny_models: dict[str, Path]) -> None:
    from auditor.config import ModelSpec
    from auditor.engine.hot_text import HotWriter

    writer = HotWriter(ModelSpec(path=str(tiny_models["target"])), device="cpu", seed=3)
    prompts = [[5, 6, 7], [8, 9], [5, 6, 7]]
    first, second = (writer.write(prompts, n_tokens=9, temperature=1.0) for _ in range(2))
    assert [len(one) for one in first] == [9, 9, 9]
    assert first[0] != first[2]
    assert first != second
    assert not any(0 in one for one in first)
    again = HotWriter(ModelSpec(path=str(tiny_models["target"])), device="cpu", seed=3)
    assert again.write(prompts, n_tokens=9, temperature=1.0) == first
    with pytest.raises(Exception, match="do not fit its context window"):
        writer.write(prompts, n_tokens=70, temperature=1.0)


def train_on(texts: list[str], tokenizer: Any, folder: Path, *, steps: int, width: int = 48) -> Path:
    from transformers import GPT2Config

    from auditor.experiments.training import build, save, train

    config = GPT2Config(vocab_size=len(tokenizer), n_embd=width, n_layer=2, n_head=2, n_positions=128,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = build(config, seed=0)
    rows = [row["input_ids"] for row in tokenised(tokenizer, texts)]
    if steps:
        train(model, rows, steps=steps, batch_size=16, learning_rate=5e-3, seed=0)
    save(model, tokenizer, folder)
    return folder


def audit(run: Run, target: Path, canaries: Path, out: Path, *more: object) -> CanaryResult:
    ran = run("canaries", "audit", "--target", target, "--canaries", canaries, "--out", out, *more, "--json")
    assert ran.code == 0, ran.err
    found = from_text(ran.out, CanaryResult, version=CANARIES_VERSION, what="audit of canaries")
    assert json.loads((out / "canaries.json").read_text()) == ran.document
    return found


@pytest.fixture(scope="module")
def folder(made: CanarySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return canaries that were inserted as texts."""
    place = tmp_path_factory.mktemp("canaries")
    found = written_canaries(place / "c", made)
    from auditor.canaries.folder import record

    source = write_jsonl(place / "a.jsonl", make_texts(20, seed=1))
    record(found, insert_canaries(InsertionPlan(source=source, out=place / "b.jsonl"), made))
    return found


def test_the_loss_is_that_of_the_secret_alone(
    run: Run, made: CanarySet, folder: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from auditor.canaries.auditing import _secret_scores, canary_request
    from auditor.config import AuditConfig
    from auditor.engine.signals import collect_signals
    from helpers import naive_logprobs

    target = tiny_models["target"]
    config = AuditConfig.from_options({"target": str(target), "members": "x", "canaries": str(folder)})
    collected = collect_signals(config, canary_request(config), scores_folder=tmp_path)
    found = _secret_scores(collected, made.secrets.canaries, "text")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(target), AutoTokenizer.from_pretrained(target)
    for canary, score in list(zip(made.secrets.canaries, found, strict=True))[:3]:
        head, secret = (tokenizer(part)["input_ids"] for part in (canary.prefix, canary.secret))
        assert tokenizer(canary.text)["input_ids"] == [*head, *secret]
        assert score == pytest.approx(sum(naive_logprobs(model, [0, *head, *secret], 1 + len(head))), abs=1e-3)


def test_a_model_that_never_saw_the_canaries_ranks_them_anywhere(
    run: Run, folder: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    found = audit(run, tiny_models["target"], folder, tmp_path / "out", "--reference", tiny_models["reference"])
    assert [one.copies for one in found.tiers] == [1, 4]
    assert found.attack == "reference"
    assert all(one.epsilon.epsilon_lower_bound == 0 for one in found.tiers)
    assert all(one.auc.low is not None and one.auc.low < 0.5 for one in found.tiers)
    verdicts = {one.name: one.verdict for one in found.tiers[0].epsilon.conditions}
    assert verdicts["independent_fair_coins"] == "met"
    assert verdicts["in_the_final_data"] == verdicts["reference_blind"] == "unchecked"


def test_final_data_without_the_canaries_stop_the_audit(
    run: Run, made: CanarySet, tokenizer: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = written_canaries(tmp_path / "c", made)
    rows = tokenised(tokenizer, make_texts(20, seed=8))
    data = tmp_path / "tokens.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    checked = run("canaries", "check", data, "--canaries", folder, "--tokenizer", tiny_models["target"])
    assert checked.code == 2
    assert "does not hold the canaries as they were inserted" in checked.err
    found = read_check(folder)
    assert found is not None
    assert not found.holds
    ran = run("canaries", "audit", "--target", tiny_models["target"], "--canaries", folder, "--form", "text", "--out",
              tmp_path / "out")  # fmt: skip
    assert ran.code == 2
    assert "mend the data" in ran.err
    (folder / "check.json").unlink()
    ran = run("canaries", "audit", "--target", tiny_models["target"], "--canaries", folder, "--out", tmp_path / "out")
    assert "no insertion was recorded" in ran.err


def test_documents_contradict_themselves_never(made: CanarySet) -> None:
    twice = replace(made.secrets, canaries=(*made.secrets.canaries, made.secrets.canaries[0]))
    assert len(list(twice.contradictions())) == 2
    assert not list(made.secrets.contradictions())
    found = FinalData(data="d", n_rows=1, n_tokens=1, share_of_tokens=0.0, holds=True, tiers=())
    assert from_text(to_text(found), FinalData, version=CANARIES_VERSION, what="x") == found


def test_canaries_in_messages_are_scored_by_the_chat_template(run: Run, tmp_path: Path) -> None:
    made = build_canaries(number=4, seed=3)
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}\n{% endfor %}"
    target = save_gpt2(tmp_path / "chat", seed=1, tokenizer=tokenizer, n_positions=128)
    folder = written_canaries(tmp_path / "c", made)
    source = written_as("jsonl", rows_of("messages"), tmp_path)
    inserted = run("canaries", "insert", source, "--canaries", folder, "--out", tmp_path / "b.jsonl", "--json")
    assert inserted.document["form"] == "messages"
    (insertion,) = read_insertions(folder)
    assert insertion.n_inserted == sum(expected(made).values())
    found = audit(run, target, folder, tmp_path / "out")
    assert found.form == "messages"
    bare = save_gpt2(tmp_path / "bare", seed=1, n_positions=128)
    ran = run("canaries", "audit", "--target", bare, "--canaries", folder, "--out", tmp_path / "out")
    assert (ran.code, "has no chat template" in ran.err) == (2, True)


def inserted(run: Run, source: Path, folder: Path, out: Path, *more: object) -> Any:
    return run("canaries", "insert", source, "--canaries", folder, "--out", out, *more)


def test_every_insertion_is_kept_and_an_audit_asks_which_was_trained_on(
    run: Run, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    made = build_canaries(number=4, seed=5)
    folder = written_canaries(tmp_path / "c", made)
    texts = write_jsonl(tmp_path / "t.jsonl", make_texts(20, seed=1))
    data = written_as("jsonl", rows_of("prompt-completion"), tmp_path)
    assert inserted(run, texts, folder, tmp_path / "b.jsonl").code == 0
    again = inserted(run, data, folder, tmp_path / "d.jsonl")
    assert "were inserted before, into" in again.out
    assert "b.jsonl (text): train on one of these sets only" in again.out.replace("\n", " ")
    assert [one.form for one in read_insertions(folder)] == ["text", "prompt-completion"]
    unclear = run("canaries", "audit", "--target", tiny_models["target"], "--canaries", folder, "--out", tmp_path / "o")
    assert unclear.code == 2
    assert "inserted in several forms (text in" in unclear.err
    assert "--form" in unclear.err
    found = audit(run, tiny_models["target"], folder, tmp_path / "out", "--form", "text")
    assert found.form == "text"
    once = [one for tier in found.tiers for one in tier.epsilon.conditions if one.name == "inserted_once"]
    assert {one.verdict for one in once} == {"unchecked"}
    assert "2 sets of data" in once[0].detail


def test_an_insertion_done_again_takes_the_place_of_its_record(run: Run, tmp_path: Path) -> None:
    folder = written_canaries(tmp_path / "c", build_canaries(number=4, seed=5))
    texts, out = write_jsonl(tmp_path / "a.jsonl", make_texts(20, seed=1)), tmp_path / "b.jsonl"
    assert inserted(run, texts, folder, out).code == 0
    out.unlink()
    assert inserted(run, write_jsonl(tmp_path / "e.jsonl", make_texts(30, seed=2)), folder, out).code == 0
    (one,) = read_insertions(folder)
    assert one.n_rows == 30
    twice = inserted(run, out, folder, tmp_path / "f.jsonl")
    assert twice.code == 2
    assert "holds these canaries already" in twice.err
    assert not (tmp_path / "f.jsonl").exists()


def test_canaries_that_do_not_fit_are_named(run: Run, folder: Path, tmp_path: Path) -> None:
    short = save_gpt2(tmp_path / "short", seed=1, n_positions=8)
    ran = run("canaries", "audit", "--target", short, "--canaries", folder, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "do not fit" in ran.err


def test_found_where_they_were_trained_on_and_nowhere_else(run: Run, tokenizer: Any, tmp_path: Path) -> None:
    """A tiny model on the canaries alone, with the whole command line around it; the slow test is the real thing."""
    made = build_canaries(number=16, copies=(4,), seed=2)
    folder = written_canaries(tmp_path / "c", made)
    source = write_jsonl(tmp_path / "a.jsonl", make_texts(16, seed=1))
    assert run("canaries", "insert", source, "--canaries", folder, "--out", tmp_path / "b.jsonl").code == 0
    texts = [json.loads(line)["text"] for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    target = train_on(texts, tokenizer, tmp_path / "with", steps=60, width=32)
    found = audit(run, target, folder, tmp_path / "out", "--guess-share", "1")
    (tier,) = found.tiers
    assert tier.auc.low is not None
    assert tier.auc.low > 0.7
    assert tier.exposure.value is not None
    assert found.null_exposure is not None
    assert tier.exposure.value > found.null_exposure + 1
    assert tier.epsilon.group_lower_bound is not None
    assert tier.epsilon.group_lower_bound > 0
    shown = run("canaries", "audit", "--target", target, "--canaries", folder, "--out", tmp_path / "out")
    assert "Canaries are remembered" in shown.out
    assert set(CANARIES) <= set(shown.begun)


@pytest.mark.slow
def test_the_whole_way_with_and_without(run: Run, tokenizer: Any, tmp_path: Path) -> None:
    """Secrets sampled from a base, inserted, checked, trained on; then found, and not found in a model without them."""
    prefixes = write_jsonl(tmp_path / "prefixes.jsonl", make_texts(400, seed=21))
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_texts(400, seed=22))
    read = lambda path: [json.loads(line)["text"] for line in path.read_text().splitlines()]  # noqa: E731
    base = train_on(read(prefixes), tokenizer, tmp_path / "base", steps=300)
    folder, data = tmp_path / "c", tmp_path / "b.jsonl"
    ran = run("canaries", "make", "--base", base, "--data", prefixes, "--out", folder, "--number", 40, "--copies",
              "1,4", "--prefix-tokens", 8, "--secret-tokens", 16)  # fmt: skip
    assert ran.code == 0, ran.err
    assert run("canaries", "insert", corpus, "--canaries", folder, "--out", data).code == 0
    tokens = tmp_path / "tokens.jsonl"
    tokens.write_text("".join(json.dumps(row) + "\n" for row in tokenised(tokenizer, read(data))))
    assert run("canaries", "check", tokens, "--canaries", folder, "--tokenizer", base).code == 0
    with_them = train_on(read(data), tokenizer, tmp_path / "with", steps=400)
    without = train_on(read(corpus), tokenizer, tmp_path / "without", steps=400)
    found = audit(run, with_them, folder, tmp_path / "found", "--reference", base)
    missed = audit(run, without, folder, tmp_path / "missed", "--reference", base)
    four = found.tiers[1]
    assert four.exposure.value is not None
    assert missed.null_exposure is not None
    assert four.exposure.value > 4
    assert four.epsilon.group_lower_bound is not None
    assert four.epsilon.group_lower_bound > 0
    assert "met" in {one.verdict for one in four.epsilon.conditions if one.name == "in_the_final_data"}
    for tier in missed.tiers:
        assert tier.epsilon.epsilon_lower_bound == 0
        assert tier.exposure.value is not None
        assert abs(tier.exposure.value - missed.null_exposure) < 1

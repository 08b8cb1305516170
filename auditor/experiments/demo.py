"""A complete audit that needs no data and no network: invented people, two tiny models, and the truth about both.

Records are drawn from a generator that is known exactly, so the information in each one is known exactly, and
with it what the target holds of it, ``entropy - target_bits``: the audit is checked against ground truth.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import Estimate

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

__all__ = [
    "FIELDS",
    "MEMBERS_BY_COPIES",
    "CopiesRow",
    "Demo",
    "Field",
    "Record",
    "draw_record",
    "draw_records",
    "make_demo",
    "memorization_by_copies",
]

Progress = Callable[[str, int, int], None]
"""Called with the stage, ``reference`` or ``target``, the steps done, and the steps of the stage."""

MEMBERS_BY_COPIES = {1: 160, 2: 50, 4: 40, 8: 30, 16: 20}
NON_MEMBERS = 400  # enough for the interval of a rate at 1% false positives to have a low end above 0
"""How many distinct members occur how often in the target's training stream."""

BACKGROUND_RECORDS = 1_020
"""Records that the target also saw, once each, and that nobody audits: with the members' copies, 2,000."""

REFERENCE_RECORDS = 8_000
"""Records that only the reference saw: a new one at every place of every batch."""

TARGET_STEPS, REFERENCE_STEPS, BATCH_SIZE, LEARNING_RATE = 750, 250, 32, 1e-2
CONTEXT_WINDOW, VOCABULARY, TOKENIZER_RECORDS = 64, 512, 2_000
START, END = "<s>", "</s>"


@dataclass(frozen=True, slots=True)
class Field:
    """A uniform choice of the generator, independent of all others."""

    name: str
    choices: int

    @property
    def bits(self) -> float:
        """Information of the choice."""
        return math.log2(self.choices)


def _combine(stems: str, endings: str) -> tuple[str, ...]:
    """Make invented names: every stem with every ending."""
    return tuple(stem + ending for stem in stems.split() for ending in endings.split())


FIRST_NAMES = _combine("Brel Corv Drus Felm Jost Mirn Talv Vesk", "a ane el ia in is o une")
LAST_NAMES = _combine("Abr Brunt Drav Holm Kess Lorv Quil Wend", "acombe elow erwyn ick oster oway umber yard")
CITIES = _combine("Aldr Bren Calv Dorn Esk Galm Myr Ost", "ava avik eholm enburg imouth onia otun ury")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
YEARS = range(1940, 2004)
CARD_FORMS = ("none", "masked", "full")
PHONE_FORMS = ("none", "given")

FIELDS = {
    field.name: field
    for field in (
        Field("first name", len(FIRST_NAMES)),
        Field("last name", len(LAST_NAMES)),
        Field("day", 28),
        Field("month", len(MONTHS)),
        Field("year", len(YEARS)),
        Field("city", len(CITIES)),
        Field("card form", len(CARD_FORMS)),
        Field("phone form", len(PHONE_FORMS)),
        Field("card, masked", 10**4),
        Field("card, full", 10**15),
        Field("phone, given", 10**7),
    )
}


@dataclass(frozen=True, slots=True)
class Record:
    """The record of an invented person: its text, and the fields whose choices the text shows."""

    text: str
    fields: tuple[str, ...]

    @property
    def entropy_bits(self) -> float:
        """Information of the text under the generator, exactly: the sum over the fields shown."""
        return sum(FIELDS[name].bits for name in self.fields)


def draw_record(rng: np.random.Generator) -> Record:
    """Draw every field uniformly and independently, and write them into the template.

    No text names a real thing: the names are made of syllables, no network issues cards that start with 0, and
    555 is no area code. Different choices give different texts, except that one full card in 10^11 looks masked.
    """
    choice = {name: int(rng.integers(field.choices)) for name, field in FIELDS.items()}
    card_form, phone_form = CARD_FORMS[choice["card form"]], PHONE_FORMS[choice["phone form"]]
    text = (
        f"{FIRST_NAMES[choice['first name']]} {LAST_NAMES[choice['last name']]}, "
        f"born {choice['day'] + 1} {MONTHS[choice['month']]} {YEARS[choice['year']]} "
        f"in {CITIES[choice['city']]}"
    )
    if card_form != "none":
        card = f"{choice[f'card, {card_form}']:016d}"  # a masked card shows its last four digits
        text += f", card {card[:4]} {card[4:8]} {card[8:12]} {card[12:]}"
    if phone_form != "none":
        phone = f"{choice['phone, given']:07d}"
        text += f", phone 555-{phone[:3]}-{phone[3:]}"
    hidden = {f"card, {form}" for form in CARD_FORMS if form != card_form}
    hidden |= {f"phone, {form}" for form in PHONE_FORMS if form != phone_form}
    return Record(f"{text}.", tuple(name for name in FIELDS if name not in hidden))


def draw_records(n: int, rng: np.random.Generator) -> list[Record]:
    """Draw distinct records: a repeat, about one pair in 10^11, is not kept."""
    records: dict[str, Record] = {}
    while len(records) < n:
        record = draw_record(rng)
        records.setdefault(record.text, record)
    return list(records.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """Two models, two sets of texts, and what is true about them.

    Parameters
    ----------
    folder, target, reference, members, non_members : Path
        Where everything was written: two Hugging Face folders and two ``.jsonl`` files.
    record_entropy_bits : mapping of str to float, bits
        Information of each record under the generator, by sample id. The template costs nothing: it is the
        same in every record, and a model that has learned it codes it in about zero bits.
    copies : mapping of str to int
        How often the target saw each record in one pass over its data, by sample id; 0 for a non-member.
    """

    folder: Path
    target: Path
    reference: Path
    members: Path
    non_members: Path
    record_entropy_bits: Mapping[str, float]
    copies: Mapping[str, int]


def make_demo(folder: str | Path, *, seed: int = 0, on_progress: Progress | None = None) -> Demo:
    """Draw the records, train the target and the reference on CPU, and write everything into a folder.

    The target passes 12 times over 2,000 records: the members, some of them 2, 4, 8 or 16 times over, and
    others that are not audited. The reference sees each of its records once, and none of the target's or of
    the non-members.

    Parameters
    ----------
    folder : str or Path
        Made if needed; gets ``members.jsonl``, ``non_members.jsonl``, ``target/``, ``reference/``, ``truth.json``.
    seed : int
        Of the records, the weights and the order of training.
    on_progress : callable, optional
        Called with the stage, the steps done and the steps in all.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    n = sum(MEMBERS_BY_COPIES.values())
    records = draw_records(n + NON_MEMBERS + BACKGROUND_RECORDS + REFERENCE_RECORDS, rng)
    members, non_members, rest = records[:n], records[n : n + NON_MEMBERS], records[n + NON_MEMBERS :]
    background, others = rest[:BACKGROUND_RECORDS], rest[BACKGROUND_RECORDS:]
    repeats = rng.permutation(np.repeat(list(MEMBERS_BY_COPIES), list(MEMBERS_BY_COPIES.values()))).tolist()

    tokenizer = make_tokenizer([record.text for record in others[:TOKENIZER_RECORDS]])
    stream = [record for record, copies in zip(members, repeats, strict=True) for _ in range(copies)]
    _train_and_save(
        folder / "reference", tokenizer, others, REFERENCE_STEPS, seed=2 * seed + 1, on_progress=on_progress
    )
    _train_and_save(
        folder / "target", tokenizer, stream + background, TARGET_STEPS, seed=2 * seed, on_progress=on_progress
    )
    return _write_truth(folder, members, non_members, repeats, seed=seed)


def make_tokenizer(texts: Sequence[str]) -> "PreTrainedTokenizerFast":
    """Fit a byte-level BPE in which a digit is always a token of its own and every text starts with ``<s>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, bpe.token_to_id(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT_WINDOW,
        clean_up_tokenization_spaces=False,
    )


def _model_config(tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedConfig":
    """Return the architecture of both models: one wide GPT-2 layer, 167 thousand parameters."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT_WINDOW,
        n_embd=96,
        n_layer=1,
        n_head=4,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _train_and_save(
    folder: Path,
    tokenizer: "PreTrainedTokenizerFast",
    records: Sequence[Record],
    steps: int,
    *,
    seed: int,
    on_progress: Progress | None,
) -> None:
    """Train a new model on ``<s> record </s>``, as the audit will score it: given ``<s>``, without ``</s>``."""
    from .training import build, one_thread, save, train

    def on_step(step: int, loss: float) -> None:
        if on_progress is not None:
            on_progress(folder.name, step, steps)

    encoded = tokenizer([record.text for record in records])["input_ids"]
    model = build(_model_config(tokenizer), seed=seed)
    with one_thread():
        train(
            model,
            [[*ids, tokenizer.eos_token_id] for ids in encoded],
            steps=steps,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=seed,
            on_step=on_step,
        )
    save(model, tokenizer, folder)


def _write_truth(
    folder: Path, members: Sequence[Record], non_members: Sequence[Record], repeats: Sequence[int], *, seed: int
) -> Demo:
    """Write both sides as the audit reads them, and beside them what is true about each record."""
    ids = [f"member-{i:03d}" for i in range(len(members))]
    other_ids = [f"non-member-{i:03d}" for i in range(len(non_members))]
    records = dict(zip(ids + other_ids, [*members, *non_members], strict=True))
    copies = dict.fromkeys(records, 0) | dict(zip(ids, repeats, strict=True))
    demo = Demo(
        folder=folder,
        target=folder / "target",
        reference=folder / "reference",
        members=folder / "members.jsonl",
        non_members=folder / "non_members.jsonl",
        record_entropy_bits={sample_id: record.entropy_bits for sample_id, record in records.items()},
        copies=copies,
    )
    _write_lines(demo.members, [{"id": i, "text": records[i].text, "copies": copies[i]} for i in ids])
    _write_lines(demo.non_members, [{"id": i, "text": records[i].text} for i in other_ids])
    truth = {
        "seed": seed,
        "entropy": "the sum of log2(choices) over the fields that a record shows; the template adds nothing",
        "fields": [asdict(field) | {"bits": field.bits} for field in FIELDS.values()],
        "records": {
            sample_id: {"copies": copies[sample_id], "entropy_bits": record.entropy_bits, "fields": record.fields}
            for sample_id, record in records.items()
        },
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return demo


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesRow:
    """What the target holds of the records that it saw equally often.

    A record cannot be held whole: ``<s>`` does not say which one is to come, so of a record with ``k`` copies in
    a stream of ``N`` about ``log2(N / k)`` bits stay open, 7 bits for 16 copies and 11 for one.

    Parameters
    ----------
    copies : int
        0 for non-members.
    n : int
        Records in the row.
    entropy_bits : float, bits
        Mean information of these records.
    signed_bits : Estimate, bits
        Mean of ``reference_bits - target_bits``: what the audit measures.
    memorized_bits : Estimate, bits
        Mean of the same clipped at zero. In row 0 it is what noise alone puts there.
    true_bits : Estimate, bits
        Mean of ``entropy - target_bits``: the truth, since the generator is known. In row 0 it is not positive
        on average, whatever the target, because no model codes new records in less than their entropy.
    true_share : Estimate
        Mean of ``(entropy - target_bits) / entropy``.
    shared_bits, true_shared_bits : Estimate, bits
        Generalization: what target and reference both save beyond a uniform code, and what target and the generator
        itself do, ``uniform_bits - max(target_bits, entropy)``.
    """

    copies: int
    n: int
    entropy_bits: float
    signed_bits: Estimate
    memorized_bits: Estimate
    true_bits: Estimate
    true_share: Estimate
    shared_bits: Estimate
    true_shared_bits: Estimate


def memorization_by_copies(
    demo: Demo,
    *,
    sample_id: Sequence[str],
    target_bits: ArrayLike,
    signed_bits: ArrayLike,
    memorized_bits: ArrayLike,
    uniform_bits: ArrayLike,
    generalization_bits: ArrayLike,
    level: float = 0.95,
) -> tuple[CopiesRow, ...]:
    """Set what an audit of the demonstration measured beside the truth, by number of copies.

    Parameters
    ----------
    demo : Demo
    sample_id : sequence of str
    target_bits, signed_bits, memorized_bits, uniform_bits, generalization_bits : array_like of shape (n_samples,), bits
        As in ``SampleTable``, in the order of ``sample_id``.
    level : float
        Confidence level of the intervals; they cover the sampling of records, not of training runs.

    Returns
    -------
    tuple of CopiesRow
        From non-members (0 copies) up.

    References
    ----------
    .. [1] Morris et al., *How much do language models memorize?*, 2025, arXiv 2505.24832, section 2: total
       memorization ``H(x) - H(x | target)``, here with the true distribution of ``x`` as the reference.
    """
    from ..stats.intervals import mean

    copies = np.array([demo.copies[i] for i in sample_id])
    entropy = np.array([demo.record_entropy_bits[i] for i in sample_id])
    true = entropy - np.asarray(target_bits, dtype=np.float64)
    signed, memorized, shared = (np.asarray(bits) for bits in (signed_bits, memorized_bits, generalization_bits))
    true_shared = np.asarray(uniform_bits) - np.maximum(entropy, target_bits)

    def row(n_copies: int) -> CopiesRow:
        rows = copies == n_copies

        def estimate(values: NDArray[np.float64]) -> Estimate:
            return mean(values[rows], level=level, n_as="members" if n_copies else "non_members")

        return CopiesRow(
            copies=n_copies,
            n=int(rows.sum()),
            entropy_bits=float(entropy[rows].mean()),
            signed_bits=estimate(signed),
            memorized_bits=estimate(memorized),
            true_bits=estimate(true),
            true_share=estimate(true / entropy),
            shared_bits=estimate(shared),
            true_shared_bits=estimate(true_shared),
        )

    return tuple(row(n_copies) for n_copies in np.unique(copies).tolist())

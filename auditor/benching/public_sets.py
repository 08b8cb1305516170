"""The public data sets of the field: where each lies, which columns it has, its licence, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PUBLIC_SETS", "PublicSet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicSet:
    """A data set of members and non-members that others published.

    Parameters
    ----------
    name : str
        As people call it.
    repository : str or None
        Id on the hub; None if its authors publish only how to make it.
    paper : str
    licence : str
        As the authors state it.
    parts : tuple of str
        What can be audited on its own; one of them is chosen.
    text_field : str
        Column of the text, or of token ids where ``holds_tokens``.
    label_field : str or None
        Column that is 1 for members and 0 for non-members; None where they lie in two files.
    split : str
        Split on the hub, ``{part}`` standing for the part.
    files : tuple of str
        Files of members and of non-members, where they are two.
    part_field : str or None
        Column that holds the part of a row, where all parts lie in one table.
    copies_field : str or None
        Column that says how often a member stood in the training data.
    holds_tokens : bool
        The text is given as token ids, and a tokenizer must turn them into text.
    caution : mapping of str to str
        What is known of parts whose names begin so; the key ``""`` is of all of them.
    """

    name: str
    repository: str | None
    paper: str
    licence: str
    parts: tuple[str, ...]
    text_field: str
    label_field: str | None
    split: str = "train"
    files: tuple[str, ...] = ()
    part_field: str | None = None
    copies_field: str | None = None
    holds_tokens: bool = False
    caution: Mapping[str, str]

    def caution_of(self, part: str) -> str | None:
        """Say what is known of a part; None if nothing is."""
        found = [said for start, said in self.caution.items() if part.startswith(start)]
        return "; ".join(found) or None


_THRESHOLDS = ("ngram_7_0.2", "ngram_13_0.2", "ngram_13_0.8")
_PILE = ("arxiv", "dm_mathematics", "github", "hackernews", "pile_cc", "pubmed_central", "wikipedia_(en)")
_MONTHS = ("2020_08", "2021_01", "2021_06", "2022_01", "2022_06", "2023_01", "2023_06")
_TOAA_SUFFIXES = ("plain", *(f"{kind}_{n}tok" for kind in ("rare", "random", "model_based") for n in (1, 8, 32)))

PUBLIC_SETS = {
    "wikimia": PublicSet(
        name="WikiMIA",
        repository="swj0419/WikiMIA",
        paper="arXiv:2310.16789",
        licence="MIT",
        parts=("32", "64", "128", "256"),
        text_field="input",
        label_field="label",
        split="WikiMIA_length{part}",
        caution={"": "members are older pages and non-members newer ones, which texts alone tell (arXiv:2406.16201)"},
    ),
    "mimir": PublicSet(
        name="MIMIR",
        repository="iamgroot42/mimir",
        paper="arXiv:2402.07841",
        licence="MIT (the texts are of the Pile)",
        parts=(
            *(f"{source}_{threshold}" for source in _PILE for threshold in _THRESHOLDS),
            *("full_pile", "c4", *(f"temporal_arxiv_{month}" for month in _MONTHS), "temporal_wiki"),
        ),
        text_field="text",
        label_field=None,
        files=("{folder}/train/{part}.jsonl", "{folder}/test/{part}.jsonl"),
        caution={
            "temporal_": "members and non-members are of different years",
            **{
                f"{source}_{threshold}": "non-members that share n-grams with the training data were left out, which "
                "makes them unlike members (arXiv:2406.17975)"
                for source in _PILE
                for threshold in _THRESHOLDS[:2]
            },
        },
    ),
    "copyright-traps": PublicSet(
        name="Copyright traps",
        repository="imperial-cpg/copyright-traps",
        paper="arXiv:2402.09363",
        licence="none stated",
        parts=tuple(f"seq_len_{length}_n_rep_{copies}" for length in (25, 50, 100) for copies in (10, 100, 1000)),
        text_field="text",
        label_field="label",
        split="{part}",
        caution={},
    ),
    "toaa": PublicSet(
        name="TOAA",
        repository="sbordt/TOAA-Membership-Inference",
        paper="Train Once, Answer All",
        licence="ODC-BY",
        parts=tuple(f"{suffix}_{copies}x" for suffix in _TOAA_SUFFIXES for copies in (1, 4, 16)),
        text_field="input_ids",
        label_field="membership",
        part_field="condition",
        copies_field="duplication",
        holds_tokens=True,
        caution={"rare_": "members share one rare token and non-members draw from many: attack with a reference"},
    ),
    "olmomia": PublicSet(
        name="OLMoMIA",
        repository=None,
        paper="arXiv:2410.07582",
        licence="ODC-BY (the texts are of Dolma)",
        parts=("easy", "medium", "hard", "random", "mix-1", "mix-2"),
        text_field="input",
        label_field="label",
        caution={
            "easy": "members and non-members are of clusters far apart, by design",
            "medium": "members and non-members are of different clusters, by design",
            "mix": "one side is of clusters and the other random, by design",
        },
    ),
}
"""Every public set by the name that a bench gives it."""

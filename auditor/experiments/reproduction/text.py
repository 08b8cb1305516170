"""Text: bits, losses, membership and recitation of models of several sizes on growing numbers of texts."""

from collections.abc import Sequence
from pathlib import Path

from ...documents.calibration import Calibration
from ...documents.reproduction import Scale
from ...errors import DataError
from ...laws.membership import LAW_SAMPLE_TOKENS
from ..calibration import calibrate
from ..corpus import cut_corpus, train_tokenizer
from ..sweep import largest_cell
from ..workers import RunProgress
from .text_scales import text_plan

__all__ = ["sweep_text"]

_VOCABULARY = {"laptop": 512, "paper": 50_257}


def sweep_text(
    scale: Scale,
    texts: Sequence[str],
    *,
    name: str,
    folder: Path,
    device: str,
    workers: int,
    on_progress: RunProgress | None = None,
) -> Calibration:
    """Train the sweep that the parts on text are drawn from: a calibration of the membership law, see `calibrate`.

    Parameters
    ----------
    scale : {"laptop", "paper"}
    texts : sequence of str
    name : str
        Of the texts, for people.
    folder : Path
        Where finished trainings are kept; an interrupted sweep goes on from there.
    device : str
    workers : int
    on_progress : callable, optional

    Raises
    ------
    DataError
        If the texts are too few for the sweep; it says how many samples there are.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, sections 4 and 5. Their tokenizer is GPT-2's; a byte-level BPE of the
       texts stands for it here, of the same size at the paper's scale.
    """
    tokenizer = train_tokenizer(texts, n_vocabulary=_VOCABULARY[scale])
    if len(tokenizer) < _VOCABULARY[scale]:
        raise DataError(
            f"{name}: the texts give a tokenizer of {len(tokenizer):,} tokens, and the models take "
            f"{_VOCABULARY[scale]:,}: give more text"
        )
    plan = text_plan(scale, n_vocabulary=len(tokenizer), sample_tokens=LAW_SAMPLE_TOKENS, device=device)
    corpus = cut_corpus(
        texts,
        tokenizer,
        name=name,
        tokenizer_name=f"byte-level BPE of {len(tokenizer)} tokens, trained on all texts",
        n_held_out=plan.n_held_out,
        n_pool=largest_cell(plan, sample_tokens=LAW_SAMPLE_TOKENS),
        n_reference=plan.n_reference,
        sample_tokens=LAW_SAMPLE_TOKENS,
        seed=plan.seed,
    )
    return calibrate(plan, corpus, folder=folder, workers=workers, on_progress=on_progress)

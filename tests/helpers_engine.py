"""Models as plain transformers loads them, and the measures that the engine takes of texts."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attacks import Need
from auditor.config import AuditConfig
from auditor.engine.measures import Measures, measure_missing
from auditor.engine.models import open_models
from auditor.engine.plan import make_plan


def load_plainly(folder: Path) -> tuple[Any, Any]:
    """Return the model of a folder, as transformers loads it, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def measure_texts(
    config: AuditConfig, texts: Sequence[str], needs: Iterable[Need], *, scores_folder: Path, **options: Any
) -> Measures:
    """Take the measures of texts that have to be as they are."""
    names = [f"s{i}" for i in range(len(texts))]
    needs, cut = frozenset(needs), config.long_texts == "cut"
    plan = make_plan(open_models(config), sample_ids=names, texts=texts, needs=needs, cut=cut, rewrite=_no_rewriting)
    return measure_missing(plan, config, needs, scores_folder=scores_folder, **options)


def _no_rewriting(_: Any) -> Any:
    raise AssertionError("these measures are of the texts as they are")

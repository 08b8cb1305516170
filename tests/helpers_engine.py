"""Models as plain transformers loads them, and the measures that the engine takes of texts."""

import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from attacks import Need
from auditor.config import AuditConfig
from auditor.engine.forward import COUNTS, STATISTICS
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


def unsound_scores(kind: str) -> tuple[bytes, bytes]:
    """Write rows as no store would, in an Arrow stream, with a ledger that vouches for them.

    Parameters
    ----------
    kind : {"sound", "null", "NaN", "two lengths", "offsets", "decreasing", "far", "twice"}
        What is wrong with them.
    """
    columns: dict[str, pa.Array] = {
        name: pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.int32() if name in COUNTS else pa.float32()))
        for name in STATISTICS
    }
    odd: dict[str, list[Any]] = {
        "null": [None, [4, 5, 6]],
        "NaN": [[1, 2, 3], [4, math.nan, 6]],
        "two lengths": [[1, 2, 3, 4], [5, 6]],
    }
    if kind in odd:
        columns["logprob_max"] = pa.array(odd[kind], pa.list_(pa.float32()))
    keys = pa.array(["a" * 32, ("a" if kind == "twice" else "b") * 32])
    batch = pa.record_batch({"key": keys, **columns})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content = sink.getvalue().to_pybytes()
    offsets = {"offsets": (0, -3, 6), "decreasing": (0, 6, 3), "far": (0, 3, 2**30)}.get(kind, (0, 3, 6))
    written = np.array([0, 3, 6], dtype="<i4").tobytes()
    assert written in content
    content = content.replace(written, np.array(offsets, dtype="<i4").tobytes())
    return content, f"{len(content)} {zlib.crc32(content)}\n".encode()


def _no_rewriting(_: Any) -> Any:
    raise AssertionError("these measures are of the texts as they are")

"""``auditor reproduce``: the paper's experiments again, with data, figures and a page of claims."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..errors import ConfigError
from .kinds import PLACE
from .options import folder_option, shared
from .output import make_console, make_folder, print_summary, quiet_libraries, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from ..documents.reproduction import SweepSettings
    from .progress import Phases

__all__ = ["reproduce"]

_STATE = "reproduction.json"
_LOADING, _SWEEP, _DRAWING = (
    "loading PyTorch",
    "training the sweep on text",
    "drawing the figures and the page",
)
_RANDOM = {
    "capacity": "training on random tokens: sizes",
    "training": "training on random tokens: bits on the way",
    "precision": "training on random tokens: precision",
    "sequences": "training on random tokens: sequences",
    "shapes": "training on random tokens: depth and width",
}
"""Parts that need no texts, with their phases."""

_ON_TEXT = ("text", "membership", "extraction")
_PARTS = (*_RANDOM, *_ON_TEXT)


@cloup.command(short_help="Train the experiments of the paper again.")
@click.option("--part", "parts", type=click.Choice(_PARTS), multiple=True,
              help="What to reproduce; may be given several times.  [default: all of them]")  # fmt: skip
@folder_option("data, figures, paper.md and what is needed to go on", default="reproduction")
@click.option("--scale", type=click.Choice(["laptop", "paper"]), default="laptop",
              help="Sizes of models and data: minutes to an hour on two cores, or the paper's, for GPUs.")  # fmt: skip
@click.option("--data", type=PLACE, metavar="DATA", help=(
    "Texts, for the parts text, membership and extraction: two million characters do."))  # fmt: skip
@shared("--text-field", "--dataset-split", filled=True)
@shared("--device", filled=True, metavar="auto|cpu|cuda|cuda:N", help=None)
@shared("--workers")
def reproduce(
    parts: tuple[str, ...], out: Path, scale: str, data: str | None, device: str, workers: int | None, **options: Any
) -> None:
    """Train the experiments of the paper again (Morris et al. 2025), and set its claims beside what they show.

    On random tokens: `capacity` over sizes of the model, bits during `training`, float32 against bfloat16
    (`precision`), length of `sequences` and vocabulary, depth and width (`shapes`). `text`, `membership` and
    `extraction` are drawn from one sweep on your texts. What is interrupted goes on when started again. The page of
    what was found here: docs/paper.md.
    """
    chosen = parts or _PARTS
    on_text = [part for part in chosen if part in _ON_TEXT]
    if on_text and data is None:
        raise ConfigError(
            f"--part {', '.join(on_text)}: trained on texts; give them with --data, or --part capacity alone"
        )
    from .progress import phases

    random = [part for part in _RANDOM if part in chosen]
    trained = [*(_RANDOM[part] for part in random), *([_SWEEP] if on_text else [])]
    with phases(make_console(stderr=True), (_LOADING, *trained, _DRAWING)) as shown:
        quiet_libraries()
        from ..engine.loading.models import choose_device
        from ..experiments.workers import cores

        asked, device = device, choose_device(device)
        if scale == "paper" and device == "cpu" and asked != "cpu":
            raise ConfigError(
                "--scale paper: 10^6 steps of 2,048 sequences need a GPU, and there is none; --scale laptop"
            )
        workers = workers or (cores() if device == "cpu" else 1)
        texts = _read_texts(data, options) if on_text and data is not None else None
        make_folder(out, folders=(*_RANDOM, "text"))
        _claim_folder(out, scale, data if texts else None, texts)
        for part in random:
            shown.begin(_RANDOM[part])
            train = _capacity if part == "capacity" else _grid
            train(out, part, scale, device=device, workers=workers, on_progress=shown.share(_RANDOM[part]))
        if texts is not None and data is not None:
            _text(out, scale, texts, data, device, workers, shown)
        shown.begin(_DRAWING)
        claims = _write_page(out, chosen)
    print_summary(claims, f"\nPage: {out / 'paper.md'}")


def _read_texts(data: str, options: dict[str, Any]) -> "Sequence[str]":
    from ..config import DataSpec
    from ..data import load_texts

    read, _ = load_texts(DataSpec(path=data, text_field=options["text_field"], split=options["split"]))
    return read.words


def _claim_folder(out: Path, scale: str, data: str | None, texts: "Sequence[str] | None") -> None:
    """Go on in a folder only if it was asked for the same."""
    from dataclasses import replace
    from hashlib import sha256

    from ..documents.files import to_text
    from ..documents.reproduction import SweepSettings

    digest = None if texts is None else sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    asked = SweepSettings(scale=scale, data=data, data_sha256=digest)  # type: ignore[arg-type]
    earlier = _earlier(out)
    if earlier is not None:
        if earlier.scale != asked.scale:
            raise ConfigError(f"--out {out}: begun at --scale {earlier.scale}; give that, or another folder")
        if None not in (earlier.data_sha256, digest) and earlier.data_sha256 != digest:
            raise ConfigError(f"--out {out}: begun with other texts; give those, or another folder")
        if digest is None:
            asked = replace(asked, data=earlier.data, data_sha256=earlier.data_sha256)
    write(out / _STATE, to_text(asked))


def _earlier(out: Path) -> "SweepSettings | None":
    """Read what the folder is of; refuse one that holds something else."""
    from ..documents.files import read_document
    from ..documents.reproduction import SweepSettings

    if (out / _STATE).is_file():
        return read_document(out / _STATE, SweepSettings, version="1.0", what="reproduction")
    if any(one.is_file() or any(one.iterdir()) for one in out.iterdir()):
        raise ConfigError(f"--out {out}: it holds files and no {_STATE}: it is of another command; give another folder")
    return None


def _capacity(out: Path, part: str, scale: Any, **given: Any) -> None:
    from ..documents.files import to_text
    from ..experiments.reproduction.capacity import sweep_capacity

    write(out / f"{part}-sweep.json", to_text(sweep_capacity(scale, folder=out / part, **given)))


def _grid(out: Path, part: Any, scale: Any, **given: Any) -> None:
    from ..documents.files import to_text
    from ..experiments.reproduction.grids import run_grid

    write(out / f"{part}.json", to_text(run_grid(part, scale, folder=out / part, **given)))


def _text(out: Path, scale: Any, texts: "Sequence[str]", name: str, device: str, workers: int, shown: "Phases") -> None:
    from ..documents.files import to_text
    from ..experiments.reproduction.text import sweep_text

    shown.begin(_SWEEP)
    found = sweep_text(
        scale, texts, name=Path(name).name, folder=out / "text", device=device, workers=workers,
        on_progress=shown.share(_SWEEP),
    )  # fmt: skip
    write(out / "calibration.json", to_text(found))


def _write_page(out: Path, parts: "Sequence[str]") -> "RenderableType":
    """Draw the figures of the parts, write the page of all that the folder holds, and return its claims."""
    from reports.paper import paper_claims, paper_page, render_claims
    from reports.plots import calibration_figure, capacity_sweep_figure, recited_figure, text_figure, training_figure

    from ..documents.calibration import read_calibration
    from ..documents.reproduction import GRID_PARTS, read_capacity_grid, read_capacity_sweep

    held, swept = out / "capacity-sweep.json", out / "calibration.json"
    capacity = read_capacity_sweep(held) if held.is_file() else None
    text = read_calibration(swept) if swept.is_file() else None
    if capacity is not None and "capacity" in parts:
        capacity_sweep_figure(capacity, out / "capacity.svg")
    grids = [read_capacity_grid(file) for file in (out / f"{part}.json" for part in GRID_PARTS) if file.is_file()]
    for grid in (grid for grid in grids if grid.part == "training" and "training" in parts):
        training_figure(grid, out / "training.svg")
    if text is not None:
        draw = {"text": text_figure, "membership": calibration_figure, "extraction": recited_figure}
        for part in (part for part in parts if part in draw):
            draw[part](text, out / f"{part}.svg")
    claims = paper_claims(capacity, text, grids=grids)
    figures = {part: f"{part}.svg" for part in _PARTS if (out / f"{part}.svg").is_file()}
    write(out / "paper.md", paper_page(capacity, text, figures=figures, grids=grids))
    return render_claims(claims)

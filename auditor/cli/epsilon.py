"""``auditor epsilon``: the lower bound on epsilon that right guesses of random coins give."""

import click
import cloup

from ..errors import ConfigError
from .options import printing_options, shared
from .output import make_console, print_document

__all__ = ["epsilon"]


@cloup.command(short_help="Bound epsilon from guesses of random coins.")
@click.option("--canaries", type=int, metavar="M", required=True, help="Records that a fair coin put in or left out.")
@click.option("--guesses", type=int, metavar="R", required=True, help="Coins guessed, declared before looking.")
@click.option("--correct", type=int, metavar="V", required=True, help="Guesses that were right.")
@click.option("--delta", type=float, metavar="D", default=0.0, help="Delta of the claim that is tested.")
@shared("--confidence", filled=True, metavar="P", help="Chance that the bound does not exceed the true epsilon.")
@printing_options("the bound as JSON on stdout")
def epsilon(canaries: int, guesses: int, correct: int, delta: float, confidence: float, as_json: bool) -> None:
    """Bound epsilon from below: what differential privacy a training run cannot have had.

    Of M records each was put into training by its own fair coin. After training R coins were guessed from the model, V
    of them rightly. The bound is Steinke, Nasr and Jagielski's for one run (arXiv:2305.08846); beside it stands the
    ceiling, the most that so many guesses can show.
    """
    from reports.epsilon import render_epsilon

    from ..documents.files import to_text
    from ..estimates.epsilon import bound_epsilon

    try:
        found = bound_epsilon(
            n_canaries=canaries, n_guesses=guesses, n_correct=correct, delta=delta, confidence=confidence
        )
    except ValueError as error:
        raise ConfigError(f"no bound on epsilon: {error}") from error
    if as_json:
        print_document(to_text(found))
    else:
        make_console(stderr=False).print(render_epsilon(found))

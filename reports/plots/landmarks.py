"""Models that readers know, with their sizes and where these come from."""

from dataclasses import dataclass

from auditor.laws.membership import LAW_SAMPLE_TOKENS

from ..numbers import count

__all__ = ["LANDMARKS", "Landmark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmark:
    """A known model on the map.

    Parameters
    ----------
    name : str
    params, tokens : float
        All parameters, and tokens of training.
    source : str
        Where both numbers stand, and what the tokens count.
    unique : bool
        Whether the tokens are those of the training set, each counted once as the law does; else they are those
        seen in training, which count a text every time.
    """

    name: str
    params: float
    tokens: float
    source: str
    unique: bool = False


_TABLE_4 = "Morris et al. 2025, arXiv:2505.24832, table 4: {} 64-token samples, all different, trained until saturated"

LANDMARKS: tuple[Landmark, ...] = (
    *(
        Landmark(name=name, params=params, tokens=n * LAW_SAMPLE_TOKENS, source=_TABLE_4.format(count(n)), unique=True)
        for name, params, n in (
            ("GPT-2, 14M samples", 123_702_528, 13_566_442),
            ("GPT-2, 6.1M samples", 123_702_528, 6_104_935),
            ("GPT-2, 1.5M samples", 123_702_528, 1_498_634),
            ("GPT-2 XL, 171M samples", 1_556_075_200, 170_654_583),
            ("GPT-2 XL, 77M samples", 1_556_075_200, 76_795_021),
            ("GPT-2 XL, 19M samples", 1_556_075_200, 18_851_574),
        )
    ),
    *(
        Landmark(name=name, params=params, tokens=tokens, source=source)
        for name, params, tokens, source in (
            ("Chinchilla 70B", 70e9, 1.4e12, "Hoffmann et al. 2022, arXiv:2203.15556: 1.4T tokens seen"),
            ("GPT-3 175B", 175e9, 300e9, "Brown et al. 2020, arXiv:2005.14165: 300B tokens seen, parts more than once"),
            ("PaLM 540B", 540e9, 780e9, "Chowdhery et al. 2022, arXiv:2204.02311: 780B tokens seen"),
            ("Pythia-70M", 70e6, 300e9, "Biderman et al. 2023, arXiv:2304.01373: 300B tokens seen"),
            ("Pythia-6.9B", 6.9e9, 300e9, "Biderman et al. 2023, arXiv:2304.01373: 300B tokens seen"),
            ("Llama-2-7B", 6.7e9, 2e12, "Touvron et al. 2023, arXiv:2307.09288: 2T tokens seen"),
            ("TinyLlama-1.1B", 1.1e9, 3e12, "Zhang et al. 2024, arXiv:2401.02385: about 3 epochs of 1T tokens"),
            ("Llama-3-8B", 8e9, 15e12, "Llama team 2024, arXiv:2407.21783: about 15T tokens seen"),
            ("Llama-3.1-405B", 405e9, 15.6e12, "Llama team 2024, arXiv:2407.21783: 15.6T tokens seen"),
            ("SmolLM2-135M", 135e6, 2e12, "Allal et al. 2025, arXiv:2502.02737: 2T tokens seen"),
        )
    ),
)
"""Models that many readers know. Only the first six were trained as the law assumes."""

"""Scripts of texts."""

import pytest

from auditor.data.scripts import NO_LETTERS, main_script


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain words", "Latin"),
        ("ÄÖÜ ß é", "Latin"),
        ("1 2 3 +", NO_LETTERS),
        ("€ ½ 😀 ²", NO_LETTERS),
        ("", NO_LETTERS),
        ("Ελληνικά", "Greek"),
        ("שלום ab", "Hebrew"),
        ("مرحبا", "Arabic"),
        ("हिन्दी", "Devanagari"),
        ("한국어", "Hangul"),
        ("漢字かな", "Han"),  # two and two: the first by name
        ("ｆｕｌｌ ｗｉｄｔｈ", "Latin"),
        ("ﾊﾝｶｸ", "Kana"),
        ("x ∈ 𝒳 ⊂ 𝒴 ж ж", "Cyrillic"),  # mathematical letters are of no script
        ("\ue000\ud7ff", NO_LETTERS),  # private use, and a place without a character
    ],
)
def test_script_of_most_letters(text: str, script: str) -> None:
    assert main_script(text) == script

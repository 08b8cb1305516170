"""A hook of MkDocs for links that leave docs/: into the repository if its address is given, else plain words."""

import os
import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn ``[words](../file)`` into a link below ``REPOSITORY_URL``, or into the words alone."""
    repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")

    def outside(link: re.Match[str]) -> str:
        words, path = link.groups()
        return f"[{words}]({repository}/blob/HEAD/{path})" if repository else words

    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", outside, markdown)

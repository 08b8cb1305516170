"""The layout of a release: a clone whose README has absolute links and whose project has URLs, ready to be built.

An index shows the README without the files beside it, and the repository does not say where it is published.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def with_absolute_links(readme: str, url: str, tag: str) -> str:
    """Let links lead to the pages of a tag, and images to their files."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({url}/{kind}/{tag}/{link[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)]+)\)", absolute, readme)


def with_urls(project: str, url: str, tag: str) -> str:
    """Put the addresses of a project into its pyproject.toml."""
    changelog = f"{url}/blob/{tag}/CHANGELOG.md"
    urls = {"Repository": url, "Documentation": f"{url}/tree/{tag}/docs", "Changelog": changelog}
    lines = "".join(f'{name} = "{address}"\n' for name, address in urls.items())
    return project.replace("[project.scripts]", f"[project.urls]\n{lines}\n[project.scripts]")


def main(arguments: list[str]) -> int:
    """Lay out a release of the commit at hand in a folder that is not there yet."""
    if len(arguments) != 2 or not arguments[0].startswith("https://"):
        print("usage: python .ci/release.py https://HOST/OWNER/NAME FOLDER", file=sys.stderr)
        return 2
    url, folder = arguments[0].rstrip("/"), Path(arguments[1])
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    stated: dict[str, str] = {}
    exec((folder / "auditor" / "version.py").read_text(encoding="utf-8"), stated)
    for name, change in {"README.md": with_absolute_links, "pyproject.toml": with_urls}.items():
        file = folder / name
        file.write_text(change(file.read_text(encoding="utf-8"), url, f"v{stated['__version__']}"), encoding="utf-8")
    print(f"now: python -m build {folder} && twine check --strict {folder}/dist/*")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

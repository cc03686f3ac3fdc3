"""README.md and the pages of docs/, and the blocks in them."""

import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")

# All pages as one text, the README first.
DOCUMENTS = "\n".join([README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))])


def blocks(language: str, after: str) -> list[str]:
    """The fenced blocks of a language after a text of the documents."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENTS[DOCUMENTS.index(after) :], re.DOTALL | re.MULTILINE)

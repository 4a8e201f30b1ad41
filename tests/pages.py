"""The pages of the documentation, taken apart: code, links, headings, settings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
)

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, and its text without the indentation of the list it is in."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """A page in Markdown."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return _BLOCK.sub("", self.text)

    def blocks(self, *languages: str) -> list[Block]:
        """The blocks of code in these languages; all blocks if none is named."""
        every = (
            Block(language, re.sub(rf"^{indent}", "", code, flags=re.M))
            for indent, language, code in _BLOCK.findall(self.text)
        )
        return [block for block in every if not languages or block.language in languages]

    @property
    def inline_code(self) -> list[str]:
        return _INLINE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        """The targets of links and pictures, those with an address on the web left out."""
        return [target for target in _LINK.findall(self.prose) if "://" not in target]

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        headings = _HEADING.findall(self.prose)
        return {_NOT_IN_ANCHORS.sub("", text.lower()).replace(" ", "-") for text in headings}

    def commands(self) -> Iterator[str]:
        """The command lines in blocks of code, lines that go on joined, without a prompt."""
        for block in self.blocks("sh", "console"):
            lines = iter(block.text.replace("\\\n", " ").splitlines())
            for line in lines:
                if block.language == "sh":
                    yield line
                elif line.startswith("$ "):
                    command = line.removeprefix("$ ")
                    while command.count('"') % 2:
                        command += f"\n{next(lines)}"
                    yield command


PAGES = tuple(Page(path) for path in PATHS)

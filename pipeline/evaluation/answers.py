"""The file of answers by hand: which judge calls which pair of items similar."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pyarrow as pa

from pipeline.errors import InputError, UsageError
from pipeline.storage.files import write_exclusive

# As --pairs reads them, and who has answered.
COLUMNS = ("a", "b", "match", "judge")


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        a: the item whose neighbour is judged.
        b: the neighbour.
        match: whether the judge calls them similar.
        judge: who has answered.
    """

    a: str
    b: str
    match: bool
    judge: str

    @property
    def pair(self) -> tuple[str, str]:
        """The two items in ascending order: similar is similar in both directions."""
        return min(self.a, self.b), max(self.a, self.b)


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree, on the pairs that both have judged.

    Attributes:
        judges: their names.
        pairs: the number of these pairs.
        observed: the share of them that both answer alike.
        kappa: Cohen's kappa, 1 for agreement, 0 for that of chance; None where chance alone makes
            both always answer alike.
    """

    judges: tuple[str, str]
    pairs: int
    observed: float
    kappa: float | None


class Answers:
    """Answers in a file, of which each is written before the next question is asked.

    The file only grows: every answer is one line that is written at once at its end, so several
    judges can answer at the same time. Of two answers of a judge to a pair the last counts.

    Attributes:
        path: the file, on this host.
        judge: who answers now.
    """

    def __init__(self, path: str, judge: str) -> None:
        """Read the file, if it is there.

        Raises:
            UsageError: the judge has no name, or the path is an address.
            InputError: the file is no such file.
        """
        self.path, self.judge = path, judge.strip()
        if not self.judge:
            raise UsageError("--judge-name: give the judge a name")
        if not self.judge.isprintable():
            raise UsageError(f"--judge-name {self.judge!a}: give a name in one line of UTF-8")
        if "://" in path:
            raise UsageError(
                f"--judge {path}: answers are added to a file line by line, which object stores "
                "can't; name a file of this host, and copy it to the store when you are done"
            )
        self._answers = _read(path)

    def __iter__(self) -> Iterator[Answer]:
        """The answers in the order of the file."""
        return iter(self._answers.values())

    def __len__(self) -> int:
        """The number of answers."""
        return len(self._answers)

    def ids(self) -> pa.Array:
        """The ids of all items that answers are of, each once, in ascending order."""
        return pa.array(sorted({item for one in self for item in one.pair}), pa.string())

    def own(self, a: str, b: str) -> bool | None:
        """What this judge has said of two items; None for nothing yet."""
        answer = self._answers.get((min(a, b), max(a, b), self.judge))
        return None if answer is None else answer.match

    def put(self, a: str, b: str, *, match: bool) -> None:
        """Add an answer to the file; on return it is on the disk.

        Raises:
            InputError: the file can't be written.
        """
        answer = Answer(a, b, match, self.judge)
        try:
            _append(Path(self.path), _line(a, b, int(match), self.judge))
        except OSError as error:
            raise InputError(f"--judge {self.path}: can't be written ({error})") from error
        self._answers[*answer.pair, self.judge] = answer

    def refresh(self) -> None:
        """Read the file again: other judges may have answered meanwhile.

        Raises:
            InputError: the file can't be read.
        """
        self._answers = _read(self.path)

    def shares(self) -> dict[tuple[str, str], float]:
        """By pair, the share of its judges that call it similar."""
        said: dict[tuple[str, str], list[bool]] = {}
        for one in self:
            said.setdefault(one.pair, []).append(one.match)
        return {pair: sum(matches) / len(matches) for pair, matches in said.items()}

    def agreements(self) -> list[Agreement]:
        """How far each two judges agree that have pairs in common, by their names."""
        by_judge: dict[str, dict[tuple[str, str], bool]] = {}
        for one in self:
            by_judge.setdefault(one.judge, {})[one.pair] = one.match
        result = []
        for left, right in combinations(sorted(by_judge), 2):
            common = by_judge[left].keys() & by_judge[right].keys()
            if common:
                both = [(by_judge[left][pair], by_judge[right][pair]) for pair in common]
                result.append(_agreement((left, right), both))
        return result


def _agreement(judges: tuple[str, str], both: list[tuple[bool, bool]]) -> Agreement:
    count = len(both)
    observed = sum(left == right for left, right in both) / count
    yes = [sum(answers) / count for answers in zip(*both, strict=True)]
    chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    kappa = None if chance == 1 else (observed - chance) / (1 - chance)
    return Agreement(judges, count, observed, kappa)


def _line(*values: object) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def _append(path: Path, line: bytes) -> None:
    """Add a line in one write: those of several processes don't mix, and none is lost."""
    if not path.exists():
        with suppress(FileExistsError):
            write_exclusive(path, _line(*COLUMNS))
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        # An editor may have left the last line without an end.
        if os.pread(descriptor, 1, max(size - 1, 0)) != b"\n":
            line = b"\n" + line
        if os.write(descriptor, line) < len(line):
            raise OSError(f"its last line is cut off, as the disk is full: delete it; {path}")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: str) -> dict[tuple[str, str, str], Answer]:
    """The answers by pair and judge; none if there is no file. The last of a judge counts."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--judge {path}: can't be read as CSV in UTF-8 ({error})") from error
    # A quotation mark that is not closed would take in all lines after it.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        return _answers(path, reader)
    except csv.Error as error:
        raise InputError(
            f"--judge {path}: line {reader.line_num} can't be read as CSV ({error}); mend it or "
            "delete it"
        ) from error


def _answers(path: str, reader: "csv.DictReader[str]") -> dict[tuple[str, str, str], Answer]:
    header = tuple(reader.fieldnames or ())
    # Lines are added in this order.
    if header != COLUMNS:
        raise InputError(
            f"--judge {path}: the columns of a file of answers are {', '.join(COLUMNS)}, in this "
            f"order; this one has: {', '.join(header)}. Name a file that is not there yet, or one "
            "that --judge made"
        )
    answers = {}
    for row in reader:
        values = [row[name] for name in COLUMNS]
        if not all(values) or row["match"] not in ("0", "1") or len(row) > len(COLUMNS):
            raise InputError(
                f"--judge {path}: line {reader.line_num} has a {row['a']!r}, b {row['b']!r}, match "
                f"{row['match']!r}, judge {row['judge']!r}; a and b are items' ids, match is 1 or 0"
            )
        answer = Answer(row["a"], row["b"], row["match"] == "1", row["judge"])
        answers[*answer.pair, answer.judge] = answer
    return answers

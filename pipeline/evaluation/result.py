"""The result of an evaluation."""

from dataclasses import dataclass

from pipeline.evaluation.comparison import LabelSizes, PairCosines
from pipeline.evaluation.figures import Figures, Subject
from pipeline.evaluation.judging import AnswerFigures
from pipeline.evaluation.pairs_file import PairPositions


@dataclass(frozen=True)
class GroupFigures:
    """The figures of a group of items.

    Attributes:
        name: the group's name.
        items: the number of its items.
        figures: of what is measured for them.
    """

    name: str
    items: int
    figures: dict[Subject, Figures]


@dataclass(frozen=True)
class Evaluation:
    """The result of `nitamono evaluate`.

    Attributes:
        k: the number of neighbours that count.
        items: the number of items in the sample.
        total: the number of items in the catalogue.
        run_id: the run that computed or reused the embeddings.
        embeddings: the embeddings' version.
        against: the version of the embeddings of the other config; empty without one.
        methods: what is compared, the current settings first, measured or not.
        labels: the numbers of items, by column of labels.
        figures: of all items, by what they are of.
        pairs: the pairs; None without a file of pairs.
        cosines: how well cosines tell the pairs apart; None without a file of pairs.
        groups: the figures of groups, by what the items are grouped by.
        answers: what methods score by answers by hand; None without them.
        missing: why a method was not measured, by the method's name.
    """

    k: int
    items: int
    total: int
    run_id: str
    embeddings: str
    against: str
    methods: tuple[str, ...]
    labels: dict[str, LabelSizes]
    figures: dict[Subject, Figures]
    pairs: PairPositions | None
    cosines: PairCosines | None
    groups: dict[str, list[GroupFigures]]
    answers: AnswerFigures | None
    missing: dict[str, str]

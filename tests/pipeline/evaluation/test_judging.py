import io
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.evaluation import judging
from pipeline.evaluation.answers import Answers

IDS = pa.array([f"i{n}" for n in range(6)])
NEAREST = {
    "current": np.array([[1, 2], [0, 2], [0, 1], [4, -1], [3, 5], [-1, -1]]),
    "tfidf": np.array([[1, 3], [0, 3], [4, 5], [4, 2], [3, 0], [-1, -1]]),
}
DETAILS = {
    item: {"title": f"title of {item}", "category": "shoes", "brand": None, "price": 12.5}
    for item in IDS.to_pylist()
}


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(str(tmp_path / "answers.csv"), "anna")


def test_the_pool_of_all_methods_is_asked_each_pair_once_item_by_item(answers: Answers) -> None:
    pairs = judging.pairs_to_ask(IDS, NEAREST, answers, 99)
    expected = {
        frozenset((f"i{item}", f"i{other}"))
        for near in NEAREST.values()
        for item, row in enumerate(near.tolist())
        for other in row
        if other >= 0
    }
    assert Counter(map(frozenset, pairs)) == Counter(dict.fromkeys(expected, 1))
    firsts = [a for a, _ in pairs]
    assert firsts == sorted(firsts, key=firsts.index)
    assert firsts != sorted(firsts)
    # What is answered is not asked again; another judge gets the same order from its start.
    answers.put(*pairs[0][::-1], match=False)
    assert judging.pairs_to_ask(IDS, NEAREST, answers, 3) == pairs[1:4]
    assert judging.pairs_to_ask(IDS, NEAREST, Answers(answers.path, "ben"), 3) == pairs[:3]


def test_answers_are_kept_skipped_and_given_again(
    answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("i0", "i1"), ("i0", "i2"), ("i1", "i3"), ("i1", "i4")]
    # Back from the first is the first. Back to the second: n becomes yes. Back again: s keeps it.
    typed = io.StringIO("b\ny\nwhat?\n N \nb\nyes\nb\ns\ns\nn\n")
    judging.ask(pairs, DETAILS, answers, typed)
    assert [(one.pair, one.match) for one in answers] == [
        (("i0", "i1"), True),
        (("i0", "i2"), True),
        (("i1", "i4"), False),
    ]
    shown = capsys.readouterr().err
    assert "[4/4]     title of i1\n     and  title of i4\n          shoes · 12.5\n" in shown
    assert shown.count("y yes, n no, s skip") == 2
    assert "similar? (you said no; s keeps it) " in shown
    assert "similar? (you said yes; s keeps it) " in shown
    assert "3 answers are in " in shown
    judging.ask([], DETAILS, answers, typed)
    assert "There is no pair that anna has not judged." in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["n\nq\ny\n", "n\n"])
def test_whoever_stops_keeps_what_was_answered(answers: Answers, typed: str) -> None:
    judging.ask([("i0", "i1"), ("i0", "i2")], DETAILS, answers, io.StringIO(typed))
    assert Path(answers.path).read_text() == "a,b,match,judge\ni0,i1,0,anna\n"


def test_what_a_terminal_of_another_encoding_sends_is_asked_again(answers: Answers) -> None:
    typed = io.TextIOWrapper(io.BytesIO(b"\x82\x99\n" + "ｙ\nＮ\n".encode()), encoding="utf-8")
    judging.ask([("i0", "i1"), ("i0", "i2")], DETAILS, answers, typed)
    assert [one.match for one in answers] == [True, False]


def test_an_item_cannot_act_on_the_terminal(
    answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    details = {"i0": {"title": "a\x1b[2Jb"}, "i1": {"title": "c", "description": "d\u202ee"}}
    judging.ask([("i0", "i1")], details, answers, io.StringIO(""))
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_precision_is_of_the_judged_neighbours_by_hand(answers: Answers) -> None:
    answers.put("i0", "i1", match=True)
    answers.put("i0", "i2", match=False)
    answers.put("i0", "i3", match=True)
    answers.put("i4", "i3", match=True)
    answers.put("gone", "i3", match=True)
    ben = Answers(answers.path, "ben")
    ben.put("i1", "i0", match=False)  # i1 is a query, too
    result = judging.score(IDS, NEAREST, ben)
    # Anna and ben disagree on i0 and i1: worth a half. The queries are i0, i1 and i4.
    current = [(0.5 + 0) / 2, 0.5, 1]
    tfidf = [(0.5 + 1) / 2, 0.5, 1]
    figure = result.figures["precision"]
    assert figure.values["current"].value == pytest.approx(np.mean(current))
    assert figure.values["tfidf"].value == pytest.approx(np.mean(tfidf))
    assert figure.differences["tfidf"].value == pytest.approx(np.mean(current) - np.mean(tfidf))
    assert (figure.differences["tfidf"].higher, figure.differences["tfidf"].lower) == (0, 1)
    assert result.judged == pytest.approx({"current": 4 / 6, "tfidf": 4 / 6})
    assert (result.items, result.answers, result.left_out) == (3, 6, 1)
    assert result.judges == {"anna": 5, "ben": 1}


def test_a_method_none_of_whose_neighbours_is_judged_has_no_figure(answers: Answers) -> None:
    answers.put("i0", "i2", match=True)
    answers.put("i3", "i5", match=False)
    result = judging.score(IDS, NEAREST, answers)
    figure = result.figures["precision"]
    assert figure.values["current"].value == 1
    assert (list(figure.values), figure.differences) == (["current"], {})
    assert result.judged == {"current": 1 / 3, "tfidf": 0}


def test_answers_of_another_catalogue_are_refused(answers: Answers) -> None:
    judging.check(IDS, answers)
    answers.put("i0", "gone", match=True)
    with pytest.raises(InputError, match=r"none of its 1 answers .* its ids look like i0\. Name"):
        judging.check(IDS, answers)

from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from pipeline.errors import InputError
from pipeline.evaluation import pairs_file
from pipeline.evaluation.answers import Answers

HEADER = "a,b,match,judge\n"


def test_every_answer_is_in_the_file_at_once_and_pairs_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.csv"
    answers = Answers(str(path), "anna")
    answers.put("x", "y", match=True)
    assert path.read_text() == HEADER + "x,y,1,anna\n"
    answers.put("x", 'a "b", c', match=False)
    # Another answer to the same pair, the other way round, takes the place of the first.
    answers.put("y", "x", match=False)
    answers.put("x", "z", match=True)
    answers.remove("z", "x")
    again = Answers(str(path), "anna")
    assert [(one.a, one.b, one.match) for one in again] == [
        ("y", "x", False),
        ("x", 'a "b", c', False),
    ]
    assert (again.own("x", "y"), again.own("x", "z"), len(again)) == (False, None, 2)
    assert list(path.parent.iterdir()) == [path]
    again.put("x", "w", match=True)
    pairs = pairs_file.read(str(path))
    assert pairs.right.to_pylist() == ["x", 'a "b", c', "w"]


def test_judges_who_answer_in_turns_keep_each_others_answers(tmp_path: Path) -> None:
    path = str(tmp_path / "answers.csv")
    anna, ben = Answers(path, "anna"), Answers(path, "ben")
    anna.put("x", "y", match=True)
    ben.put("x", "y", match=False)
    anna.put("x", "z", match=True)
    ben.remove("x", "y")
    assert Path(path).read_text() == HEADER + "x,y,1,anna\nx,z,1,anna\n"
    assert ben.shares() == {("x", "y"): 1, ("x", "z"): 1}


def test_agreement_is_cohens_kappa_counted_by_hand_and_by_scikit_learn(tmp_path: Path) -> None:
    # Of 10 pairs both say yes to 4 and no to 3; ben alone says yes to 2, anna alone to 1.
    said = [(1, 1)] * 4 + [(0, 0)] * 3 + [(0, 1)] * 2 + [(1, 0)]
    rows = [
        f"x,y{n},{match},{judge}\n"
        for n, both in enumerate(said)
        for judge, match in zip(("anna", "ben"), both, strict=True)
    ]
    path = tmp_path / "answers.csv"
    # The direction of a pair is no difference; one that only anna has judged does not count.
    path.write_text(HEADER + "".join(rows[:-1]) + "y9,x,0,ben\nx,w,1,anna\nx,w,1,carl\n")
    agreements = {one.judges: one for one in Answers(str(path), "anna").agreements()}
    assert list(agreements) == [("anna", "ben"), ("anna", "carl")]
    one = agreements["anna", "ben"]
    # Anna says yes to 5 of 10, ben to 6 of 10: by chance .5 * .6 + .5 * .4 would be alike.
    assert (one.pairs, one.observed) == (10, 0.7)
    assert one.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert one.kappa == pytest.approx(cohen_kappa_score(*zip(*said, strict=True)))
    assert (agreements["anna", "carl"].observed, agreements["anna", "carl"].kappa) == (1, None)
    assert Answers(str(path), "anna").shares()["x", "y9"] == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,match\nx,y,1\n", "a file of answers has the columns a, b, match, judge; .*: a, b"),
        ("a,b,match,judge,note\n", "this one has: a, b, match, judge, note. Name a file"),
        ("", "this one has: . Name a file that is not there yet"),
        (HEADER + "x,y,1,anna\nx,z,yes,anna\n", "line 3 has a 'x', b 'z', match 'yes'"),
        (HEADER + "x,y,1\n", "line 2 has .* judge None"),
    ],
)
def test_a_file_that_is_no_file_of_answers_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Answers(str(path), "anna")
    assert path.read_text() == text


def test_a_judge_has_a_name_and_the_file_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--judge-name: give the judge a name"):
        Answers(str(tmp_path / "answers.csv"), " ")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"can't be (read|written)"):
        Answers(str(tmp_path / "file" / "answers.csv"), "anna").put("x", "y", match=True)

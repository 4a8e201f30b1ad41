import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from pipeline.errors import InputError, UsageError
from pipeline.evaluation import pairs_file
from pipeline.evaluation.answers import Answers

HEADER = "a,b,match,judge\n"


def test_every_answer_is_in_the_file_at_once_and_pairs_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.csv"
    answers = Answers(str(path), "anna")
    answers.put("x", "y", match=True)
    assert path.read_text() == HEADER + "x,y,1,anna\n"
    answers.put("x", 'a "b", c', match=True)
    # Another answer to the same pair, the other way round, takes the place of the first.
    answers.put("y", "x", match=False)
    again = Answers(str(path), "anna")
    for own in (answers, again):
        assert [(one.a, one.b, one.match) for one in own] == [
            ("y", "x", False),
            ("x", 'a "b", c', True),
        ]
    assert (again.own("x", "y"), again.own("x", "z"), len(again)) == (False, None, 2)
    assert list(path.parent.iterdir()) == [path]
    # An editor left no end of the last line.
    path.write_text(path.read_text().rstrip("\n"))
    again.put("x", "w", match=True)
    pairs = pairs_file.read(str(path))
    assert list(zip(pairs.left.to_pylist(), pairs.right.to_pylist(), strict=True)) == [
        ("y", "x"), ("x", 'a "b", c'), ("x", "w")
    ]  # fmt: skip
    assert pairs.match.tolist() == [False, True, True]


_JUDGE = """
import sys
from pipeline.evaluation.answers import Answers

answers = Answers(sys.argv[1], sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for n in range(300):
    answers.put("x", f"y{n}", match=n % 2 == 0)
"""


def test_two_processes_that_answer_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "answers.csv")
    judges = [
        subprocess.Popen(
            [sys.executable, "-c", _JUDGE, path, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("anna", "ben")
    ]
    for judge in judges:
        assert judge.stdout is not None
        assert judge.stdout.readline() == "ready\n"
    # Both make the file, and then take turns in it.
    for judge in judges:
        assert judge.stdin is not None
        judge.stdin.write("\n")
        judge.stdin.flush()
    for judge in judges:
        judge.communicate()
        assert judge.returncode == 0
    head, *lines = Path(path).read_text().splitlines()
    assert head + "\n" == HEADER
    assert sorted(lines) == sorted(
        f"x,y{n},{1 - n % 2},{name}" for n in range(300) for name in ("anna", "ben")
    )
    names = [line.split(",")[3] for line in lines]
    assert sum(one != other for one, other in pairwise(names)) > 1
    assert len(Answers(path, "carl")) == 600


@pytest.mark.parametrize("name", ["", " ", "an\na", "\udcff", "a\x1b[2J"])
def test_a_judge_has_a_name_of_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--judge-name"):
        Answers(str(tmp_path / "answers.csv"), name)


@pytest.mark.parametrize("line", ['x,y,1,"anna\n', 'x,y,1,"an"na\n', f'x,y,1,"{"a" * 200_000}'])
def test_a_line_that_is_cut_off_takes_no_others_in(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(f"{HEADER}{line}x,z,1,ben\n")
    with pytest.raises(InputError, match=r"answers\.csv: line \d can't be read as CSV"):
        Answers(str(path), "ben")


def test_answers_of_others_are_seen_when_the_file_is_read_again(tmp_path: Path) -> None:
    path = str(tmp_path / "answers.csv")
    anna, ben = Answers(path, "anna"), Answers(path, "ben")
    anna.put("x", "y", match=True)
    ben.put("x", "y", match=False)
    assert (len(anna), len(ben)) == (1, 1)
    anna.refresh()
    assert anna.shares() == {("x", "y"): 0.5}


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
        (
            "a,b,match\nx,y,1\n",
            r"the columns of a file of answers are a, b, match, judge, .*: a, b, match\.",
        ),
        ("a,b,judge,match\n", "in this order; this one has: a, b, judge, match. Name"),
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


def test_a_judge_has_a_name_and_the_file_a_folder_of_this_host(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--judge-name: give the judge a name"):
        Answers(str(tmp_path / "answers.csv"), " ")
    with pytest.raises(UsageError, match=r"--judge s3://bucket/answers\.csv: .* file of this host"):
        Answers("s3://bucket/answers.csv", "anna")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be read as CSV"):
        Answers(str(tmp_path / "file" / "answers.csv"), "anna")
    answers = Answers(str(tmp_path / "folder"), "anna")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: can't be written \(.*directory"):
        answers.put("x", "y", match=True)
    assert len(answers) == 0

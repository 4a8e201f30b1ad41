from dataclasses import replace

import pytest

from pipeline.text.clean import clean
from pipeline.text.fields import AUTO, Field, fields_of
from pipeline.text.tokenize import TextSettings, Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(TextSettings())


@pytest.mark.parametrize(
    ("separator", "text", "tokens"),
    [
        ("", "Home > Cookware", ["home", "cookware"]),
        (AUTO, "Home > Cookware", ["home", ">home", "cookware", ">home>cookware"]),
        (AUTO, "Home&gt;Cookware", ["home", ">home", "cookware", ">home>cookware"]),
        (AUTO, "家電／キッチン", ["家電", ">家電", "キッチン", ">家電>キッチン"]),
        (
            AUTO,
            "Bath/Body > Soap",
            ["bathbody", "bath", "body", ">bath/body", "soap", ">bath/body>soap"],
        ),
        (AUTO, "a | b/c", ["a", ">a", "bc", "b", "c", ">a>b/c"]),
        (AUTO, "dry goods", ["dry", "goods", ">dry_goods"]),
        (
            " / ",
            "Wine/Beer / Red",
            ["winebeer", "wine", "beer", ">wine/beer", "red", ">wine/beer>red"],
        ),
        ("::", ":: Toys :: :: Cars::", ["toys", ">toys", "cars", ">toys>cars"]),
        ("→", "本→文庫", ["本", ">本", "文庫", ">本>文庫"]),
        ("、", "本､文庫", ["本", ">本", "文庫", ">本>文庫"]),
        # Cleaning makes a space of white space, and of a tag.
        ("\t", "本\t文庫", ["本", ">本", "文庫", ">本>文庫"]),
        ("<br>", "本<br>文庫", ["本", ">本", "文庫", ">本>文庫"]),
        ("&gt;", "本&gt;文庫", ["本", ">本", "文庫", ">本>文庫"]),
        (AUTO, "", []),
        (AUTO, " > > ", []),
    ],
)
def test_tokens_of_a_value(
    tokenizer: Tokenizer, separator: str, text: str, tokens: list[str]
) -> None:
    assert Field("category", separator).tokens(tokenizer, clean(text)) == tokens


def test_items_of_a_deep_level_share_more_than_those_of_a_level_above(tokenizer: Tokenizer) -> None:
    field = Field("category", AUTO)
    pots, pans, toys = (
        set(field.tokens(tokenizer, path))
        for path in ("Home > Cookware > Pots", "Home > Cookware > Pans", "Home > Toys > Pots")
    )
    assert pots & pans == {"home", ">home", "cookware", ">home>cookware"}
    # A level with the same name elsewhere has the same words, and is another level.
    assert pots & toys == {"home", ">home", "pots"}


def test_a_long_text_that_is_no_path_gets_few_levels(tokenizer: Tokenizer) -> None:
    tokens = Field("category", AUTO).tokens(tokenizer, "/".join(["box"] * 1_000))
    assert tokens.count("box") == 1_000
    assert len(tokens) < 1_020


def test_only_a_category_is_a_path_if_nothing_is_set() -> None:
    sections = [{"column": name, "separator": None} for name in ("category", "brand")]
    assert fields_of(sections) == (Field("category", AUTO), Field("brand"))
    assert fields_of([{"column": "category", "separator": ""}]) == (Field("category"),)


def test_fields_are_part_of_the_text_fingerprint() -> None:
    settings = TextSettings()
    fields = [(), (Field("brand"),), (Field("brand", "/"),), (Field("brand"), Field("category"))]
    assert len({replace(settings, fields=some).fingerprint() for some in fields}) == 4

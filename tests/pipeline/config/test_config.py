from pathlib import Path

import pytest

from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import UsageError

TWO_SECTIONS = '[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n'


def load(tmp_path: Path, text: str, *sets: str, **environment: str) -> Config:
    file = tmp_path / "nitamono.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file, sets, environment)


def test_two_sections_are_enough_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, TWO_SECTIONS)
    assert loaded.store.path == str(tmp_path / "store")
    assert loaded.catalogue.path == str(tmp_path / "items.csv")
    assert (loaded.neighbors.k, loaded.neighbors.target_recall) == (10, 0.97)


def test_the_environment_overrides_the_file_and_set_overrides_both(tmp_path: Path) -> None:
    text = TWO_SECTIONS + "[neighbors]\nk = 5\ntarget_recall = 0.5\nnprobe = 3\n"
    environment = {"NITAMONO_NEIGHBORS_TARGET_RECALL": "0.9", "NITAMONO_NEIGHBORS_K": "6"}
    loaded = load(tmp_path, text, "neighbors.k=7", **environment)
    section = loaded.neighbors
    assert (section.k, section.target_recall, section.nprobe) == (7, 0.9, 3)


def test_set_takes_strings_lists_and_tables(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        TWO_SECTIONS,
        "catalogue.columns.title=name",
        'text.user_dictionaries=["/a.dic", "/b.dic"]',
        "store.path=/elsewhere",
        "spark.sql.shuffle.partitions=7",
    )
    assert loaded.catalogue.columns == {"title": "name"}
    assert loaded.text.user_dictionaries == ["/a.dic", "/b.dic"]
    assert loaded.store.path == "/elsewhere"
    assert loaded.spark == {"spark.sql.shuffle.partitions": "7"}


def test_spark_settings_may_be_nested_dotted_or_full(tmp_path: Path) -> None:
    text = (
        TWO_SECTIONS
        + '[spark]\nmaster = "local[2]"\nspark.ui.enabled = true\n"driver.memory" = "2g"\n'
    )
    assert load(tmp_path, text).spark == {
        "spark.master": "local[2]",
        "spark.ui.enabled": "true",
        "spark.driver.memory": "2g",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO_SECTIONS + "[neighbors]\nkk = 1\n", "neighbors.kk: unknown setting; did you mean k?"),
        (TWO_SECTIONS + "[neighbours]\n", "neighbours: unknown section; did you mean neighbors?"),
        (TWO_SECTIONS + '[neighbors]\nk = "10"\n', "neighbors.k: input should be a valid integer"),
        (TWO_SECTIONS + "[neighbors]\nk = 0\n", "greater than or equal to 1 (it is 0)"),
        (TWO_SECTIONS + "[neighbors]\nk = 1.5\n", "neighbors.k"),
        (TWO_SECTIONS + 'format = "x m l"\n', "catalogue.format"),
        (TWO_SECTIONS + 'encoding = "utf-99"\n', "catalogue.encoding: unknown encoding 'utf-99'"),
        (
            TWO_SECTIONS + '[publish]\nreasons = true\n[model]\nkind = "onnx"\npath = "m"\n',
            "publish.reasons needs vectors that are sums over words",
        ),
        (TWO_SECTIONS + '[model]\nengine = "library"\n', "toml: embed.method is blend, and model"),
        (
            TWO_SECTIONS + '[[embed.field]]\ncolumn = "price"\n',
            "embed.field: price is no column that it can use; these are: category, group_id, "
            "brand, locale, image_url. Map others with catalogue.columns",
        ),
        (
            TWO_SECTIONS + "columns = {maker = 'm', sold = 's'}\ntypes = {sold = 'number'}\n"
            "[[embed.field]]\ncolumn = 'sold'\n",
            "embed.field: sold is no column that it can use; these are: category, group_id, "
            "brand, locale, image_url, maker. Map",
        ),
        (TWO_SECTIONS + "[[embed.field]]\ncolumn = 'title'\n", "embed.field: title is no column"),
        (
            TWO_SECTIONS + "[[embed.field]]\ncolumn = 'brand'\nweight = 0.0\n",
            "embed.field.0.weight: input should be greater than 0",
        ),
        (
            TWO_SECTIONS + "[embed]\nfield = [{column = 'brand'}, {column = 'brand'}]\n",
            "two fields have the column brand",
        ),
        (
            TWO_SECTIONS + "[embed]\nmethod = 'mean'\nfield = [{column = 'brand'}]\n",
            'method = "mean" has no weights, and reads no fields',
        ),
        (
            TWO_SECTIONS
            + "[model]\nkind = 'onnx'\npath = 'm'\n[[embed.field]]\ncolumn = 'brand'\n",
            "embed.field: an encoder reads title and description only; set embed.lexical_weight",
        ),
        (
            TWO_SECTIONS + "[embed]\ntitle_weight = 0.0\ndescription_weight = 0.0\n",
            "embed: title_weight and description_weight are both 0",
        ),
        (TWO_SECTIONS + "[model]\nminn = 6\n", "model: minn is 6, above maxn, which is 5"),
        (
            TWO_SECTIONS + '[model]\npath = "a.bin"\npretrained = "b.vec"\n',
            "model: with path no model is trained, and training is what starts from pretrained",
        ),
        ("[store]\n", "store.path: must be given; catalogue: must be given"),
        ("store = 1\n[catalogue]\npath='x'", "store"),
        ("[store", "not valid TOML"),
    ],
)
def test_each_problem_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(tmp_path, text)
    assert message in str(raised.value)
    assert "nitamono.toml" in str(raised.value)


@pytest.mark.parametrize("setting", ["rules.eligible", "rules.query", "neighbors.where"])
def test_a_condition_is_checked_when_the_config_is_read(tmp_path: Path, setting: str) -> None:
    section, _, key = setting.partition(".")
    condition = "price > 1 and reflect('java.lang.System', 'exit') is null"
    with pytest.raises(UsageError) as raised:
        load(tmp_path, f'{TWO_SECTIONS}[{section}]\n{key} = "{condition}"\n')
    assert raised.value.exit_code == 2
    message = str(raised.value)
    assert f"{setting}: not a condition: the function reflect" in message
    assert "the function reflect is not allowed, at \"reflect('java" in message
    assert "a condition holds columns, numbers, 'texts'" in message


@pytest.mark.parametrize(
    "setting",
    [
        "store.path",
        "catalogue.path",
        "model.path",
        "model.pretrained",
        "rules.deny",
        "text.user_dictionaries",
    ],
)
def test_a_path_with_nul_is_refused(tmp_path: Path, setting: str) -> None:
    value = r'["a\u0000"]' if setting == "text.user_dictionaries" else r'"a\u0000"'
    with pytest.raises(UsageError, match=rf"{setting}: .* holds a NUL character"):
        load(tmp_path, TWO_SECTIONS, f"{setting}={value}")


def test_all_problems_come_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load(tmp_path, TWO_SECTIONS + "[neighbors]\nk = 0\n[index]\nnlist = -1\n[text]\nx = 1\n")
    for name in ("neighbors.k", "index.nlist", "text.x"):
        assert name in str(raised.value)


@pytest.mark.parametrize("text", ["neighbors.k", "k=1", "neighbors.=1", "=1", ""])
def test_a_malformed_set_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        load(tmp_path, TWO_SECTIONS, text)


def test_variables_of_services_and_of_receivers_are_no_settings(tmp_path: Path) -> None:
    names = ("METRICS_PORT", "METRICS_SERVICE_HOST", "METRICS_PORT_80_TCP", "NOTIFY_URL")
    others = {f"NITAMONO_{name}": "tcp://10.0.0.1:80" for name in names}
    assert load(tmp_path, TWO_SECTIONS, **others) == load(tmp_path, TWO_SECTIONS)


def test_an_unknown_environment_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neighbors\.kk: unknown setting"):
        load(tmp_path, TWO_SECTIONS, NITAMONO_NEIGHBORS_KK="1")


def test_other_variables_of_the_prefix_are_ignored(tmp_path: Path) -> None:
    environment = {"NITAMONO_PORT_80_TCP": "tcp://10.0.0.1:80", "NITAMONO_CACHE": "/x"}
    assert load(tmp_path, TWO_SECTIONS, **environment) == load(tmp_path, TWO_SECTIONS)


def test_text_settings_take_text_that_looks_like_something_else(tmp_path: Path) -> None:
    sets = ("store.path=2026", "catalogue.columns.title=3", "s3.region=true")
    loaded = load(tmp_path, TWO_SECTIONS, *sets, NITAMONO_SPARK_DRIVER_MEMORY="8")
    assert loaded.store.path.endswith("/2026")
    assert loaded.catalogue.columns == {"title": "3"}
    assert loaded.s3.region == "true"
    assert loaded.spark == {"spark.driver.memory": "8"}


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        config.load(tmp_path / "none.toml", (), {})

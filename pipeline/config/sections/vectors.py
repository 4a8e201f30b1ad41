"""The sections that decide the vectors: [text], [model] and [embed]."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.sections.base import Section

# Texts that stand where there is no title or description.
_PLACEHOLDERS = """
    null \\N nil none nan na n/a #n/a undefined tbd - -- なし 無し ナシ 特になし 該当なし
    未設定 未定 未登録 未入力 商品名 商品説明 商品説明文 商品タイトル
"""


# The share of the letters, if none is set: see benchmarks/README.md.
LEXICAL_WEIGHT = 0.55


class TextSection(Section):
    """How text becomes tokens."""

    split_mode: Literal["A", "B", "C"] = Field(
        "C", description="length of SudachiPy's units, from short (A) to long (C)"
    )
    word_form: Literal["surface", "dictionary", "normalized"] = Field(
        "normalized", description="form of a Japanese word that becomes its token"
    )
    dictionary: Literal["small", "core", "full"] = Field(
        "core",
        description="SudachiPy's edition; small and full: pip install nitamono[dictionaries]",
    )
    user_dictionaries: list[str] = Field(
        default_factory=list, description="compiled user dictionaries, in order"
    )
    placeholders: Literal["blank", "keep"] = Field(
        "blank",
        description="a title or description that is one of placeholder_texts: blank, it is no "
        "text, or keep; they are counted either way",
    )
    placeholder_texts: list[str] = Field(
        default_factory=_PLACEHOLDERS.split,
        description="texts such as NULL and なし; a field is one if this is all that it holds, in "
        "small or capital, full-width or half-width letters",
    )


class ModelSection(Section):
    """The embedding model: trained on the catalogue, or loaded from path."""

    kind: Literal["fasttext", "static", "onnx"] = Field(
        "fasttext",
        description="fasttext; static: a table of token vectors, as model2vec, "
        "sentence-transformers or nitamono model distil make it; or onnx: a directory with a "
        "sentence encoder",
    )
    path: str = Field(
        "",
        description="file, directory or address (s3://, gs://, abfss://) of a model; "
        "empty: fastText is trained",
    )
    engine: Literal["mapped", "library"] = Field(
        "mapped",
        description="fastText's code: mapped, one copy a host, or library, a copy in each process",
    )
    pretrained: str = Field(
        "",
        description="word vectors as text (.vec or .vec.gz; a file, or an address) that training "
        "starts from; empty: it starts at random",
    )
    distilled: str = Field(
        "",
        description="folder (or the file in it, or its address) of a model that nitamono model "
        "distil made of an encoder; its vectors stand beside fastText's; empty: none",
    )
    float16: bool = Field(False, description="store a mapped model in half the space")
    truncate_dim: int = Field(
        0, ge=0, description="static models with a tokenizer: dimensions that are kept; 0: all"
    )
    ship: Literal["auto", "addfile", "archive", "s3", "path"] = Field(
        "auto", description="how the model gets to the executors"
    )
    algorithm: Literal["skipgram", "cbow"] = Field(
        "skipgram", description="fastText's training algorithm: skipgram or cbow"
    )
    dim: int = Field(100, ge=1, le=2000, description="dimensions of the model's vectors")
    epoch: int = Field(
        0,
        ge=0,
        description="passes over the sample; 0: 5 to 20, by the sample's size, and more over a "
        "sample of less than 50,000 tokens",
    )
    min_count: int = Field(
        2,
        ge=1,
        description="rarer words get no vector of their own, only their n-grams; "
        "lowered if too few words are left",
    )
    window: int = Field(5, ge=1, description="words on each side that count as context")
    minn: int = Field(2, ge=0, description="shortest character n-gram; 0 with maxn = 0: none")
    maxn: int = Field(5, ge=0, le=20, description="longest character n-gram")
    bucket: int = Field(
        0, ge=0, le=100_000_000, description="rows for n-grams; 0: by the size of the vocabulary"
    )
    sample_items: int = Field(1_000_000, ge=1, description="items to train on, at most")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of the sample of items")
    threads: int = Field(
        1, ge=1, description="training threads; more than 1 is faster, and not repeatable"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind != "fasttext" and not self.path:
            what = {
                "onnx": "the directory of the encoder",
                "static": "the model's directory or file",
            }
            raise ValueError(f'kind = "{self.kind}" needs path, {what[self.kind]}')
        if self.pretrained and self.path:
            raise ValueError(
                "with path no model is trained, and training is what starts from pretrained; "
                "leave one of them out"
            )
        if self.distilled and (self.kind, self.engine) != ("fasttext", "mapped"):
            raise ValueError(
                'distilled stands beside a model of kind = "fasttext" with engine = "mapped"; '
                "leave it out, or change these"
            )
        if self.minn > self.maxn:
            raise ValueError(f"minn is {self.minn}, above maxn, which is {self.maxn}")
        return self


class FieldSection(Section):
    """A further column whose words count in the vectors, a brand or a category for instance."""

    column: str = Field(description="nitamono's name of the column, which is text")
    weight: float = Field(
        0.3, gt=0, le=100, description="weight of a word of it, as title_weight is of a title's"
    )
    separator: str | None = Field(
        None,
        max_length=10,
        description="what stands between the levels of a path, as > does in Home > Cookware; auto: "
        'the first of >, | and / that a value has; "": it is no path; not set: auto for category, '
        '"" for others',
    )


class EmbedSection(Section):
    """How tokens become vectors."""

    method: Literal["mean", "weighted", "blend"] = Field(
        "blend",
        description="mean: mean of the tokens' vectors, as fastText's; weighted: rare tokens count "
        "more; blend: weighted, and the letters of the words",
    )
    dim: int = Field(
        448,
        ge=64,
        le=4096,
        description="dimensions of a blend's vector; the first of them are the model's",
    )
    lexical_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the letters in a blend's cosine; not set: "
        f"{LEXICAL_WEIGHT}, but an encoder has no letters beside it",
    )
    title_weight: float = Field(
        1.0, ge=0, le=100, description="weight of a title's tokens; weighted and blend only"
    )
    description_weight: float = Field(
        0.8, ge=0, le=100, description="weight of a description's tokens; weighted and blend only"
    )
    drop_phrases: bool = Field(
        True, description="leave out promotional phrases, which are learned from all titles"
    )
    field: list[FieldSection] = Field(
        default_factory=list,
        description="further columns whose words count; weighted and blend only",
    )

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.title_weight == self.description_weight == 0:
            raise ValueError("title_weight and description_weight are both 0")
        return self

    @model_validator(mode="after")
    def _fields_count(self) -> Self:
        columns = [field.column for field in self.field]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(f"two fields have the column {twice[0]}")
        if columns and self.method == "mean":
            raise ValueError('method = "mean" has no weights, and reads no fields; leave it out')
        return self

"""The headwords of user dictionaries that no text can match."""

from typing import NamedTuple

from pipeline.text.clean import clean
from pipeline.text.tokenize import TextSettings, dictionary_of, prepare

# Headwords that a warning names, at most.
_NAMED = 10


class Headword(NamedTuple):
    """A headword that no text can match.

    Attributes:
        written: the headword as the user dictionary has it.
        form: how the same word is looked up in a text; a headword of this form would match.
    """

    written: str
    form: str


def unused_headwords(settings: TextSettings) -> list[Headword]:
    """The headwords that are not in the form in which words of a text are looked up, in order.

    A text is cleaned, and SudachiPy normalises its characters, before its words are looked up:
    ドリルＭＡＸ becomes ドリルmax. A user dictionary's headwords stay as they are written.

    Raises:
        SudachiError: the dictionaries can't be loaded together.
    """
    dictionary = dictionary_of(settings)
    normalizer = dictionary.text_normalizer()
    unused = []
    for entry in dictionary.entries():
        if entry.dictionary_id() < 1:
            continue
        written = entry.surface()
        form = normalizer.normalize(prepare(clean(written)))
        # The column of the headword can differ from the one that is looked up.
        matches = {match.word_id() for match in dictionary.lookup(form)}
        if form != written and entry.word_id() not in matches:
            unused.append(Headword(written, form))
    return unused


def warning(unused: list[Headword]) -> str:
    """What is wrong with headwords that no text can match, and what to do, in one line."""
    named = ", ".join(f"{word.written} as {word.form}" for word in unused[:_NAMED])
    more = f", and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
    count = "1 headword matches" if len(unused) == 1 else f"{len(unused)} headwords match"
    return (
        f"text.user_dictionaries: {count} no text, because words are looked "
        f"up in normalised form; write them so and compile the dictionary again: {named}{more}"
    )

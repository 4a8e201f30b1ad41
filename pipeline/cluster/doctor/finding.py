"""A finding of the doctor: what was looked at, and what to do if it is not well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models import ModelError
from pipeline.errors import NitamonoError, cause

OK, BAD, SKIPPED = "ok", "bad", "skipped"


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        name: what was looked at, in one or two words.
        state: OK; BAD: a night would fail or be killed; SKIPPED: it could not be looked at.
        text: what was found, and where it is bad what to do.
    """

    name: str
    state: str
    text: str


Findings = list[Finding]


@contextmanager
def recorded(findings: Findings, name: str, advice: str = "") -> Iterator[Callable[[str], None]]:
    """Let a check say what it found; whatever it raises is a finding too.

    Args:
        findings: the finding is added to them.
        name: what is looked at.
        advice: what to do if the check fails and its error does not say it.

    Yields:
        a function that takes what was found, in words; called once or not at all.
    """
    texts: list[str] = []
    try:
        yield texts.append
    except (NitamonoError, ModelError) as error:
        findings.append(Finding(name, BAD, str(error)))
    except Exception as error:  # whatever a library raises, the other checks go on
        findings.append(Finding(name, BAD, "; ".join(filter(None, (cause(error), advice)))))
    else:
        findings.extend(Finding(name, OK, text) for text in texts)

"""Whether a run publishes its table."""

from collections.abc import Sequence

from pipeline.config.sections import Config
from pipeline.store.store import Store

# Sections that say where and how a run works, not what its table holds.
_NOT_OF_THE_TABLE = {"store", "s3", "spark", "publish", "report"}


def wanted(config: Config, assignments: Sequence[str], store: Store) -> bool:
    """Whether a whole run publishes that was not told to on the command line.

    One whose settings are changed by --set is an experiment: it does so only where nothing has
    been published yet. A config that says `publish = true` may be given its catalogue by --set.
    """
    section = config.publish
    if not section.publish or store.latest() is None:
        return section.publish
    names = [text.partition("=")[0].strip() for text in assignments]
    if "publish.publish" in names:
        return True
    named = {"catalogue"} if "publish" in section.model_fields_set else set()
    harmless = _NOT_OF_THE_TABLE | named
    return all(name.partition(".")[0] in harmless for name in names)

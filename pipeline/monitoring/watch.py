"""The watch over a run: the log and the receivers of the config are told what happens to it.

Receivers are told outside of the run's own work. Whatever they do, the run ends as it would end.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Event, Thread

from pipeline.config.sections import Config
from pipeline.errors import cause
from pipeline.monitoring import lineage, metric_receivers, metrics, notices
from pipeline.monitoring.delivery import SECONDS, Deadline, Delivery, deliver
from pipeline.monitoring.run_end import known_end, with_store
from pipeline.monitoring.run_events import PUBLISH, RunEnd, RunStart
from pipeline.store.store import Store
from pipeline.terminal.log import LOG
from pipeline.terminal.progress import Progress

# A store that can't be reached takes longer than this to say so.
_READING_SECONDS = 3.0


class Watch:
    """Tells of one run: its start, that it is slow, its end."""

    def __init__(
        self, config: Config, run_id: str, progress: Progress, *, part: str, tells: bool
    ) -> None:
        """Watch a run that starts now.

        Args:
            config: the whole config.
            run_id: the run's id.
            progress: the run's log.
            part: the stages of a run of a part of the chain; empty for a run of all stages.
            tells: whether the receivers are told. The log is told of every run.
        """
        self._start = RunStart(run_id, config, part, datetime.now(UTC))
        self._progress = progress
        section = config.metrics
        has_receivers = bool(
            config.notify or section.textfile or section.pushgateway or section.statsd
        ) or lineage.is_on(config.lineage)
        self._tells = tells and has_receivers
        self._has_published = False
        # The run's work starts when its input is there.
        self._work_started = self._start.time
        self._ended = Event()
        self._telling_of_start: Thread | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tell of the run that the block is."""
        LOG.run_id = self._start.run_id
        self._progress.event("run_started")
        if self._tells:
            with self._undisturbed():
                self._begin()
        try:
            yield
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    def _begin(self) -> None:
        config = self._start.config
        if lineage.is_on(config.lineage):
            event = lineage.of_start(self._start)
            deliveries = list(lineage.deliveries(config.lineage, event))
            self._telling_of_start = Thread(
                target=deliver, args=(deliveries, self._warn), daemon=True
            )
            self._telling_of_start.start()

    def work_starts(self) -> None:
        """From now on the run works and may be slow; before, it may have waited for its input."""
        self._work_started = datetime.now(UTC)
        if self._tells and any(notices.SLOW in one.on for one in self._start.config.notify):
            Thread(target=self._watch_time, daemon=True).start()

    def published(self) -> None:
        """The run has published its table."""
        self._has_published = True

    def _watch_time(self) -> None:
        """Tell that the run is slow, once it has taken much longer than usual."""
        # What can't be read is no reason to disturb the run.
        with suppress(Exception):
            self._tell_of_slowness()

    def _tell_of_slowness(self) -> None:
        config = self._start.config
        usual = notices.usual_seconds(Store.of(config, make=False), self._start.run_id)
        slow = [receiver for receiver in config.notify if notices.SLOW in receiver.on]
        for receiver in sorted(slow, key=lambda receiver: receiver.slow_factor):
            if usual is None or self._ended.wait(usual * receiver.slow_factor - self._seconds()):
                return
            self._progress.event("run_slow", usual_seconds=usual)
            notice = notices.of_slow_run(self._start, self._seconds(), usual)
            deliver([notices.delivery(receiver, notice)], self._warn)

    def _warn(self, text: str) -> None:
        self._progress.print(text, "warning")

    def _seconds(self) -> float:
        return (datetime.now(UTC) - self._work_started).total_seconds()

    def _end(self, error: BaseException | None) -> None:
        self._ended.set()
        if not self._tells and LOG.format == "text":
            return
        # An interruption now must not change how the run ends either.
        with self._undisturbed(), suppress(KeyboardInterrupt):
            self._tell_of_end(error)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Say what goes wrong in telling; the run goes on."""
        try:
            yield
        except Exception as error:
            self._warn(f"not all receivers were told of the run: {cause(error)}")

    def _tell_of_end(self, error: BaseException | None) -> None:
        deadline = Deadline(SECONDS)
        known = known_end(self._start, error, has_published=self._has_published)
        end = with_store(known, _READING_SECONDS)
        if end is None:
            end = known
            self._warn(
                "the store did not say in time how the run has ended: notices and metrics "
                "have no numbers"
            )
        self._progress.event(
            "run_ended",
            status=end.status,
            exit_code=end.exit_code,
            seconds=end.seconds,
            **end.numbers(),
        )
        if self._tells:
            deliver(list(self._deliveries(end)), self._warn, deadline)

    def _deliveries(self, end: RunEnd) -> Iterator[Delivery]:
        for deliveries in (self._notices, self._metrics, self._lineage):
            with self._undisturbed():
                yield from deliveries(end)

    def _notices(self, end: RunEnd) -> Iterator[Delivery]:
        notice = notices.of_end(end)
        if notice is not None:
            yield from notices.deliveries(self._start.config, notice)

    def _metrics(self, end: RunEnd) -> Iterator[Delivery]:
        # A part of the chain that is done would hide the metrics of the last whole run.
        if not end.succeeded or PUBLISH in end.run.get("fingerprints", {}):
            yield from metric_receivers.deliveries(self._start.config.metrics, metrics.samples(end))

    def _lineage(self, end: RunEnd) -> Iterator[Delivery]:
        section = self._start.config.lineage
        if lineage.is_on(section):
            for delivery in lineage.deliveries(section, lineage.of_end(end)):
                yield self._after_start(delivery)

    def _after_start(self, delivery: Delivery) -> Delivery:
        """A delivery that waits until the receiver was told of the run's start."""

        def send(deadline: Deadline) -> None:
            if self._telling_of_start is not None:
                self._telling_of_start.join(deadline.seconds / 2)
            delivery.send(deadline)

        return Delivery(delivery.name, send)

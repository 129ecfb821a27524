"""The service's language model: which one is wanted, and how a change of mind reaches the worker that has it.

What is wanted is the section [lm] of the configuration in force, with a model chosen by hand above it
(`noctule model use`) and the governor's limits below it. A change is put to the worker as an exchange: the new engine
is built, verified and warmed up beside the old one, which serves until then, and goes on serving if it is no good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from noctule.assistant.engine_protocol import Engine, Facts, Rest
from noctule.assistant.engine_slot import NAME
from noctule.assistant.governed import governed_steps
from noctule.assistant.timers import Timers
from noctule.assistant.worker import LanguageWorker
from noctule.config import Config
from noctule.config.schema import Lm
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, NoctuleError, TooLargeError, UnavailableError
from noctule.core.events import Bus
from noctule.service.component import Component, nobody
from noctule.service.governor import Step
from noctule.service.request import Ask
from noctule.service.supervisor import DEGRADED, WORKING, Job, Part, Supervisor

#: settings that an engine is built from: another value means another engine.
BUILT_FROM = ("model", "threads", "context", "weight_cache")


@dataclass(frozen=True)
class Needs:
    """What an engine is built from. config: the one in force, to be asked again for each request; part: to beat.

    lm: the language settings to build with, where they differ from the configuration's; beside: another engine stays
    in memory meanwhile, so that there must be room for two (TooLargeError).
    """

    config: Callable[[], Config]
    part: Part
    timers: Timers
    bus: Bus
    clock: Clock
    components: Sequence[Component] = ()
    lm: Lm | None = None
    beside: bool = False


#: loads a language engine, in the language worker's thread or in one of its loader's
Build = Callable[[Needs], Engine]


class ModelManager:
    """The component that owns the language worker. needs: makes the Needs of an engine; build: loads one; built: told
    that [lm] is being built from the configuration of now."""

    name = NAME

    def __init__(
        self,
        config: Callable[[], Config],
        bus: Bus,
        clock: Clock,
        build: Build,
        needs: Callable[[Part], Needs],
        supervisor: Supervisor,
        built: Callable[[str], None],
    ) -> None:
        self._config, self._bus, self._clock = config, bus, clock
        self._build, self._needs, self._supervisor, self._built = build, needs, supervisor, built
        self._lock = threading.Lock()
        #: a model chosen by hand, until the next start or until lm.model changes; "" for the configured one.
        self._by_hand = ""
        #: the governor's: most threads, and whether the model goes when nobody asks.
        self._most_threads = 64
        self._rest_now = False
        #: one sentence: why what was wanted last does not serve; "" when it does.
        self.refusal = ""
        lm = config().lm
        self.worker = LanguageWorker(
            self._build_wanted,
            bus,
            clock,
            size=lm.queue,
            max_age=config().supervision.stall,
            rest=self._rest,
            nudged=self._begin_again,
        )

    # -- what is wanted ------------------------------------------------------------------------------------------

    def wanted(self, config: Config | None = None) -> Lm:
        """The language settings to build with now."""
        lm = (config or self._config()).lm
        return replace(lm, model=self._by_hand or lm.model, threads=min(lm.threads, self._most_threads))

    def _build_wanted(self, part: Part, beside: bool = False, wanted: Lm | None = None) -> Engine:
        if not beside:
            self._built(NAME)
        return self._build(replace(self._needs(part), lm=wanted or self.wanted(), beside=beside))

    def _rest(self) -> Rest:
        lm = self._config().lm
        return Rest(lm.idle_unload, lm.keep_warm_mb * 1_000_000, self._rest_now)

    # -- changes of mind, from any thread ------------------------------------------------------------------------

    def use(self, model: str) -> Future[Facts]:
        """Serve with another model, by name or path, until the next start; "" for the configured one.

        Raises UnavailableError when the language model is switched off, BusyError while one is being loaded. The
        outcome: facts about it once it serves, or the NoctuleError that kept it from that; nothing has then changed.
        """
        return self._exchange(replace(self.wanted(), model=model or self._config().lm.model), by_hand=model)

    def follow(self, old: Config, new: Config) -> Mapping[str, str] | Future[Mapping[str, str]]:
        """A reload put `new` in force: exchange the engine if it was built from something else."""
        changed = [f"lm.{key}" for key in BUILT_FROM if getattr(old.lm, key) != getattr(new.lm, key)] or ["lm.model"]
        try:
            exchange = self._follow(old, new)
        except NoctuleError as error:
            return dict.fromkeys(changed, error.explain())
        if exchange is None:
            return {}
        outcome: Future[Mapping[str, str]] = Future()

        def settled(done: Future[Facts]) -> None:
            error = done.exception()
            if error is not None and not isinstance(error, NoctuleError):
                outcome.set_exception(error)
            else:
                outcome.set_result({} if error is None else dict.fromkeys(changed, error.explain()))

        exchange.add_done_callback(settled)
        return outcome

    def _follow(self, old: Config, new: Config) -> Future[Facts] | None:
        self.worker.resize(new.lm.queue)
        by_hand = self._by_hand if old.lm.model == new.lm.model else ""
        before, after = self.wanted(old), replace(self.wanted(new), model=by_hand or new.lm.model)
        same = all(getattr(before, key) == getattr(after, key) for key in BUILT_FROM)
        part = self._part()
        if part is not None and part.state == DEGRADED:
            self._built(NAME)  # it is tried again now, with the configuration of now
        if (same and not self.refusal) or part is None:
            return None
        if part.state != WORKING and not self.worker.slot.loaded:
            self._by_hand = by_hand  # out of service: the supervisor's next attempt builds what is wanted now
            return None
        return self._exchange(after, by_hand)

    def limit_threads(self, most: int) -> None:
        """Build the engine anew if it has more threads; beside the old one, or after it where memory is short."""
        before = self.wanted()
        self._most_threads = most
        part = self._part()
        if part is None or not self.worker.slot.loaded or self.wanted().threads == before.threads:
            return
        try:
            outcome = self.worker.slot.exchange(part, lambda part: self._build_wanted(part, beside=True))
        except BusyError:  # what is being loaded has the old number: build it once more when it serves
            self.worker.slot.renew()
            return

        def done(settled: Future[Facts]) -> None:
            if isinstance(settled.exception(), TooLargeError):
                self.worker.slot.renew()

        outcome.add_done_callback(done)

    def rest_now(self, on: bool) -> None:
        """Let the model go whenever nobody asks."""
        self._rest_now = on
        self.worker.nudge()

    def _begin_again(self) -> None:
        """There is something for the worker to do: one that is out of service begins again."""
        part = self._part()
        if part is not None and part.state != WORKING:
            self._supervisor.retry(NAME)

    def _part(self) -> Part | None:
        return next((part for part in self._supervisor.parts() if part.name == NAME), None)

    def _exchange(self, wanted: Lm, by_hand: str) -> Future[Facts]:
        part = self._part()
        if part is None:
            raise UnavailableError("The language model is switched off.", "set lm.enabled = true and restart")
        beside = self.worker.slot.loaded
        outcome = self.worker.slot.exchange(part, lambda part: self._build_wanted(part, beside, wanted))

        def done(settled: Future[Facts]) -> None:
            error = settled.exception()
            if error is None:
                self._by_hand, self.refusal = by_hand, ""
                return
            message = error.message if isinstance(error, NoctuleError) else str(error)
            if by_hand == "":
                self.refusal = f"lm.model {wanted.model} does not serve: {message}"
            serving = self.worker.about.get("model")
            still = f"; {serving} goes on serving" if serving else ""
            hint = error.hint if isinstance(error, NoctuleError) else ""
            self._bus.publish("lm.refused", NAME, f"{message}{still}", 3, model=wanted.model, hint=hint)

        outcome.add_done_callback(done)
        return outcome

    # -- component -----------------------------------------------------------------------------------------------

    def submit(self, ask: Ask) -> None:
        """Hand a request to the language worker. Raises BusyError or UnavailableError."""
        if self._part() is None:
            nobody(ask)
        self._bus.publish("ask.received", NAME, "A request has come", characters=len(ask.text), prompt=ask.text)
        self.worker.submit(ask)

    def jobs(self) -> Sequence[Job]:
        return [self.worker.job] if self._config().lm.enabled else []

    def apply(self, config: Config) -> None:
        """Live settings are asked for with each request; see `follow` for the others."""

    def close(self) -> None:
        """The worker freed the model as it ended."""

    def headline(self) -> str:
        """The model's name, once there is one."""
        return str(self.worker.about.get("model", ""))

    def troubles(self) -> list[str]:
        """Why the wanted model is not the one that serves."""
        return [self.refusal] if self.refusal else []

    def status(self) -> Mapping[str, Any]:
        lm = self._config().lm
        facts: dict[str, Any] = {
            **self.worker.about,
            "enabled": lm.enabled,
            "waiting": self.worker.waiting,
            "requests": vars(self.worker.counts),
        }
        if self._by_hand and self._by_hand != lm.model:
            facts["configured"] = lm.model
        if self.worker.first_seconds is not None:
            facts["first_s"] = self.worker.first_seconds
        return facts

    # -- the governor's handles ----------------------------------------------------------------------------------

    def steps(self) -> Sequence[Step]:
        """What the language model can give up when the board is in distress."""
        return governed_steps(self)

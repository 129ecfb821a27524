"""A request in, an answer out: what the language model is for. docs/brain.md tells the format.

    brain = Brain(lm, registry, commands, bus)
    turn = brain.ask("set a timer for five minutes", on_delta=print)     # "Timer set for 5 minutes."

A model that was built for actions (its manifest has `x_actions`) writes a call under the grammar of the declared
actions; the action is then carried out, and the model chooses the reply, whose placeholders are filled with what
really happened. When the action fails, its own sentence is the reply. The user's own commands are matched before
the model is asked. Any other text model with a chat template simply answers.

A Brain belongs to one thread at a time, the one that owns the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.declared import REFUSALS
from noctule.assistant.actions.format import CallFormat
from noctule.assistant.actions.registry import ActionRegistry, Call, Spec, fill
from noctule.assistant.brain.answer import Answer, Pieces, Settings, TextModel, nothing, refused, tell
from noctule.assistant.brain.doubt import Doubt, read_doubt
from noctule.assistant.brain.guards import QUESTION, QUOTED, is_quoted, objection, set_right
from noctule.assistant.brain.ngrams import Ngrams, opinion, read_ngrams
from noctule.assistant.brain.rules import rule_call
from noctule.assistant.brain.vote import Meaning, Taken, elect
from noctule.assistant.brain.watch import FirstChoice
from noctule.assistant.brain.writing import write
from noctule.assistant.grammar.files import Phrasings
from noctule.assistant.grammar.grammar import Grammar, Match
from noctule.assistant.phrases.request import Request, read
from noctule.core.clock import Clock, SystemClock
from noctule.core.errors import CancelledError, ModelError, NoctuleError, TooLargeError, UnavailableError
from noctule.core.events import Bus
from noctule.lm.text.chat import Message
from noctule.lm.text.request import Options

_NONE = "none"
#: where nothing can be asked by a phrase
EMPTY = Grammar(Phrasings(), ())


class Brain:
    """Answers requests with one model. settings: asked anew for each request, so that a reload counts."""

    def __init__(
        self,
        lm: TextModel,
        registry: ActionRegistry,
        commands: UserCommands,
        bus: Bus,
        *,
        settings: Callable[[], Settings] = Settings,
        clock: Clock | None = None,
        grammar: Callable[[], Grammar] | None = None,
    ) -> None:
        self._lm = lm
        self._registry = registry
        self._commands = commands
        self._grammar = grammar or (lambda: EMPTY)
        self._bus = bus
        self._settings = settings
        self._clock = clock or SystemClock()
        actions = lm.manifest.raw.get("x_actions")
        self.doubt = Doubt()
        self._form: CallFormat | None = None
        self.ngrams: Ngrams | None = None
        if actions is not None:
            self.doubt = read_doubt(str(lm.manifest.folder), actions)
            self.ngrams = read_ngrams(lm.manifest, actions)
            pieces: Pieces = lm.tokenizer
            if pieces.bos is None or not pieces.eos:
                raise ModelError(f"{lm.manifest.folder}: an action model needs a begin and an end token")
            self._form = CallFormat(pieces.encode, pieces.control, pieces.bos, min(pieces.eos))

    @property
    def acts(self) -> bool:
        """True when the model writes calls; False when it only talks."""
        return self._form is not None

    def ask(
        self,
        text: str,
        *,
        cancel: Callable[[], bool] = lambda: False,
        on_delta: Callable[[str], None] = nothing,
        conversation: Sequence[Message] = (),
        options: Options | None = None,
    ) -> Answer:
        """Answer `text`, which the API has bounded and cleaned (noctule.core.request_text).

        cancel: asked once a token; on_delta: gets each further piece of the reply. conversation, options: for a
        model that talks, the messages of which `text` is the last, and what it uses instead of the settings'; an
        action model reads the request alone, and its calls are never drawn by chance. Raises CancelledError,
        TooLargeError, ModelError; an action that fails is an answer, not an error.
        """
        began = self._clock.monotonic()
        request = read(text)
        asked = self._grammar().match(request)
        if asked is not None and asked.command:
            turn = self._command(asked, cancel, on_delta)
        elif self._form is None:
            turn = self._talk(conversation or [Message("user", text)], options, cancel, on_delta)
        elif not request.words:
            turn = refused(REFUSALS["unclear"], on_delta)
        elif is_quoted(conversation[-1].text if conversation else text):
            turn = refused(QUOTED, on_delta)
        else:
            call = self._asked(asked) or self._ruled(request)
            turn = self._act(self._form, request, call, cancel, on_delta)
        turn.seconds["total"] = self._clock.monotonic() - began
        return turn

    # -- the three ways -----------------------------------------------------------------------------------------

    def _asked(self, asked: Match | None) -> Call | None:
        """The call of a sentence that the grammar gives: what it means needs no second guess."""
        if asked is None or asked.action not in {spec.name for spec in self._registry.offered()}:
            return None
        return Call(asked.action, asked.arguments)

    def _ruled(self, request: Request) -> Call | None:
        """The call that rules over words read in a request, of those that this board can carry out."""
        call = rule_call(request)
        return call if call is not None and call.action in {s.name for s in self._registry.bound()} else None

    def _command(self, asked: Match, cancel: Callable[[], bool], on_delta: Callable[[str], None]) -> Answer:
        name = asked.command
        turn = Answer("", command=name)
        began = self._clock.monotonic()
        try:
            if not self._registry.family_allowed("command"):
                raise UnavailableError("Your own commands are switched off.", "add 'command' to actions.allow")
            turn.reply, turn.result = self._commands.run(name, lambda: not cancel(), asked.arguments)
        except CancelledError:
            raise
        except NoctuleError as error:
            turn.ok, turn.reply = False, error.message
        turn.seconds["action"] = self._clock.monotonic() - began
        tell(self._bus, "command", turn, name)
        on_delta(turn.reply)
        return turn

    def _talk(
        self,
        messages: Sequence[Message],
        options: Options | None,
        cancel: Callable[[], bool],
        on_delta: Callable[[str], None],
    ) -> Answer:
        turn = Answer("")
        options = replace(options or self._settings().options, constraint=None, cancel=cancel)
        for chunk in self._lm.chat(messages, options):
            if chunk.text:
                turn.reply += chunk.text
                on_delta(chunk.text)
            turn.count(chunk)
        if turn.finish == "cancelled":
            raise CancelledError("The answer was cancelled.")
        return turn

    def weigh(self, wordings: Sequence[tuple[str, float]], cancel: Callable[[], bool] = lambda: False) -> Taken:
        """Which of several wordings of one request is taken, by what they would make this brain do; does none of it.

        wordings: (text, share), at least one with text. A brain that only talks takes the likeliest. Raises
        CancelledError, ModelError.
        """
        texts, shares = [text for text, _ in wordings], [share for _, share in wordings]
        if self._form is None:
            best = max((i for i, text in enumerate(texts) if text), key=lambda i: shares[i])
            return Taken(best, None)
        return elect(texts, shares, [self._meaning(self._form, text, cancel) for text in texts])

    def _meaning(self, form: CallFormat, text: str, cancel: Callable[[], bool]) -> Meaning:
        """What a request would make this brain do; what is too long to be asked means nothing."""
        request = read(text)
        asked = self._grammar().match(request)
        if asked is not None and asked.command:
            return Meaning(("command", asked.command))
        if not request.words:
            return Meaning(None)
        turn = Answer("")
        try:
            given = self._asked(asked) or self._ruled(request)
            call = self._unopposed(given, request, turn) if given else self._decide(form, request, turn, cancel)
        except TooLargeError:
            return Meaning(None)
        if call.action == _NONE:
            return Meaning(None)
        arguments = sorted((name, read(value.text).plain) for name, value in call.arguments.items())
        return Meaning((call.action, tuple(arguments)), 1.0 if turn.confidence is None else turn.confidence)

    def _decide(self, form: CallFormat, request: Request, turn: Answer, cancel: Callable[[], bool]) -> Call:
        """The call that the model writes for a request, `none` where it is in doubt."""
        specs = self._registry.offered()
        prompt = form.prompt(request)
        # The longest reply is a dozen words; the call can be no longer than the grammar's longest path.
        room = self._lm.context - len(prompt) - max(len(r.tokens) + 1 for s in specs for r in form.replies(s))
        if room < 1:
            raise TooLargeError(
                f"The request is too long: {len(request.words)} words are {len(prompt)} tokens,"
                f" and {self._lm.manifest.name} reads {self._lm.context}.",
                "say it shorter",
            )
        automaton = form.calls(request, specs)
        if automaton.check() > room:
            raise TooLargeError("The request is too long to be repeated in a call.", "say it shorter")
        first = FirstChoice(
            opinion(self.ngrams, form, request, specs), len(self.ngrams.members) if self.ngrams else 0
        )
        tokens = write(self._lm, turn, prompt, automaton, cancel, first)
        call = form.read_call(tokens, request, specs)
        turn.confidence = first.probability
        call = self._unopposed(set_right(call, request), request, turn)
        if call.action != _NONE and self.doubt.refuses(call, request, first.probability):
            return Call(_NONE)
        return call

    def _unopposed(self, call: Call, request: Request, turn: Answer) -> Call:
        """The call, or none with a reply where something speaks against it."""
        turn.reply = objection(call, request)
        if not turn.reply:
            return call
        turn.reply = (turn.reply == QUESTION and self._registry.state(call.action)) or turn.reply
        return Call(_NONE)

    def _act(
        self,
        form: CallFormat,
        request: Request,
        asked: Call | None,
        cancel: Callable[[], bool],
        on_delta: Callable[[str], None],
    ) -> Answer:
        turn = Answer("")
        guarded = self._unopposed(asked, request, turn) if asked is not None else None
        turn.call = call = guarded or self._decide(form, request, turn, cancel)
        if turn.reply:
            on_delta(turn.reply)
            return turn
        self._carry_out(turn, call, request)
        if not turn.ok:
            on_delta(turn.reply)
            return turn
        spec = self._registry.spec(call.action)
        if spec.by_rule:
            assert turn.result is not None
            turn.reply = fill(spec.replies[0], turn.result.fields)
            on_delta(turn.reply)
            return turn
        written = form.write_call(call, spec)
        self._reply(turn, form, spec, [*form.prompt(request), *written], cancel, on_delta)
        return turn

    def _carry_out(self, turn: Answer, call: Call, request: Request) -> None:
        began = self._clock.monotonic()
        try:
            turn.result = self._registry.run(call, request)
        except NoctuleError as error:
            turn.ok, turn.reply = False, error.message
        turn.seconds["action"] = self._clock.monotonic() - began
        if call.action != _NONE:
            tell(self._bus, call.action, turn, call.render())

    def _reply(
        self,
        turn: Answer,
        form: CallFormat,
        spec: Spec,
        prompt: list[int],
        cancel: Callable[[], bool],
        on_delta: Callable[[str], None],
    ) -> None:
        """Let the model choose among the declared replies; say the chosen one, filled in."""
        assert turn.call is not None
        assert turn.result is not None
        fields = {name: value.text for name, value in turn.call.arguments.items()} | dict(turn.result.fields)
        replies = form.suitable(spec, turn.call)
        reply = replies[0]
        if len(replies) > 1:
            heads = form.heads(replies)
            reply = heads[tuple(write(self._lm, turn, prompt, form.choice_of(replies), cancel, FirstChoice()))]
        turn.reply = " ".join(filter(None, (fill(reply.template, fields), turn.result.then)))
        on_delta(turn.reply)

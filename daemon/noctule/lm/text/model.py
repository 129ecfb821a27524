"""The text language model: prompt in, streamed text out.

    lm = TextLM.load("models/noctule-tiny", threads=2)
    for chunk in lm.chat([Message("user", "what time is it")], Options(max_tokens=64)):
        print(chunk.text, end="")            # the last chunk has chunk.finish and chunk.stats

The loop, for each token: cancelled? constraint done? write the last token and get logits; sample; stop token?
decode; stop string? emit. Cancellation is seen within one token (or one prefill run).

Prefix reuse. The cache of the last request stays. A new prompt that begins with the same tokens (a conversation
that went on) only pays for the rest. `forget()` drops it.

Context limit. A sequence has at most `context` positions. overflow="refuse": a prompt of more tokens is refused
(TooLargeError), and a reply that fills the context ends with finish "length". overflow="slide": when the context
is full, the oldest tokens after the first `keep` are forgotten, so that half of what `keep` leaves is free, and
the remaining ones are read again at their new positions; what follows is exactly what a fresh prompt of those
tokens would give. The pause for reading is the price of never showing the model a position it was not made for. A
prompt that is too long is shortened in the same way. `keep` is what the chat template and the system message take
(for plain prompts the begin token), at most half of the context.

What ends a reply: a stop token (finish "stop"), a stop string, which is not emitted ("stop"), a constraint that is
done ("stop"), max_tokens or a full context ("length"), the caller ("cancelled"). Without a constraint any other
special token also ends it ("stop"): a model that begins to write the user's next turn has finished its own.

One TextLM serves one request at a time. A second one is refused with BusyError, not queued; the owner queues.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from noctule.core.clock import Clock, SystemClock
from noctule.core.errors import BusyError, InputError, ModelError, TooLargeError
from noctule.inference import runtime as tflite
from noctule.lm.sampler import Sampler, Sampling, TextSampling, settings
from noctule.lm.text.chat import Message, chat_prompt, check_template, kept_tokens, stops_of
from noctule.lm.text.fit import Overflow, refuse_huge, shorten
from noctule.lm.text.graph import Logits
from noctule.lm.text.package import TextPackage, check_alive, open_text_package
from noctule.lm.text.request import Finish, Options, Stats, TextChunk, collect
from noctule.lm.text.stop_strings import StopText

__all__ = ["Finish", "Message", "Options", "Overflow", "Stats", "TextChunk", "TextLM", "collect"]

_DEFAULTS = Options()


class TextLM:
    """One loaded text model and its cache."""

    def __init__(self, package: TextPackage, *, overflow: Overflow = "refuse", clock: Clock | None = None) -> None:
        if overflow not in ("refuse", "slide"):
            raise InputError(f"overflow must be 'refuse' or 'slide', got {overflow!r}")
        manifest = package.manifest
        if manifest.chat is not None:
            check_template(str(manifest.folder), manifest.chat, package.tokenizer)
        self.manifest = manifest
        self.tokenizer = package.tokenizer
        self.overflow = overflow
        #: default sampling: the manifest's over ours
        self.sampling: Sampling = settings(TextSampling(), manifest.sampling)
        self.stops = stops_of(manifest.chat, package.tokenizer)
        self._package = package
        self._graph = package.graph
        self._clock = clock or SystemClock()
        self._held: list[int] = []  # tokens whose keys and values the cache holds, from position 0
        self._busy = threading.Lock()

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        threads: int = 1,
        cache_dir: Path | None = None,
        context: int | None = None,
        overflow: Overflow = "refuse",
        runtime: tflite.Runtime | None = None,
        clock: Clock | None = None,
    ) -> TextLM:
        """Open and verify a text-lm package; see `package.open_text_package`."""
        package = open_text_package(folder, threads=threads, cache_dir=cache_dir, context=context, runtime=runtime)
        return cls(package, overflow=overflow, clock=clock)

    @property
    def context(self) -> int:
        """Most positions a sequence may have."""
        return self._graph.context

    @property
    def runtime(self) -> str:
        """Name and version of the runtime the graph runs on, and what should be known of it."""
        return self._package.model.runtime.title

    @property
    def weight_cache(self) -> Path | None:
        """The file of its unpacked weights, or None: then they are in memory."""
        return self._package.cache

    @property
    def held(self) -> tuple[int, ...]:
        """Tokens the cache holds, for the next request to reuse."""
        return tuple(self._held)

    # ---- requests ---------------------------------------------------------------------------------------------

    def chat(self, messages: Sequence[Message], options: Options = _DEFAULTS) -> Iterator[TextChunk]:
        """Reply to a conversation. ModelError when the package has no chat template."""
        template = self.manifest.chat
        if template is None:
            raise ModelError(
                f"{self.manifest.folder}: the package has no chat template", "it can only continue plain text"
            )
        characters = sum(len(message.text) for message in messages)
        refuse_huge(self.context, self.tokenizer.longest, self.overflow, characters)
        prompt = chat_prompt(template, self.tokenizer, messages)
        return self._submit(prompt, kept_tokens(template, self.tokenizer, messages), True, options)

    def complete(self, text: str, options: Options = _DEFAULTS) -> Iterator[TextChunk]:
        """Continue a plain text, after the begin token if the model has one."""
        refuse_huge(self.context, self.tokenizer.longest, self.overflow, len(text))
        begin = [self.tokenizer.bos] if self.tokenizer.bos is not None else []
        return self._submit([*begin, *self.tokenizer.encode(text)], len(begin), False, options)

    def generate(self, prompt: Sequence[int], options: Options = _DEFAULTS, *, keep: int = 0) -> Iterator[TextChunk]:
        """Continue a prompt of tokens.

        Arguments are checked now; the work is done as the chunks are taken and stops when the iterator is closed.
        """
        return self._submit(prompt, keep, False, options)

    def _submit(self, prompt: Sequence[int], keep: int, start: bool, options: Options) -> Iterator[TextChunk]:
        prompt = [int(token) for token in prompt]
        if not prompt:
            raise InputError("the prompt is empty", "give at least one token")
        if options.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, got {options.max_tokens}")
        if min(prompt) < 0 or max(prompt) >= self.tokenizer.vocab_size:
            raise InputError(f"the prompt holds a token outside 0..{self.tokenizer.vocab_size - 1}")
        if self.overflow == "refuse" and len(prompt) > self.context:
            raise TooLargeError(
                f"the prompt has {len(prompt)} tokens, the model's context is {self.context}",
                "shorten it, or set the overflow to slide",
            )
        return self._run(prompt, max(0, min(keep, self.context // 2)), start, options)

    # ---- the loop ---------------------------------------------------------------------------------------------

    def _run(self, prompt: list[int], keep: int, start: bool, options: Options) -> Iterator[TextChunk]:
        with self._alone():
            yield from self._generate(prompt, keep, start, options)

    def _generate(self, prompt: list[int], keep: int, start: bool, options: Options) -> Iterator[TextChunk]:
        stats = Stats(prompt_tokens=len(prompt))
        began = self._clock.monotonic()
        tokens = shorten(prompt, keep, self.context) if len(prompt) > self.context else list(prompt)
        stats.reused_tokens = self._reuse(tokens)
        finish = self._read(tokens, options)
        stats.prefill_seconds = self._clock.monotonic() - began
        sampler = Sampler(options.sampling or self.sampling, options.seed)
        constraint = options.constraint
        text = StopText((*self.stops.texts, *options.stop))
        decoder = self.tokenizer.decoder(start=start)
        while finish is None:
            if options.cancelled():
                finish = "cancelled"
            elif constraint is not None and constraint.done():
                finish = "stop"
            elif len(self._held) == self.context and self.overflow == "refuse":
                finish = "length"
            elif len(self._held) == self.context:
                tokens = shorten(tokens, keep, self.context)
                stats.slides += 1
                self._reuse(tokens)
                finish = self._read(tokens, options)
            else:
                logits = self._step(tokens[-1])
                if options.on_logits is not None:
                    options.on_logits(logits)
                token = sampler.sample(logits, tokens, None if constraint is None else constraint.mask())
                tokens.append(token)
                if constraint is not None:
                    constraint.advance(token)
                stats.completion_tokens += 1
                if stats.completion_tokens == 1:
                    stats.first_token_seconds = self._clock.monotonic() - began
                if token in self.stops.tokens or (constraint is None and token in self.tokenizer.special):
                    finish = "stop"
                    break
                shown = text.push(decoder.push(token))
                if text.stopped:
                    finish = "stop"
                elif stats.completion_tokens >= options.max_tokens:
                    finish = "length"
                if shown:
                    yield TextChunk(shown)
        rest = text.push(decoder.finish()) + text.finish()
        stats.decode_seconds = self._clock.monotonic() - began - stats.prefill_seconds
        yield TextChunk(rest, finish, stats)

    def _reuse(self, tokens: Sequence[int]) -> int:
        """Keep of the cache what `tokens` begins with, all but their last at most; returns how many that is."""
        common = 0
        for ours, theirs in zip(self._held, tokens[:-1], strict=False):
            if ours != theirs:
                break
            common += 1
        del self._held[common:]
        self._graph.reserve(len(tokens), common)
        return common

    def _read(self, tokens: Sequence[int], options: Options) -> Finish | None:
        """Bring all but the last of `tokens` into the cache."""
        while (done := len(self._held)) < len(tokens) - 1:
            if options.cancelled():
                return "cancelled"
            taken = self._graph.prefill(tokens[done:-1], done)
            self._held.extend(tokens[done : done + taken])
        return None

    def _step(self, token: int) -> Logits:
        """Write one more token; logits over the tokenizer's vocabulary."""
        position = len(self._held)
        self._graph.reserve(position + 1, position)
        logits = self._graph.decode(token, position)
        self._held.append(token)
        # An export may pad its vocabulary; ids beyond the tokenizer's mean nothing.
        return logits[: self.tokenizer.vocab_size]

    # ---- care -------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Run each signature of the smallest bucket once. Drops the held prefix."""
        with self._alone():
            self._held.clear()
            self._graph.warm_up()

    def canary(self) -> float:
        """Prove that inference still works by one real step; returns the seconds it took.

        The step lies just beyond the held prefix and disturbs nothing. ModelError when the logits are not finite
        or all equal; BusyError during a request, whose own tokens are then the proof of life.
        """
        with self._alone():
            began = self._clock.monotonic()
            position = len(self._held)
            if position == self.context:
                self._held.clear()
                position = 0
            self._graph.reserve(position + 1, position)
            logits = self._graph.decode(self._held[-1] if self._held else 0, position)
            try:
                check_alive(str(self.manifest.folder), logits)
            except ModelError:
                self._held.clear()
                self._graph.clear()
                raise
            return self._clock.monotonic() - began

    def lean(self, on: bool) -> int:
        """Do with the smallest context the graph offers, which frees memory and makes each step cheaper, or use all
        of it again; the context in force. Drops the held prefix."""
        with self._alone():
            self._held.clear()
            self._graph.lean(on)
            return self._graph.context

    @property
    def smallest_context(self) -> int:
        """What `lean` would leave."""
        return self._graph.smallest

    def forget(self) -> None:
        """Drop the held prefix, and wipe it from memory."""
        with self._alone():
            self._held.clear()
            self._graph.clear()

    def close(self) -> None:
        """Free the model; the object must not be used afterwards."""
        with self._alone():
            self._package.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise BusyError("the language model is already answering", "wait for the reply, or cancel it")
        try:
            yield
        finally:
            self._busy.release()

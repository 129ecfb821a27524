"""What the assistant may do: declared in declared.py, carried out by the handlers beside it."""

from noctule.assistant.actions.registry import ActionRegistry, Argument, Call, Handler, Result, Spec, Value

__all__ = ["ActionRegistry", "Argument", "Call", "Handler", "Result", "Spec", "Value"]

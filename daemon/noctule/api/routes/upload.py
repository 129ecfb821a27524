"""A form with a file in it, read piece by piece into a bounded place on disk. L4."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import BodyPartReader, web

from noctule.api.http.gate import Gate
from noctule.core.errors import InputError, TooLargeError

#: bytes of a form's field, and fields; seconds that a whole upload may take
_FIELD, _FIELDS, _LIMIT = 8192, 32, 600.0
_BLOCK = 1 << 16


@dataclass
class Form:
    """fields: name -> values, in order; file: where the sent file lies, and what its sender called it."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    file: Path | None = None
    name: str = ""

    def one(self, name: str, default: str = "") -> str:
        """A field that may be given once. Raises InputError."""
        values = self.fields.get(name, [default])
        if len(values) > 1:
            raise InputError(f"{name} is given {len(values)} times.")
        return values[0]


async def read_form(request: web.Request, folder: Path, largest: int) -> Form:
    """The form of a multipart/form-data request, its `file` in `folder`. Raises InputError, TooLargeError."""
    if not request.content_type.startswith("multipart/"):
        raise InputError("The body must be a form with a file in it.", "send multipart/form-data")
    gate = request.transport.get_protocol() if request.transport is not None else None
    try:
        form = await asyncio.wait_for(_read(request, folder, largest, gate), _LIMIT)
    except asyncio.TimeoutError:
        raise InputError(f"The file did not arrive within {_LIMIT:g} s.", "send a shorter one") from None
    except (ValueError, AssertionError, KeyError) as error:  # aiohttp's words for a form that is none
        raise InputError(f"The form cannot be read: {error}.", "send multipart/form-data") from None
    if isinstance(gate, Gate):
        gate.read_complete()
    return form


async def _read(request: web.Request, folder: Path, largest: int, gate: object) -> Form:
    form, count = Form(), 0
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or count > _FIELDS:
            raise InputError(f"The form has forms within it, or more than {_FIELDS} fields.")
        if part.name == "file":
            form.name = (part.filename or "file")[:100]
            form.file = await _store(part, folder, largest, gate)
        else:
            value = bytes(await part.read_chunk(_FIELD + 1))
            if len(value) > _FIELD:
                raise TooLargeError(f"The field {str(part.name)[:60]} is longer than {_FIELD} bytes.")
            form.fields.setdefault(str(part.name), []).append(value.decode("utf-8", "replace"))
            await part.release()
    return form


async def _store(part: BodyPartReader, folder: Path, largest: int, gate: object) -> Path:
    size = 0
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        while block := await part.read_chunk(_BLOCK):
            size += len(block)
            if size > largest:
                raise TooLargeError(f"The file is larger than {largest} bytes.", "see api.max_audio")
            await asyncio.to_thread(file.write, bytes(block))
            if isinstance(gate, Gate):
                gate.arriving()
    return Path(file.name)

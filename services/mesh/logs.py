"""Structured logs: one event a line, as JSON for machines or in columns for people.

Secrets are struck out by their names, whoever logs them.
"""

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, TextIO

import structlog

from services.mesh.context import current_call, current_context

Format = Literal["json", "console"]
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

STRUCK_OUT = "***"
# A key with one of these words in it is a secret, whatever its value.
_SECRET = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|private_?key|admin_?pass|credential|authorization|cookie|user_?data"
    r"|key_?(pem|material)|signature",
    re.IGNORECASE,
)
# Names that look like secrets and aren't.
_HARMLESS = frozenset({"token_id_hash", "secret_uuid", "token_count"})

Event = MutableMapping[str, Any]


def strike_out(_logger: Any, _method: str, event: Event) -> Event:
    """A processor that hides the values of secret keys, also inside dictionaries."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:
    if key not in _HARMLESS and _SECRET.search(key):
        return STRUCK_OUT
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in value.items()}
    return value


def add_call(_logger: Any, _method: str, event: Event) -> Event:
    """A processor that names the request, and the method being answered, on every line."""
    context, call = current_context(), current_call()
    if context.request_id:
        event.setdefault("request_id", context.request_id)
    if call is not None:
        event.setdefault("method", call.method)
    return event


class _NamedLogger:
    """Writes rendered lines; carries the name that the logger was got by."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def msg(self, line: str) -> None:
        """Write one line at once, so that lines of several tasks and threads don't mix."""
        self._stream.write(line + "\n")
        self._stream.flush()

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Factory:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, *names: str) -> _NamedLogger:
        return _NamedLogger(self._stream, names[0] if names else "novamesh")


def _without_the_bytes(record: logging.LogRecord) -> bool:
    """Say of a malformed request only that it was one: its error repeats the line that is wrong, which may
    hold a token."""
    kind = record.exc_info[0] if record.exc_info else None
    if kind is not None and kind.__module__ == "aiohttp.http_exceptions":
        record.msg, record.args = "malformed request (%s)", (kind.__name__,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def set_up_logging(level: str = "info", form: Format = "console", stream: TextIO | None = None) -> None:
    """Send our own logs and those of libraries (from warnings up) to `stream`, stderr unless given.

    Called once by a program, before anything logs. Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is none of {', '.join(LEVELS)}")
    out = stream or sys.stderr
    shared: Sequence[Any] = (
        add_call,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        strike_out,
    )
    last: list[Any]
    if form == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Never the renderer's own tracebacks: they show local variables, and with them tokens and passwords.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_Factory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.getLogger("aiohttp.server").addFilter(_without_the_bytes)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(LEVELS[level], logging.WARNING))

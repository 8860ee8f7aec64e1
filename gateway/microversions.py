"""Which microversion a request asks for.

The major version is 2 throughout, so a microversion is its minor number: 47 is 2.47.
"""

from collections.abc import Mapping

from gateway.faults import HttpError

HEADER = "OpenStack-API-Version"
LEGACY_HEADER = "X-OpenStack-Nova-API-Version"
VARY = f"{HEADER}, {LEGACY_HEADER}"
MINIMUM = 1

# Headers seen before; clients of one release send the same few.
_CACHE_SIZE = 256


class Negotiator:
    """Reads the version headers of one service (`compute`) up to the highest minor version that is served."""

    def __init__(self, service: str, maximum: int) -> None:
        self.service = service
        self.maximum = maximum
        self._known: dict[str, int] = {}

    def negotiate(self, headers: Mapping[str, str]) -> int:
        """The minor version to answer in; the lowest when none is asked for.

        Raises HttpError 400 for what is no version and 406 for one out of range.
        """
        value = headers.get(HEADER)
        if value is not None:
            wanted = self._of_service(value)
        else:
            wanted = headers.get(LEGACY_HEADER)
        if wanted is None:
            return MINIMUM
        known = self._known.get(wanted)
        if known is None:
            known = self._parse(wanted)
            if len(self._known) < _CACHE_SIZE:
                self._known[wanted] = known
        return known

    def _of_service(self, value: str) -> str | None:
        """The version for this service in `compute 2.10, volume 3.0`; the last one counts."""
        found = None
        for part in value.split(","):
            words = part.split()
            if len(words) == 2 and words[0].lower() == self.service:
                found = words[1]
            elif len(words) == 1 and words[0].lower() == self.service:
                raise HttpError(400, _malformed(""))
        return found

    def _parse(self, text: str) -> int:
        text = text.strip()
        if text == "latest":
            return self.maximum
        major, dot, minor = text.partition(".")
        if not (dot and _is_number(major) and _is_number(minor)) or major == "0":
            raise HttpError(400, _malformed(text))
        if int(major) != 2 or not MINIMUM <= int(minor) <= self.maximum:
            raise HttpError(
                406,
                f"Version {text} is not supported by the API. "
                f"Minimum is 2.{MINIMUM} and maximum is 2.{self.maximum}.",
            )
        return int(minor)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and (text == "0" or text[0] != "0")


def _malformed(text: str) -> str:
    return f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum."

"""Personality: files that a user puts into a server, up to 2.56."""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.faults import HttpError
from novamesh.failures import QuotaExceededError

# Nova's sentences for the limits; the number is the limit.
_SENTENCES = {
    "injected_files": "Personality file limit exceeded.",
    "injected_file_path_bytes": "Personality file path exceeds maximum {} bytes.",
    "injected_file_content_bytes": "Personality file content exceeds maximum {} bytes.",
    "metadata_items": "Maximum number of metadata items exceeds {}",
}


def files_of(personality: Iterable[Mapping[str, Any]] | None) -> dict[str, bytes]:
    """Contents by path. Raises HttpError 400 for what is no base64."""
    files = {}
    for file in personality or ():
        try:
            files[file["path"]] = b64decode(file["contents"])
        except ValueError:
            raise HttpError(
                400,
                f"Invalid input for field/attribute contents. Personality content for {file['path']} "
                "cannot be decoded.",
            ) from None
    return files


def beyond_limits(failure: QuotaExceededError) -> HttpError | None:
    """What a limit of one request says, in Nova's words; None for a limit on all that a project has."""
    for shortage in failure.shortages:
        if shortage.resource in _SENTENCES:
            return HttpError(403, _SENTENCES[shortage.resource].format(shortage.limit))
    return None

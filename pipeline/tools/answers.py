"""What a paid tool's answer must be."""

from pipeline.providers.http_errors import unexpected_answer
from pipeline.providers.images import ImageUnreadable, probe_image, read_image


def extension_of(data: bytes, *, service: str) -> str:
    """The extension of a whole picture, by its content. Raises `OutcomeUnknown`, as it may be paid for."""
    try:
        read_image(data, name="the answer", background=None)  # all of it: a header alone may be cut short
        return probe_image(data, name="the answer").extension
    except ImageUnreadable as error:
        raise unexpected_answer(service, "sent no picture that can be read", status=200) from error

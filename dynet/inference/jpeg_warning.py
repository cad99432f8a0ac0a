"""Warnings of libjpeg, which Pillow swallows: what cannot be decoded becomes grey or something else."""

import logging

import simplejpeg

logger = logging.getLogger(__name__)
_HARMLESS = ("Unknown Adobe", "unknown JFIF", "Inconsistent progression sequence", "extraneous bytes", "tjDecompress")
"""The last are errors of TurboJPEG itself, for example for a sampling that Pillow reads."""


def warn_of_damage(encoded: bytes, name: str) -> None:
    """Log a warning if libjpeg has one for the pixels of a JPEG that Pillow could decode.

    Args:
        encoded: The whole file.
        name: The file's name, for the warning.
    """
    try:
        simplejpeg.decode_jpeg(encoded, "GRAY", strict=True)
    except ValueError as error:
        reason = " ".join(str(error).split())
        if not any(text in reason for text in _HARMLESS):
            logger.warning("%s: is damaged, and parts of it may be grey or wrong: %s", name, reason)

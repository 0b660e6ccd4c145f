"""Errors a user can cause.

Each message is one sentence that says what is wrong and what to do about it; the command line
prints it without a traceback (``--debug`` shows one) and ends with :attr:`exit_code`.
"""

from __future__ import annotations


class VidCascadeError(Exception):
    """Something failed for a reason the user can act on."""

    exit_code = 1


class UsageError(VidCascadeError):
    """The request itself was wrong: an option, a path, a key or a value."""

    exit_code = 2

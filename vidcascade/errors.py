"""Errors a user can cause.

Each message is one sentence that says what is wrong and what to do about it; the command line
prints it without a traceback (``--debug`` shows one) and ends with :attr:`exit_code`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

_Given = ParamSpec("_Given")


class VidCascadeError(Exception):
    """Something failed for a reason the user can act on."""

    exit_code = 1


class UsageError(VidCascadeError):
    """The request itself was wrong: an option, a path, a key or a value."""

    exit_code = 2


def in_one_sentence(main: Callable[_Given, int]) -> Callable[_Given, int]:
    """The ``main`` of a script whose errors of this kind end in their sentence and exit code."""

    @wraps(main)
    def told(*args: _Given.args, **kwargs: _Given.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except VidCascadeError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code

    return told

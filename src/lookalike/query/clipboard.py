"""The picture that the clipboard holds."""

from __future__ import annotations

from PIL import Image, ImageGrab

from lookalike.errors import InvalidQuestion, reason_of
from lookalike.query.terms import File


def from_clipboard() -> Image.Image | File:
    """The picture, or the file that was copied in a file manager.

    Raises:
        InvalidQuestion: it holds none, several, or cannot be read.
    """
    try:
        held = ImageGrab.grabclipboard()
    except NotImplementedError:
        reason = "no program that reads it is installed: wl-clipboard or xclip"
        raise InvalidQuestion(f"The clipboard cannot be read ({reason}).") from None
    # What is copied may be damaged, and the programs have errors of their own, such as no display.
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidQuestion(f"The clipboard cannot be read ({reason_of(error)}).") from error
    if isinstance(held, list):
        if len(held) == 1:
            return File(held[0])
        raise InvalidQuestion(f"The clipboard holds {len(held)} files; copy one picture.")
    if held is None:
        raise InvalidQuestion("The clipboard holds no picture; copy one first.")
    return held

"""A Python file of the user's own: it is code, and is run. Everything that can be wrong with it is one line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from .errors import BridgelabError, UserFileError, reason
from .text_file import read_text


@dataclass(frozen=True)
class UserFile:
    """A file's text, as workers get it too, and its name for messages."""

    path: str
    source: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()

    def make(self, function: str, *kinds: type) -> Any:
        """What a function of the file returns, which must be of one of the kinds. Raises UserFileError."""
        namespace: dict[str, Any] = {"__name__": Path(self.path).stem, "__file__": self.path}
        kind = kinds[0]
        wanted = f"{kind.__module__}.{kind.__name__}"
        try:
            exec(compile(self.source, self.path, "exec"), namespace)
            if function not in namespace:
                raise UserFileError(
                    f"{self.path} has no function {function}(); write `def {function}() -> {kind.__name__}`"
                )
            made = namespace[function]()
        except UserFileError:
            raise
        except SyntaxError as error:
            raise UserFileError(f"{self.path}:{error.lineno}: {error.msg}; mend that line") from None
        except BridgelabError as error:
            raise UserFileError(f"{self.path}: {error}") from None
        except pydantic.ValidationError as error:
            raise UserFileError(f"{self.path}: {reason(error)}; mend that field") from None
        except (Exception, SystemExit) as error:  # whatever a user's code raises is told in one line
            said = " ".join(str(error).split())
            raise UserFileError(f"{self.path} raised {type(error).__name__}: {said}") from None
        if not isinstance(made, kinds):
            raise UserFileError(f"{self.path}: {function}() returned {type(made).__name__}; return a {wanted}")
        return made


def read_user_file(path: str) -> UserFile:
    """A file as it stands. Raises UserFileError for one that cannot be read."""
    try:
        return UserFile(path, read_text(path))
    except ValueError as error:
        raise UserFileError(f"cannot read {path}: {error}; give the path of a Python file") from None

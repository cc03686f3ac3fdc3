"""Strict typed reading of params.yaml, and the one line that says which value is wrong and what is allowed."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from stages.terminal import StageError

PARAMS_FILE = Path("params.yaml")


class Settings(BaseModel):
    """Base of all parameter models: frozen, strict types, unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Section(Settings):
    """A top-level section of params.yaml."""

    section: ClassVar[str]

    @classmethod
    def load(cls, path: Path = PARAMS_FILE) -> Self:
        """The section, read as DVC reads it (YAML 1.2: 1e-3 is a number, `no` is a string).

        Raises:
          StageError: the file or the section is missing, or a value is not what the section declares.
        """
        content = _read_yaml(path)
        if cls.section not in content:
            raise StageError(f"{path}: expected a section '{cls.section}', found {_listed(content) or 'none'}")
        try:
            return cls.model_validate(content[cls.section])
        except ValidationError as error:
            raise StageError(f"{path}: {_first_problem(cls, error)}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise StageError(f"{path}: line {line}: {error.problem or 'not valid YAML'}") from None
    if not isinstance(content, dict):
        raise StageError(f"{path}: expected sections of parameters, found {content!r}")
    return content


def _first_problem(model: type[Section], error: ValidationError) -> str:
    """One line for the first of pydantic's findings: the parameter, what is allowed, and the value that came."""
    # A misspelt name is missing under its right name too: the misspelling is what helps.
    found = min(error.errors(), key=lambda other: other["type"] != "extra_forbidden")
    path, known = _parameter_path(model, found)
    name = ".".join([model.section, *path])
    match found["type"]:
        case "extra_forbidden":
            guess = _suggestion(path[-1], known)
            return f"{name}: unknown parameter{guess}; allowed: {_listed(known)}; found {found['input']!r}"
        case "missing":
            return f"{name}: expected a value, found none; add it to params.yaml"
        case "value_error":
            return f"{name}.{found['ctx']['error']}"
    # A union reports one finding a member.
    same = (other for other in error.errors() if _parameter_path(model, other)[0] == path)
    allowed = " or ".join(dict.fromkeys(_allowed(other) for other in same))
    return f"{name}: expected {allowed}, found {found['input']!r}"


def _parameter_path(model: type[BaseModel], found: ErrorDetails) -> tuple[list[str], list[str]]:
    """The parameter's path below its section, without the names pydantic adds for a union's members; its siblings."""
    path: list[str] = []
    known: list[str] = []
    level: type[BaseModel] | None = model
    for step in found["loc"]:
        if isinstance(step, int):
            path.append(str(step))
        elif level is not None:
            path.append(step)
            known = list(level.model_fields)
            nested = level.model_fields[step].annotation if step in level.model_fields else None
            level = nested if isinstance(nested, type) and issubclass(nested, BaseModel) else None
    return path, known


_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "none_required": "null",
    "finite_number": "a finite number",
    "model_type": "parameters",
    "string_too_short": "text that is not empty",
    "too_short": "a list that is not empty",
    "string_pattern_mismatch": "one ASCII character",
}


def _allowed(found: ErrorDetails) -> str:
    context = found.get("ctx", {})
    match found["type"]:
        case "literal_error":
            return f"one of {context['expected']}"
        case "greater_than":
            return f"a number above {context['gt']}"
        case "greater_than_equal":
            return f"a number from {context['ge']} up"
        case "less_than_equal":
            return f"a number up to {context['le']}"
    return _EXPECTED.get(found["type"], found["msg"])


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)

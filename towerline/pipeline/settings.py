"""Strict, typed reading of params.yaml, with one-line errors that name the wrong value and what is allowed."""

import difflib
import importlib
import importlib.util
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import printable

PARAMS_FILE = Path("params.yaml")
# The module with all sections and the rules between them.
RULES = "stages.rules"

# Longer values are shortened in messages.
SHOWN_LETTERS = 100

Rule = Callable[..., None]
SectionType = TypeVar("SectionType", bound="Section")


class Settings(BaseModel):
    """Base of all parameter models: frozen, with strict types; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Section(Settings):
    """A top-level section of params.yaml."""

    section: ClassVar[str]

    @classmethod
    def load(cls, path: Path = PARAMS_FILE) -> Self:
        """Reads the section as DVC reads it (YAML 1.2: 1e-3 is a number, `no` is a string).

        Where there is the module RULES, the other sections and the rules between sections are checked too, so that the
        first stage that runs refuses a value that a later stage could not use. Nothing of the other sections is
        returned: what a stage writes depends on its own section alone.

        Raises:
          StageError: the file is not readable, the section is missing, a value of any section is not what its type
            allows, or two values do not fit together.
        """
        content = _read_yaml(path)
        models = cls._models()
        if len(models) > 1:
            _check_names(models, content, path)
        if cls.section not in content:
            raise _problem(path, f"expected a section '{cls.section}', found {_listed(content) or 'none'}")
        # The stage's own section comes first: of several wrong values, the error names the stage's own.
        own = _validated(cls, content[cls.section], path)
        if len(models) > 1:
            _check_together(models, content, path)
        return own

    @classmethod
    def _models(cls) -> dict[str, type["Section"]]:
        """Models of all sections by name, where there is the module RULES; else only this one."""
        package = RULES.partition(".")[0]
        if importlib.util.find_spec(package) is None or importlib.util.find_spec(RULES) is None:
            return {cls.section: cls}
        return {model.section: model for model in importlib.import_module(RULES).SECTIONS}


def _check_names(models: Mapping[str, type[Section]], content: Mapping[Any, Any], path: Path) -> None:
    for name in content:
        if name not in models:
            guess = suggestion(str(name), list(models))
            raise _problem(path, f"{_shown(name)}: unknown section{guess}; allowed: {_listed(models)}")


def _check_together(models: Mapping[str, type[Section]], content: Mapping[Any, Any], path: Path) -> None:
    """Checks the values of all sections, and the rules between them."""
    sections = {name: _validated(models[name], values, path) for name, values in content.items()}
    for needed, rule in _RULES:
        if all(model.section in sections for model in needed):
            try:
                rule(*(sections[model.section] for model in needed))
            except ValueError as error:
                raise _problem(path, str(error)) from None


_RULES: list[tuple[tuple[type[Section], ...], Rule]] = []


def rule_between(*models: type[Section]) -> Callable[[Rule], Rule]:
    """Registers a function of these sections that raises a one-line ValueError if they do not fit together.

    load() calls it where params.yaml has all of the sections.
    """

    def register(rule: Rule) -> Rule:
        _RULES.append((models, rule))
        return rule

    return register


def between(least: float, most: float) -> AfterValidator:
    """Validator for Annotated with a lower and an upper bound; its message names both."""

    def within(value: float) -> float:
        if not least <= value <= most:
            raise expected(f"a number from {least} to {most}")
        return value

    return AfterValidator(within)


def expected(what: str) -> PydanticCustomError:
    """Error of a validator whose message becomes "expected `what`, found ..."."""
    return PydanticCustomError("expected", "{expected}", {"expected": what})


def _encodable(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise expected("text without NUL characters and lone surrogates")
    return text


Share = Annotated[float, between(0, 1)]
NonEmptyText = Annotated[str, Field(min_length=1), AfterValidator(_encodable)]
# The seeds that NumPy, scikit-learn and TensorFlow all accept.
Seed = Annotated[int, between(0, 2**32 - 1)]


def _problem(path: Path, what: str) -> StageError:
    return StageError(printable(f"{path}: {what}"))


class _Constructor(SafeConstructor):
    """Adds the line of the value to an error of Python's conversions (`!!int abc`, the date 2020-13-45)."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError) as error:
            kind = str(node.tag).replace("tag:yaml.org,2002:", "!!")
            shown = _shown(node.value) if isinstance(node.value, str) else str(error)
            problem = f"expected a value that can be read as {kind}, found {shown}"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def _read_yaml(path: Path) -> dict[Any, Any]:
    text = ""
    try:
        yaml = YAML(typ="safe", pure=True)
        yaml.Constructor = _Constructor
        text = path.read_bytes().decode()
        content = yaml.load(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _problem(path, f"line {line}: expected UTF-8, found the byte 0x{error.object[error.start]:02x}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        messages = filter(None, (error.context, error.problem))
        problem = ", ".join(message.partition("\n")[0] for message in messages) or "not valid YAML"
        raise _problem(path, f"line {mark.line + 1 if mark else '?'}: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _problem(path, f"line {line}: expected printable text, found U+{error.character:04X}") from None
    except RecursionError:
        raise _problem(path, "expected sections of parameters, found values nested too deep to read") from None
    if not isinstance(content, dict):
        raise _problem(path, f"expected sections of parameters, found {_shown(content)}")
    return content


def _validated(model: type[SectionType], content: Any, path: Path) -> SectionType:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _problem(path, _first_problem(model, error)) from None


def _first_problem(model: type[Section], error: ValidationError) -> str:
    """Message of one line for the first error of pydantic: the parameter, what is allowed, and the value."""
    # A misspelt parameter is also reported as missing; the message about the misspelling helps more.
    details = min(error.errors(), key=lambda other: other["type"] != "extra_forbidden")
    path, known = _parameter_path(model, details)
    name = ".".join([model.section, *path])
    match details["type"]:
        case "extra_forbidden":
            guess = suggestion(path[-1], known)
            return f"{name}: unknown parameter{guess}; allowed: {_listed(known)}; found {_shown(details['input'])}"
        case "missing":
            return f"{name}: expected a value, found none; add it to params.yaml"
        case "value_error":
            return f"{name}.{details['ctx']['error']}"
    # pydantic reports an error for each member of a union.
    same = (other for other in error.errors() if _parameter_path(model, other)[0] == path)
    allowed = " or ".join(dict.fromkeys(_allowed(other) for other in same))
    return f"{name}: expected {allowed}, found {_shown(details['input'])}"


def _parameter_path(model: type[BaseModel], details: ErrorDetails) -> tuple[list[str], list[str]]:
    """Path of the parameter below its section, without the members of unions, and the names of its siblings."""
    path: list[str] = []
    known: list[str] = []
    level: Any = model
    for step in details["loc"]:
        if isinstance(step, int):
            path.append(str(step))
        elif _is_model(level):
            path.append(step)
            known = list(level.model_fields)
            level = level.model_fields[step].annotation if step in level.model_fields else None
        elif get_origin(level) is dict:
            path.append(step)
            known, level = [], get_args(level)[1]
        else:
            # The tag of a member of a union.
            level = next((member for member in _members(level) if step in _tags(member)), None)
    return path, known


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, without their annotations; none of anything else."""
    union = _plain(kind)
    return tuple(map(_plain, get_args(union))) if get_origin(union) in (Union, UnionType) else ()


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _tags(member: Any) -> tuple[Any, ...]:
    """The values of the field `kind` of a model, which tells the members of a union apart."""
    if not _is_model(member) or "kind" not in member.model_fields:
        return ()
    return get_args(member.model_fields["kind"].annotation)


_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_unicode": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "none_required": "null",
    "finite_number": "a finite number",
    "model_type": "parameters",
    "model_attributes_type": "a mapping with a kind, such as {kind: categorical}",
    "string_too_short": "text that is not empty",
    "too_short": "a list that is not empty",
    "invalid_key": "a name as the key",
    "recursion_loop": "values that do not contain themselves",
}


def _allowed(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "expected":
            return str(context["expected"])
        case "literal_error":
            return f"one of {context['expected']}"
        case "greater_than":
            return f"a number above {context['gt']:g}"
        case "too_long":
            return f"at most {context['max_length']} values"
        case "union_tag_invalid":
            return f"one of {context['expected_tags']} as kind"
        case "union_tag_not_found":
            return "a mapping with a kind, such as {kind: categorical}"
    return _EXPECTED.get(details["type"], details["msg"])


def suggestion(name: str, known: list[str]) -> str:
    """The end of a message about a misspelt name: the known one that is spelt most like it; empty if none is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ""


class _Short(reprlib.Repr):
    """Python's notation of a value, shortened if it is long or deep; None is `null`, as in params.yaml."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = SHOWN_LETTERS
        self.maxlevel = 2

    def repr1(self, x: Any, level: int) -> str:
        return "null" if x is None else super().repr1(x, level)

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to convert longer integers to decimal text.
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"an integer of {x.bit_length()} bits"


_short = _Short()


def _shown(value: object) -> str:
    text = _short.repr(value)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)

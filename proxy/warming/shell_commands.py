"""The text of a RUN as commands: enough of a shell's grammar to know which program gets which words. Pure.

Variables that are known are filled in, others stay as they are written, so that a reader sees that a word is not known.
Both sides of an `if` are commands, since nobody knows which one runs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?([-+])([^}]*))?\}|(\w+))")
_SUBSTITUTION = re.compile(r"\$\(|`")
_QUOTED = r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\""""
_COMMENT = re.compile(rf"({_QUOTED})|(?<![^\s;&|(])#[^\n]*", re.DOTALL)
_PARENTHESIS = re.compile(rf"{_QUOTED}|([()])", re.DOTALL)
_HERE = re.compile(r"(?<!<)<<-?([\"']?)[A-Za-z_][\w.]*\1")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_UNKNOWN = "$…"  # stands for what a command would have printed
_PUNCTUATION = "();<>|&\n"
_SHELLS = frozenset({"", "sh", "bash", "/bin/sh", "/bin/bash", "sh -e", "bash -e", "sh -ex", "bash -ex"})
_WORDS_BEFORE = frozenset(
    {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "exec", "sudo", "env"}
)
_SHELL_PROGRAMS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_RUNS = re.compile(r"-[a-z]*c")  # what follows is a script
_DEEPEST = 8  # substitutions within substitutions


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its words, without what is redirected. `variables`: those that are set for it alone."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """What is run, without its folder."""
        return self.words[0].rpartition("/")[2]


def unknown(word: str) -> bool:
    """Whether what a word comes to is known only when it runs."""
    return "$" in word or "`" in word


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with the values of the variables that are known."""

    def value(found: re.Match[str]) -> str:
        name, mark, other = found[1] or found[4], found[2], found[3]
        if mark == "+":
            return other if variables.get(name) else "" if name in variables else found[0]
        if mark == "-" and not variables.get(name):
            return str(other) if name not in variables or ":" in found[0] else ""
        return variables.get(name, found[0])

    return _VARIABLE.sub(value, text)


def commands(text: str, variables: Mapping[str, str]) -> Iterator[Command]:
    """The commands of a RUN, in order. Raises ValueError where the text is no shell's."""
    first, newline, rest = text.partition("\n")
    if newline and _HERE.search(first):  # here-documents stand behind the first line: a script, or what a program reads
        plain = _HERE.sub("", first).strip()
        text = rest if plain in _SHELLS else plain
    yield from _of_script(text, variables, _DEEPEST)


def _of_script(text: str, variables: Mapping[str, str], depth: int) -> Iterator[Command]:
    text = _without_comments(text.replace("\\\n", " "))
    while depth and (found := _SUBSTITUTION.search(text)):
        end = text.find("`", found.end()) if found[0] == "`" else _closing(text, found.end())
        if end < 0:
            raise ValueError("no end of a substitution")
        yield from _of_script(text[found.end() : end], variables, depth - 1)
        text = text[: found.start()] + _UNKNOWN + text[end + 1 :]
    words: list[str] = []
    skip = False
    for token in _tokens(filled(text, variables)):
        if set(token) <= {"<", ">", "&"} and {"<", ">"} & set(token):
            skip = True  # what follows is where to
            if words and words[-1].isdecimal():
                words.pop()
        elif token and set(token) <= set(_PUNCTUATION):
            yield from _commands(words, variables, depth)
            words, skip = [], False
        elif skip:
            skip = False
        else:
            words.append(token)
    yield from _commands(words, variables, depth)


def _commands(words: list[str], variables: Mapping[str, str], depth: int) -> Iterator[Command]:
    for command in _command(words):
        yield from _inner(command, variables, depth)


def _inner(command: Command, variables: Mapping[str, str], depth: int) -> Iterator[Command]:
    """The command, or those of the script that it has a shell run: `sh -c '…'`, `bash -lc '…'`, `eval …`."""
    script = " ".join(command.words[1:]) if command.program == "eval" else None
    if command.program in _SHELL_PROGRAMS:
        place = next((number for number, word in enumerate(command.words) if _RUNS.fullmatch(word)), None)
        script = command.words[place + 1] if place is not None and len(command.words) > place + 1 else None
    if script is None or not depth:
        yield command
    else:
        yield from _of_script(script, {**variables, **command.variables}, depth - 1)


def _without_comments(text: str) -> str:
    """The text without comments, which begin where a word might: not within one, and not in quotes."""
    lines = _COMMENT.sub(lambda found: found[1] or "", text).splitlines()
    return "\n".join(line for line in lines if line.strip())


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that was opened before `start` is closed; -1: nowhere. What is quoted does not count."""
    depth = 1
    for found in _PARENTHESIS.finditer(text, start):
        if found[1]:
            depth += 1 if found[1] == "(" else -1
        if not depth:
            return found.start()
    return -1


def _tokens(text: str) -> Iterator[str]:
    reader = shlex.shlex(text, posix=True, punctuation_chars=_PUNCTUATION)
    reader.whitespace, reader.whitespace_split, reader.commenters = " \t\r", True, ""
    yield from reader


def _command(words: list[str]) -> Iterator[Command]:
    own: dict[str, str] = {}
    for place, word in enumerate(words):
        if _ASSIGNMENT.match(word):
            name, _, value = word.partition("=")
            own[name] = value
        elif word not in _WORDS_BEFORE:
            yield Command(tuple(words[place:]), own)
            return

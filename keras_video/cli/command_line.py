"""A command line with commands: absl flags, help with examples, errors in one line."""

import difflib
import os
import re
import sys
import warnings
from typing import NamedTuple

from absl import flags

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEFINE = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


class Option(NamedTuple):
    """The flag `--name=default` of a command. It has the type of its default.

    Args:
        name, default, help: as in absl's `DEFINE_*` functions.
        smallest: lower bound of a number, itself allowed, or `None`.
    """

    name: str
    default: object
    help: str
    smallest: float | None = None


class Command(NamedTuple):
    """A command of a program.

    Args:
        run: function `(options, argument)`, or `(options)` if the command has no argument. It
            returns the exit code; `None` counts as 0.
        argument: name of the argument in the help, or `""`.
        summary: string, one line for the list of commands.
        help: string, the explanation and examples.
        options: tuple of `Option`.
    """

    run: object
    argument: str
    summary: str
    help: str
    options: tuple = ()


class CommandLine(NamedTuple):
    """A program with commands.

    Args:
        name: name of the program.
        commands: dict of `Command`.
        intro, closing: text of `--help` before and after the list of commands.
        version: function that returns the version.
        debug: name of the environment variable with which errors show a traceback.
    """

    name: str
    commands: dict
    intro: str
    closing: str
    version: object
    debug: str

    def main(self, argv=None):
        """Run `argv`; return the exit code: that of the command, or 2 after an error."""
        argv = list(sys.argv[1:] if argv is None else argv)
        command = self.commands.get(argv[0] if argv else "")
        options = command.options if command else ()
        with warnings.catch_warnings():
            warnings.showwarning = self._warn
            try:
                return self._dispatch(argv)
            except KeyboardInterrupt:
                return 130
            except BrokenPipeError:  # the reader of the output has ended, as in `| head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 0
            except (flags.Error, ValueError, OSError, ImportError, RuntimeError) as error:
                if os.environ.get(self.debug):
                    raise
                return self._say(as_options(str(error), options))
            except Exception as error:
                if os.environ.get(self.debug):
                    raise
                return self._say(f"{type(error).__name__}: {error} ({self.debug}=1 shows where)")

    def _dispatch(self, argv):
        name, *words = argv or [""]
        if name in ("-h", "--help", "-help", "help"):
            known = [word for word in words if word in self.commands]
            print(self._explain(known[0]) if known else self._overview())
        elif name == "--version":
            print(f"{self.name} {self.version()}")
        elif not name:
            print(self._overview(), file=sys.stderr)
            return 2
        elif name not in self.commands:
            close = difflib.get_close_matches(name, self.commands, 1, cutoff=0.7)
            hint = f"Did you mean {close[0]!r}?" if close else f"See {self.name} --help."
            known = ", ".join(self.commands)
            raise ValueError(f"COMMAND: expected one of {known}, got {name!r}. {hint}")
        elif {"-h", "--help", "-help"} & set(words):
            print(self._explain(name))
        else:
            options, arguments = self._parse(name, words)
            return self.commands[name].run(options, *arguments) or 0
        return 0

    def _parse(self, name, words):
        """Parse the words of a command with absl; return its options and its arguments."""
        command = self.commands[name]
        values = flags.FlagValues()
        values.set_gnu_getopt(True)
        for option in command.options:
            bound = {} if option.smallest is None else {"lower_bound": option.smallest}
            define = DEFINE[type(option.default)]
            define(option.name, option.default, option.help, flag_values=values, **bound)
        arguments = values([name, *map(_underscored, words)])[1:]
        if len(arguments) != bool(command.argument):
            expected = f"one {command.argument}" if command.argument else "no arguments"
            raise ValueError(
                f"{name}: expected {expected}, got {' '.join(arguments) or 'none'}. "
                f"See {self.name} {name} --help."
            )
        return values, arguments

    def _overview(self):
        lines = [self.intro, "", f"usage: {self.name} COMMAND [OPTIONS]", "", "commands:"]
        lines += [f"  {name:13s}{command.summary}" for name, command in self.commands.items()]
        lines += ["", f"{self.name} COMMAND --help explains a command and its options."]
        lines += [f"{self.name} --version prints the version.", self.closing.rstrip()]
        return "\n".join(lines)

    def _explain(self, name):
        command = self.commands[name]
        usage = ["usage:", self.name, name, command.argument]
        usage += ["[OPTIONS]"] if command.options else []
        lines = [" ".join(filter(None, usage)), "", command.help.strip()]
        if command.options:
            lines += ["", "options:"]
        for option in command.options:
            value = "" if isinstance(option.default, bool) else f"={option.default}"
            lines.append(f"  --{option.name + value:23s} {option.help}")
        return "\n".join(lines)

    def _warn(self, message, category, filename, *_):
        # Warnings of other packages, also those that torch gives for our code, are for programmers.
        if category is UserWarning and filename.startswith(PACKAGE):
            self._say(f"warning: {message}")

    def _say(self, message):
        print(f"{self.name}: {' '.join(str(message).split())}", file=sys.stderr)
        return 2


# Arguments of the library that have another name as an option.
ARGUMENTS = {"num_frames": "frames", "image_size": "size"}


def as_options(message, options):
    """Return an error of the library in the words of the command line.

    `frames: expected ...` becomes `--frames: expected ...`, and `partial=True` becomes `--partial`,
    for all options of the command.

    Args:
        message: string.
        options: tuple of `Option`, those of the command.
    """
    names = {option.name: option.name for option in options}
    names |= {name: option for name, option in ARGUMENTS.items() if option in names}
    for name, option in names.items():
        word = rf"(?<![\w./-]){name}"
        message = re.sub(rf"^{name}: ", f"--{option}: ", message)
        message = re.sub(rf"{word}=True\b", f"--{option}", message)
        message = re.sub(rf"{word}=False\b", f"--no{option}", message)
        message = re.sub(rf"{word}='([^']*)'", rf"--{option}=\1", message)
        message = re.sub(rf"{word}=(\d[\d.]*\d|\d)\b", rf"--{option}=\1", message)
    return message


def _underscored(word):
    """Return `--batch-size=4` as `--batch_size=4`, so that both are accepted."""
    if not word.startswith("--"):
        return word
    name, *value = word[2:].split("=", 1)
    return "=".join(["--" + name.replace("-", "_"), *value])

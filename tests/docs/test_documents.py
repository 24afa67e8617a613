"""What README.md and docs/ say can be done: commands, names, links, paths, exit codes."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from device_sdk_simulators.cli import main as simulators_cli
from device_sdk_simulators.faults import FAULTS
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.swtpm import Swtpm

import device_sdk
from device_sdk import errors
from device_sdk.cli.main import build_parser
from device_sdk.cli.settings import SETTINGS
from device_sdk.wire.key_uri import parse_key_uri
from tests.docs.markdown import DOCUMENTS, ROOT, blocks, commands, links, spans, words_of_program

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
PARSERS = {"device-sdk": cache(build_parser), "device-sdk-sim": cache(simulators_cli._parser)}


def check(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Fail unless these are arguments the program takes."""
    with suppress(SystemExit):
        try:
            parser.parse_args(words)
        except errors.ConfigurationError as error:
            raise AssertionError(f"not understood: {' '.join(words)}: {error}") from error
        return
    # what leaves with SystemExit has printed its version or help; anything else is a mistake
    assert {"--version", "--help", "-h"} & set(words), f"not understood: {' '.join(words)}"


def check_start(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Fail unless the words begin with commands there are; arguments may be missing, as this is running text."""
    for word in words:
        choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not choices or word.startswith("-"):
            break
        assert word in choices[0], f"no command {word!r} in: {' '.join(words)}"
        parser = choices[0][word]
    options = {name for action in parser._actions for name in action.option_strings}
    assert {word for word in words if word.startswith("--") and word != "--"} <= options, words


@documents
@pytest.mark.parametrize("program", PARSERS)
def test_commands_in_blocks_are_understood(document: Path, program: str) -> None:
    for words in words_of_program(document.read_text(), program):
        check(PARSERS[program](), words)


@documents
@pytest.mark.parametrize("program", PARSERS)
def test_commands_in_running_text_exist(document: Path, program: str) -> None:
    for code in spans(document.read_text()):
        if code.startswith(f"{program} "):
            check_start(PARSERS[program](), next(commands(code))[1:])


def test_there_are_commands_to_check() -> None:
    found = [words for document in DOCUMENTS for words in words_of_program(document.read_text(), "device-sdk")]
    assert len(found) > 20
    with pytest.raises(AssertionError):
        check(build_parser(), ["keys", "create", "tpm2:handle=0x81000010", "--kind", "ec-p256"])
    with pytest.raises(AssertionError):
        check_start(build_parser(), ["keys", "make"])


@documents
def test_key_uris_in_blocks_follow_their_grammar(document: Path) -> None:
    for block in blocks(document.read_text()):
        for uri in re.findall(r"\b(?:pkcs11|tpm2|file):[^\s'\"|]+", block.text):
            parse_key_uri(uri)


@documents
def test_relative_links_lead_somewhere(document: Path) -> None:
    for target in links(document.read_text()):
        assert (document.parent / target.partition("#")[0]).exists(), target


@cache
def functions_of(module: Path) -> set[str]:
    """What it defines at its top level."""
    return {node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.FunctionDef)}


@documents
def test_paths_and_tests_that_are_named_exist(document: Path) -> None:
    """`tests/x/test_y.py::test_z` and, in documents that say so, paths below device_sdk/."""
    if document.name == "standards.md":
        return  # has tests of its own: test_standards.py
    for code in spans(document.read_text()):
        if not re.fullmatch(r"[\w./-]+\.(py|md|toml)(::\w+)?", code) or code.startswith("/"):
            continue
        path, _, function = code.partition("::")
        places = [ROOT / path, ROOT / "device_sdk" / path, ROOT / "simulators" / path, document.parent / path]
        found = [place for place in places if place.exists()]
        if "/" in path:
            assert found, code
        if function:
            assert function in functions_of(found[0]), code


def test_environment_variables_that_are_named_are_read() -> None:
    source = "".join(path.read_text() for path in (ROOT / "device_sdk").rglob("*.py"))
    for document in DOCUMENTS:
        for name in set(re.findall(r"\bDEVICE_SDK_[A-Z_]+\b", document.read_text())):
            assert f'"{name}"' in source or name in {setting.variable for setting in SETTINGS}, name


def python_example(document: Path) -> ast.Module:
    """The first Python block of a document."""
    return ast.parse(next(block.text for block in blocks(document.read_text()) if block.language == "python"))


def test_the_example_of_the_readme_uses_public_names_and_real_arguments() -> None:
    tree = python_example(ROOT / "README.md")
    compile(tree, "README.md", "exec")
    attributes = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    ]
    named = {node.attr for node in attributes if node.value.id == "sdk"}
    assert {"Device", "EnrolmentPlan"} <= named
    assert named <= set(device_sdk.__all__)
    assert all(hasattr(device_sdk.Device, node.attr) for node in attributes if node.value.id == "device")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in named:
            parameters = inspect.signature(getattr(device_sdk, node.func.attr)).parameters
            assert {keyword.arg for keyword in node.keywords} <= set(parameters), node.func.attr


def test_the_example_of_the_simulators_runs(est_server: ReferenceServer, swtpm: Swtpm) -> None:
    tree = python_example(ROOT / "simulators" / "README.md")
    namespace: dict[str, object] = {}
    exec(compile(tree, "simulators/README.md", "exec"), namespace)  # noqa: S102 - our own document
    example = namespace["test_our_client_tries_again"]
    assert callable(example)
    example(est_server, swtpm)


def test_faults_and_policies_of_the_simulators_are_all_described() -> None:
    described = set(spans((ROOT / "simulators" / "README.md").read_text()))
    assert set(FAULTS) - described == set()
    assert set(Policy.__annotations__) - described == set()


def exit_code_table() -> dict[int, str]:
    """Exit codes and their meaning as docs/operations.md has them."""
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("## Exit codes")[2].partition("##")[0]
    return {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| ([^|]*) \|", table, re.MULTILINE)}


def test_exit_codes_are_those_of_the_errors() -> None:
    table = exit_code_table()
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    raised = {error.exit_code for error in classes if issubclass(error, errors.DeviceSdkError)}
    assert set(table) - {0, 1, 130, 141} == raised
    meanings = {
        errors.ConfigurationError: "configuration",
        errors.KeyStoreError: "keystore",
        errors.PinIncorrectError: "PIN",
        errors.TransportError: "network",
        errors.VerificationError: "server is not",
        errors.RemoteProtocolError: "protocol",
        errors.EnrolmentPendingError: "pending",
        errors.StateError: "state directory",
        errors.NotForUsError: "CALE",
        errors.ClockError: "clock",
    }
    for error, word in meanings.items():
        assert word in table[error.exit_code], error


def test_help_and_document_have_the_same_exit_codes() -> None:
    epilog = build_parser("").epilog or ""
    assert {int(code) for code in re.findall(r"(?:: |, )(\d+) ", epilog)} == set(exit_code_table())


REGISTRIES = ("pypi" + ".org", "python" + "hosted.org", "npmjs" + ".org", "crates" + ".io", "golang" + ".org")


def test_no_file_names_a_package_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name]
    assert "README.md" in names
    guilty = [
        name
        for name in names
        if (ROOT / name).is_file() and any(host.encode() in (ROOT / name).read_bytes() for host in REGISTRIES)
    ]
    assert guilty == []

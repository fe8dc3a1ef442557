"""The API keeps to what its OpenAPI document says, whatever is sent to it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from tests.serve_process import Command, command

EXAMPLES = 15


@pytest.fixture(scope="module")
def server(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("contract")
    shutil.copytree(samples / "birds", folder / "birds")
    database = folder / "photos.db"
    words = [sys.executable, "-m", "lookalike", "index", str(folder / "birds"), "--db"]
    subprocess.run([*words, database], check=True, capture_output=True)
    variables = {"LOOKALIKE_REQUESTS_PER_MINUTE": "0", "XDG_CACHE_HOME": str(folder / "cache")}
    with command("--db", database, "--root", folder / "birds", **variables) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: Command) -> Any:
    return schemathesis.openapi.from_url(f"{server.address}/api/v1/openapi.json")


def check(case: Case[Any]) -> None:
    """Raise an error if the answer is a fault, or not one that its route is documented to give."""
    answer = case.call(timeout=20)
    documented = set(case.operation.definition.raw["responses"])
    assert answer.status_code < 500, answer.text
    assert str(answer.status_code) in documented, (answer.status_code, answer.text)
    case.validate_response(answer, checks=[content_type_conformance, response_schema_conformance])


@pytest.mark.timeout(300)
def test_every_answer_is_one_that_is_documented(api: Any, say: Callable[[str], None]) -> None:
    failures, asked = [], 0
    operations = [found.ok() for found in api.get_all_operations()]
    for operation, mode in itertools.product(operations, GenerationMode):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def each(case: Case[Any]) -> None:
            nonlocal asked
            asked += 1
            check(case)

        try:
            each()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # it takes nothing that could be wrong
        except (AssertionError, FailureGroup) as error:
            failures.append(f"{operation.label}, {mode.value}: {error}")
    assert not failures, "\n\n".join(failures)
    assert asked > 100
    say(f"{asked} requests, each answered as documented")

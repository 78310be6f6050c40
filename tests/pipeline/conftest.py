"""One repository for all tests of the pipeline; each leaves it as it was committed."""

import pytest

from tests.pipeline.rig import Repository


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository in which `dvc repro` ran once, committed."""
    repository = Repository(tmp_path_factory.mktemp("pipeline"))
    repository.dvc("repro")
    repository.commit("first run")
    return repository

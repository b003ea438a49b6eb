from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def write_dng():
    """The writer of genuine DNG files that the tests of data have."""
    spec = spec_from_file_location("data_conftest", Path(__file__).parents[1] / "data" / "conftest.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._dng

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
# The same examples each time: a suite that fails now and then is not believed.
hypothesis.settings.register_profile("deterministic", derandomize=True)
hypothesis.settings.load_profile("deterministic")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """No test finds decoded scenes in the user's cache, or leaves any there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISP_GYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)

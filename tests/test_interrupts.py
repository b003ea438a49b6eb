import os
import signal

import pytest

from isp_gym.interrupts import Interrupted, interrupts


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_has_the_exit_code_that_shells_expect(name, code):
    before = signal.getsignal(getattr(signal, name))
    with pytest.raises(Interrupted, match=r"^interrupted$") as caught, interrupts():
        os.kill(os.getpid(), getattr(signal, name))
    assert caught.value.exit_code == code
    assert (str(caught.value.saying("later")), caught.value.saying("later").exit_code) == ("later", code)
    assert signal.getsignal(getattr(signal, name)) == before

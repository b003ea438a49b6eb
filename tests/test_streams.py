import io
import os
import subprocess
import sys

import pytest

from isp_gym.streams import SteadyStream, stdout_to_stderr, steady_streams


def test_characters_that_an_encoding_lacks_are_replaced():
    raw = io.BytesIO()
    stream = SteadyStream(io.TextIOWrapper(raw, encoding="ascii"))
    assert stream.write("21.3 ± 0.2") == 10
    stream.flush()
    assert raw.getvalue() == b"21.3 ? 0.2"
    assert stream.encoding == "ascii"


def test_a_reader_that_goes_away_ends_nothing():
    read, write = os.pipe()
    file = open(write, "w")  # noqa: SIM115
    stream = SteadyStream(file)
    os.close(read)
    stream.write("nobody reads it")
    stream.flush()
    print("nor this", file=stream, flush=True)
    os.write(write, b"nor what others write there")
    file.close()


def test_other_faults_are_told():
    with open("/dev/full", "w") as file, pytest.raises(OSError, match="No space left"):
        try:
            stream = SteadyStream(file)
            stream.write("x")
            stream.flush()
        finally:
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # so that it can be closed


def test_what_python_and_others_print_goes_to_standard_error(capfd):
    with stdout_to_stderr():
        print("epoch 1")
        os.write(1, b"from C\n")
        subprocess.run(["echo", "from a process"], check=True)
    print("{}")
    out, err = capfd.readouterr()
    assert out == "{}\n" and sorted(err.splitlines()) == ["epoch 1", "from C", "from a process"]


def test_nothing_is_sent_elsewhere_unless_it_is_wanted(capfd):
    with stdout_to_stderr(False):
        print("a table")
    assert capfd.readouterr() == ("a table\n", "")


def test_the_streams_are_put_back():
    before = sys.stdout, sys.stderr
    with steady_streams():
        assert isinstance(sys.stdout, SteadyStream) and isinstance(sys.stderr, SteadyStream)
    assert (sys.stdout, sys.stderr) == before


def test_closed_streams_give_no_file_their_number(tmp_path):
    code = (
        "import os, sys\nfrom isp_gym.streams import steady_streams, stdout_to_stderr\n"
        "with steady_streams(), open('file', 'w') as file, stdout_to_stderr():\n"
        "    print('to nowhere'); os.write(1, b'nor here'); os.write(2, b'nor there')\n"
        "    file.write(str(file.fileno()))"
    )
    done = subprocess.run(["bash", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code], cwd=tmp_path)
    assert done.returncode == 0 and int((tmp_path / "file").read_text()) > 2

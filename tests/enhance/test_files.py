"""Which files are found, what they become, and what is refused before any work."""

import os
from pathlib import Path

import pytest

from isp_gym.enhance import plan_jobs
from isp_gym.enhance.files import write_whole
from isp_gym.errors import UserError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of empty files; nothing is decoded here."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/b/c.TIF", "photos/b/d.dng", "photos/b/notes.txt", "photos/.hidden/e.png"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("photos")


def plan(*inputs, out="out", **options):
    return {str(job.source): str(job.image) for job in plan_jobs([Path(name) for name in inputs], Path(out), **options)}


def test_a_folder_is_walked_and_keeps_its_shape(photos):
    assert plan("photos") == {
        "photos/a.jpg": "out/a.png",
        "photos/b/c.TIF": "out/b/c.png",
        "photos/b/d.dng": "out/b/d.png",
    }


def test_a_file_may_have_any_name(photos):
    assert plan("photos/b/notes.txt", "photos/a.jpg") == {
        "photos/b/notes.txt": "out/notes.png",
        "photos/a.jpg": "out/a.png",
    }


def test_earlier_results_inside_the_folder_are_not_enhanced_again(photos):
    first = plan("photos", out="photos/out")
    for image in first.values():
        Path(image).parent.mkdir(parents=True, exist_ok=True)
        Path(image).touch()
    assert plan("photos", out="photos/out", overwrite=True) == first


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["none.jpg"], "out", "there is no file or folder 'none.jpg'"),
        (["empty"], "out", "the folder 'empty' holds no photo"),
        (["photos/a.jpg"], "photos/b/notes.txt", "'photos/b/notes.txt' is no folder"),
        (["photos/a.jpg", "photos/a.jpg"], "out", "would both become 'out/a.png'"),
        (["photos/a.jpg", "twin/a.png"], "out", "'photos/a.jpg' and 'twin/a.png' would both become 'out/a.png'"),
        (["twin"], "twin", "'twin/a.png' is the input 'twin/a.png'"),
        (["twin/a.png"], "soft", "'soft/a.png' is the input 'twin/a.png'"),
        (["twin/a.png"], "hard", "'hard/a.png' is the input 'twin/a.png'"),
        (["photos/a.jpg", "twin/z.png"], "hard", "'hard/a.png' is the input 'twin/z.png'"),
    ],
)
def test_what_is_refused_even_to_overwrite(photos, inputs, out, message):
    for folder in ("empty", "twin", "hard"):
        Path(folder).mkdir()
    Path("twin/a.png").touch()
    os.symlink("twin", "soft")
    os.link("twin/a.png", "hard/a.png")
    os.link("twin/a.png", "twin/z.png")
    before = sorted(Path().rglob("*"))
    if inputs == ["twin"]:
        Path("twin/z.png").unlink()
        before = sorted(Path().rglob("*"))
    with pytest.raises(UserError, match=message):
        plan(*inputs, out=out, overwrite=True)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("name", ["a.png", "a.json"])
def test_what_is_there_is_replaced_only_when_asked_for(photos, name):
    Path("out").mkdir()
    Path("out", name).touch()
    with pytest.raises(UserError, match=f"'out/{name}' is there already; replace it with --overwrite"):
        plan("photos/a.jpg")
    assert plan("photos/a.jpg", overwrite=True)


def test_a_broken_link_stops_nobody(photos):
    Path("photos/b/x.jpg").symlink_to("nowhere.jpg")
    assert "photos/b/x.jpg" in plan("photos")


class TestWriteWhole:
    def test_it_is_there_in_full(self, tmp_path):
        write_whole(tmp_path / "new" / "x.png", lambda path: path.write_bytes(b"whole"))
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.png"]

    def test_or_as_it_was(self, tmp_path):
        (tmp_path / "x.png").write_bytes(b"before")

        def fail(path):
            path.write_bytes(b"ha")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path / "x.png", fail)
        assert (tmp_path / "x.png").read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1

    def test_what_a_link_leads_to_stays(self, tmp_path):
        (tmp_path / "original").write_bytes(b"before")
        (tmp_path / "x.png").symlink_to("original")
        write_whole(tmp_path / "x.png", lambda path: path.write_bytes(b"whole"))
        assert (tmp_path / "original").read_bytes() == b"before" and (tmp_path / "x.png").read_bytes() == b"whole"

    def test_a_file_in_place_of_the_folder_is_one_line(self, tmp_path):
        (tmp_path / "out").touch()
        for name in ("x.png", "deep/x.png"):
            with pytest.raises(UserError, match="give another folder"):
                write_whole(tmp_path / "out" / name, lambda path: path.write_bytes(b""))

"""``isp-gym enhance``."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isp_gym.cli.options import AllowCode, Policy, file_or_folder, folder_to_write
from isp_gym.cli.output import console_of
from isp_gym.errors import UserError
from isp_gym.streams import stdout_to_stderr

if TYPE_CHECKING:
    from isp_gym.enhance import Enhancer, Job


class Light(str, Enum):
    """What the values of a photo file are."""

    linear = "linear"
    display = "display"


class View(str, Enum):
    """How a policy's thumbnail is made."""

    crop = "crop"
    letterbox = "letterbox"


class Bits(str, Enum):
    """Bits per channel."""

    eight = "8"
    sixteen = "16"


def enhance(
    inputs: Annotated[
        list[Path],
        typer.Argument(parser=file_or_folder, metavar="INPUT...", help="JPEG, PNG, TIFF, camera RAW; or folders."),
    ],
    policy: Policy,
    out: Annotated[
        Path,
        typer.Option(parser=folder_to_write, metavar="FOLDER", help="For NAME.png and NAME.json of each file."),
    ],
    light: Annotated[
        Light | None,
        typer.Option("--input", help="What photo files hold; by default 16-bit files are linear, 8-bit ones display."),
    ] = None,
    bits: Annotated[Bits, typer.Option(help="Bits per channel of the results.")] = Bits.eight,
    tile: Annotated[int, typer.Option(min=16, help="Side of the tiles in pixels; smaller takes less memory.")] = 512,
    view: Annotated[
        View | None, typer.Option(help="What the policy sees of an image; by default as in its training.")
    ] = None,
    budget: Annotated[int, typer.Option(min=0, help="Task evaluations to train an agent given by name with.")] = 1000,
    device: Annotated[str, typer.Option(help="Torch device to compute on.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results; inputs never.")] = False,
    allow_code: AllowCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with what was done as one line of JSON.")] = False,
) -> None:
    """Enhance photos and camera RAW files, and folders of them, with any policy, at full resolution.

    \b
    Examples:
      isp-gym enhance --policy runs/quick/runs/posisp/seed-0 photo.dng --out enhanced
      isp-gym enhance --policy camera FOLDER --out enhanced --bits 16
    """
    from rich.progress import track

    from isp_gym import plugins
    from isp_gym.config import names_in
    from isp_gym.enhance import Enhancer, plan_jobs

    jobs, console = plan_jobs(inputs, out, overwrite), console_of(stderr=as_json)
    done: list[dict[str, Any]] = []
    faults: list[dict[str, str]] = []
    with stdout_to_stderr(as_json), plugins.untrusted(names_in([policy]), allow=allow_code):
        enhancer = Enhancer(policy, view.value if view else None, tile, budget, device)
        quiet = len(jobs) == 1 or not console.is_terminal
        for job in track(jobs, "enhancing", console=console, disable=quiet):
            try:
                row = _enhance_file(enhancer, job, light and light.value, int(bits.value))
            except UserError as error:
                faults.append({"input": str(job.source), "error": str(error)})
                if len(jobs) > 1:
                    print(f"isp-gym: {error}", file=sys.stderr)
                continue
            done.append(row)
            console.print(_line(row), highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps({"files": done, "errors": faults}))
    elif done:
        console.print(_summary(done), highlight=False, markup=False, soft_wrap=True)
    if faults and len(jobs) == 1:
        raise UserError(faults[0]["error"])
    if faults:
        raise UserError(f"{len(faults)} of {len(jobs)} files could not be enhanced; the first: {faults[0]['error']}")


def _enhance_file(enhancer: Enhancer, job: Job, light: Any, bits: int) -> dict[str, Any]:
    """Enhance one file, and return what its record says."""
    from isp_gym.benchmark.files import finite
    from isp_gym.enhance.files import write_whole
    from isp_gym.enhance.pictures import encode_png, read_picture

    picture = read_picture(job.source, light)
    try:
        enhanced = enhancer(picture)
        height, width = enhanced.image.shape[1:]
        row = {
            "input": str(job.source),
            "output": str(job.image),
            "light": picture.light,
            **{"width": width, "height": height, "bits": bits},
            **enhancer.record(),
            **enhanced.record(),
        }
        del picture  # an image of full size less while the next is made
        data = encode_png(enhanced.image, bits)
    except UserError as error:
        raise UserError(f"cannot enhance {job.source}: {error}") from error
    write_whole(job.image, lambda path: path.write_bytes(data))
    write_whole(job.record, lambda path: path.write_text(json.dumps(finite(row), indent=1), encoding="utf-8"))
    return row


def _line(row: dict[str, Any]) -> str:
    """What was done to one file, in physical units."""
    steps = " > ".join(row["description"]) or ("no module" if "sequence" in row else "no pipeline of modules")
    return f"{row['input']} ({row['light']}) -> {row['output']}: {steps}"


def _summary(done: list[dict[str, Any]]) -> str:
    linear = sum(row["light"] == "linear" for row in done)
    return (
        f"{linear} files taken as linear RAW-RGB, {len(done) - linear} as display-referred sRGB, which is linearised "
        "for policies that take RAW (--input says otherwise)"
    )

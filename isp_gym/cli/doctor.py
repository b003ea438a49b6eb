"""``isp-gym doctor``."""

from __future__ import annotations

import json
import time

from isp_gym.cli.options import JsonLine
from isp_gym.cli.output import console_of
from isp_gym.errors import UserError
from isp_gym.streams import stdout_to_stderr


def doctor(as_json: JsonLine = False) -> None:
    """Find out whether everything that is installed works here: a tiny use of each, without a download.

    \b
    Examples:
      isp-gym doctor
      isp-gym doctor --json
    """
    from isp_gym.doctor import everything, examine

    console, start = console_of(stderr=as_json), time.perf_counter()
    findings = []
    with stdout_to_stderr(as_json):
        for finding in examine(everything()):
            findings.append(finding)
            console.print(str(finding), highlight=False, markup=False, soft_wrap=True)
    counts = {status: sum(one.status == status for one in findings) for status in ("ok", "skipped", "failed")}
    seconds = round(time.perf_counter() - start, 1)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()) + f" in {seconds} s")
    if as_json:
        print(json.dumps({"rows": [vars(one) for one in findings], **counts, "seconds": seconds}))
    if counts["failed"]:
        failed = [f"{one.area} {one.name}" for one in findings if one.status == "failed"]
        raise UserError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")

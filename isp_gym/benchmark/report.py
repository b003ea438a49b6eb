"""``report.html``: the whole comparison in one file that opens without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.files import write_text
from isp_gym.benchmark.plan import folder_name
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.statistics import differences
from isp_gym.benchmark.table import METRIC_TITLES, digits_of, headings, summarise

BRIGHTER = 8
"""How much brighter than they are the report shows inputs, which are dark and linear."""

_LARGE = 200  # pictures of so many pixels have something to be read in them
_DIAGNOSTICS = {
    "entropy": "entropy of the sequence, nats",
    "p_greedy": "probability of the final (greedy) sequence",
    "length": "length of the greedy sequence",
}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Write ``folder/report.html`` from the results and the pictures in ``folder``."""
    config = CompareConfig.of(results["config"])
    template = Environment(loader=PackageLoader("isp_gym.benchmark", "."), autoescape=True).get_template(
        "report.html.j2"
    )
    page = template.render(
        count=count,
        sentence=sentence,
        results=results,
        config=config,
        config_yaml=OmegaConf.to_yaml(results["config"]),
        problems=[section for name in config.problems if (section := _section(name, results, config, folder))],
    )
    write_text(folder / "report.html", page)


def _section(name: str, results: dict[str, Any], config: CompareConfig, folder: Path) -> dict[str, Any] | None:
    """Collect what the report says of one problem; ``None`` if nothing of it has finished."""
    rows = [row for row in results["rows"] if row["problem"] == name]
    if not rows:
        return None
    problem = config.problems[name]
    task = problem.env.make_task()
    score = task.score_in(rows[0]["metrics"])
    lines = summarise(rows)
    competitors = [line for line in lines if line.agent not in _bounds(rows)] or lines
    best = max(competitors, key=lambda line: line.metrics[score].mean)
    found = differences(rows, score, reference=best.agent)[name] if len(lines) > 1 else []
    return {
        "name": name,
        "problem": problem,
        "photos": len({scene["photo"] for scene in rows[0]["scenes"]}),
        "left_out": rows[0]["scenes_left_out"],
        "headings": headings(lines),
        "lines": lines,
        "best": best.agent,
        "differences": found,
        "notes": list(dict.fromkeys(note for one in found for note in one.notes)),
        "digits": digits_of(score),
        "score": METRIC_TITLES.get(score, score),
        "curves": _curves(rows, score),
        "gallery": _gallery(rows, config, problem, folder, score),
        "ground_truth": task.takes_network,
        "pipelines": [_pipelines(row) for row in rows if "description" in row["scenes"][0]],
        "marked": [row for row in rows if row["ended"] not in ("agent", "budget") or row["resumed_inexactly"]],
    }


def count(number: int, noun: str) -> str:
    """Write a number of things: ``1 seed``, ``2 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sentence(text: str) -> str:
    """Begin a text with a capital letter."""
    return text[:1].upper() + text[1:]


def _bounds(rows: Sequence[dict[str, Any]]) -> set[str]:
    """Find the agents that see the targets: upper bounds, not competitors."""
    return {row["agent"] for row in rows if row["observes"] == "target"}


def _curves(rows: Sequence[dict[str, Any]], score: str) -> list[str]:
    """Draw an SVG for the score and one for each diagnostic that some agent reports."""
    title = METRIC_TITLES.get(score, score)
    wanted = {score: f"validation {title}", f"test_{score}": f"test {title}", **_DIAGNOSTICS}
    present = [key for key in wanted if any(key in point for row in rows for point in row["curve"])]
    return [_plot(rows, key, wanted[key]) for key in present]


def _plot(rows: Sequence[dict[str, Any]], key: str, label: str) -> str:
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    agents = dict.fromkeys(row["agent"] for row in rows)
    for agent, colour in zip(agents, _COLOURS * len(agents), strict=False):
        curves = [_points(row, key) for row in rows if row["agent"] == agent]
        curves = [curve for curve in curves if len(curve)]
        for curve in curves:
            axes.plot(*curve.T, color=colour, alpha=0.3, linewidth=1)
        if curves:
            axes.plot(*_mean_curve(curves).T, color=colour, linewidth=2.2, label=_as_text(agent))
    axes.set(xlabel="task evaluations", ylabel=label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _svg(figure)


def _as_text(name: str) -> str:
    """Escape a name for matplotlib, which takes dollars for formulas and hides what begins with ``_``."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def _points(row: dict[str, Any], key: str) -> np.ndarray:
    return np.array([(point["task_evaluations"], point[key]) for point in row["curve"] if point.get(key) is not None])


def _mean_curve(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean over seeds, interpolated to the points of the first."""
    x = curves[0][:, 0]
    return np.stack([x, np.mean([np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves], axis=0)], axis=1)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _gallery(
    rows: Sequence[dict[str, Any]], config: CompareConfig, problem: Problem, folder: Path, score: str
) -> list[dict[str, Any]]:
    """Collect per test scene: input, what each agent made of it with its first seed, target."""
    first = {agent: min(row["seed"] for row in rows if row["agent"] == agent) for agent in {r["agent"] for r in rows}}
    shown = [row for row in rows if row["seed"] == first[row["agent"]]]
    gallery = []
    for i, scene in enumerate(rows[0]["scenes"][: config.pictures]):
        references = folder / "scenes" / f"{folder_name(problem.name)}-test-{i}"
        pictures = [_picture(references.with_name(references.name + "-input.png"), f"input, {BRIGHTER}x brighter")]
        for row in shown:
            value = row["scenes"][i].get(score)
            note = "" if value is None else f": {value:.{digits_of(score)}f}"
            parts = [row["problem"], row["agent"]] if config.several else [row["agent"]]
            own = folder.joinpath("runs", *map(folder_name, parts), f"seed-{row['seed']}")
            pictures.append(_picture(own / f"test-{i}.png", row["agent"] + note))
        target = references.with_name(references.name + "-target.png")
        if target.exists():
            pictures.append(_picture(target, "target"))
        gallery.append({"scene": scene["scene"], "pictures": pictures})
    return gallery


def _picture(path: Path, title: str) -> dict[str, Any]:
    png = path.read_bytes()
    width = int.from_bytes(png[16:20], "big")  # its place in every PNG
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return {"title": title, "src": source, "large": width >= _LARGE}


def _pipelines(row: dict[str, Any]) -> dict[str, Any]:
    """Describe the pipelines of the first test scenes of a run."""
    scenes = [{"scene": scene["scene"], "description": scene["description"]} for scene in row["scenes"][:3]]
    return {"agent": row["agent"], "seed": row["seed"], "scenes": scenes}

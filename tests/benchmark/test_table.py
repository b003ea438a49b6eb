import io

from rich.console import Console

from isp_gym.benchmark.table import headings, rich_table, summarise


def row(agent, seed, psnr, **changes):
    metrics = {"psnr": psnr, "ssim": 0.5}
    shown = {"agent": agent, "seed": seed, "metrics": metrics, "task_evaluations": 1000 + seed, "seconds": 2.0}
    return {**shown, "controller_parameters": 1234, **changes}


ROWS = [row("b", 0, 20.0), row("a", 0, 10.0), row("b", 1, 22.0)]


def test_a_line_for_each_agent_in_the_order_of_the_rows():
    b, a = summarise(ROWS)
    assert b.cells() == ["b", "21.00 ± 1.41", "0.500 ± 0.000", "1,000", "2", "1,234"]
    assert a.cells()[1] == "10.00" and a.seeds == 1
    assert headings([b]) == ["agent", "PSNR, dB", "SSIM", "task evaluations", "seconds", "controller parameters"]


def test_regret_is_a_percentage():
    lines = summarise([row("a", 0, 1.0, regret=0.125)])
    assert lines[0].cells()[-1] == "12.50 %" and headings(lines)[-1] == "regret"


def test_names_are_shown_as_they_are():
    console = Console(file=io.StringIO(), width=120)
    console.print(rich_table(summarise([row("[red]x[/red]", 0, 1.0)]), "data=[bold]"))
    assert "[red]x[/red]" in console.file.getvalue() and "data=[bold]" in console.file.getvalue()

"""What ``tools/bench`` makes of figures, and a run of it on the deployment that starts fastest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.bench import report
from tools.bench.__main__ import main
from tools.bench.client import pause_s
from tools.bench.growth import Row, Sizes
from tools.bench.limit import part
from tools.bench.profiles import OTHER, fold
from tools.bench.report import Section, Table, Target
from tools.bench.results import Figure, Results
from tools.bench.workloads import WORKLOADS, Workload

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def figure(workload: Workload, deployment: str, number: int, value: float) -> Figure:
    return Figure(
        workload=workload.name,
        deployment=deployment,
        round=number,
        value=value,
        tasks=10,
        elapsed_s=1.0,
        cpu_s={"api": 0.02, "engine": 0.03},
        client_cpu_s=0.01,
        machine_cpu_s=0.1,
    )


def results(*figures: tuple[str, str, int, float]) -> Results:
    names = dict.fromkeys(name for name, *_ in figures)
    deployments = dict.fromkeys(deployment for _, deployment, *_ in figures)
    found = Results([BY_NAME[name] for name in names], list(deployments), "reference")
    for name, deployment, number, value in figures:
        found.add(figure(BY_NAME[name], deployment, number, value))
    return found


@pytest.mark.parametrize(
    ("waited_s", "expected_s", "pause"),
    [
        (0.0, 0.0, 0.001),
        (0.1, 0.0, 0.004),
        (60.0, 0.0, 0.25),
        (0.2, 1.0, 0.6),
        (0.8, 1.0, 0.032),
        (2.0, 1.0, 0.08),
    ],
)
def test_the_client_looks_when_the_end_is_near_and_then_ever_less_often(waited_s, expected_s, pause):
    assert pause_s(waited_s, expected_s) == pytest.approx(pause)


def test_a_ratio_is_taken_within_a_round():
    found = results(
        ("one", "distributed", 1, 100.0),
        ("one", "distributed", 2, 50.0),
        ("one", "distributed", 3, 90.0),
        ("one", "reference", 1, 10.0),
        ("one", "reference", 2, 2.0),
        ("one", "reference", 3, 9.0),
    )
    assert found.ratio(BY_NAME["one"], "distributed") == 10.0


def test_a_figure_of_the_reference_stands_for_the_rounds_that_it_sat_out():
    found = results(
        ("fan-out", "distributed", 1, 300.0),
        ("fan-out", "distributed", 2, 500.0),
        ("fan-out", "distributed", 3, 400.0),
        ("fan-out", "reference", 1, 2.0),
    )
    assert found.ratio(BY_NAME["fan-out"], "distributed") == 200.0


def test_of_times_less_is_better():
    found = results(
        ("latency", "distributed", 1, 10.0),
        ("latency", "distributed", 2, 10.0),
        ("latency", "reference", 1, 100.0),
        ("latency", "reference", 2, 200.0),
    )
    assert found.ratio(BY_NAME["latency"], "distributed") == 15.0
    assert [target.is_met for target in found.all_targets()] == [True]


def test_the_mean_is_geometric_and_judged_if_nothing_is_missing():
    figures = [
        (workload.name, deployment, 1, value)
        for workload in WORKLOADS
        if workload.target
        for deployment, value in (("distributed", 900.0 if workload.is_long else 30.0), ("reference", 1.0))
    ]
    found = results(*figures)
    assert found.geometric_mean("distributed") == pytest.approx((900.0**2 * 30.0**7) ** (1 / 9))
    assert found.all_targets()[-1].name.startswith("geometric mean: 63.9")
    assert not any(target.name.startswith("geometric") for target in results(*figures[2:]).all_targets())


def test_the_tables_say_what_was_met_and_what_it_took():
    found = results(("chain", "distributed", 1, 900.0), ("chain", "reference", 1, 10.0))
    title = BY_NAME["chain"].title
    assert found.table().rows[0] == [title, "tasks/s", "900", "10.0", "90.0 ×", "40 ×", "yes"]
    assert found.cpu_table().rows[0] == [
        title,
        "distributed",
        "5.00",
        "api 2.00, engine 3.00",
        "1.00",
        "10.00",
    ]


def test_samples_count_for_the_innermost_work_they_belong_to():
    lines = [
        "run (threading.py:1);take (mistral_lite/engine/turn.py:9);decide (mistral_lite/workflow/decide.py:3) 4",
        "take (mistral_lite/engine/turn.py:9);load (mistral_lite/db/loading.py:5);loads (json/__init__.py:7) 3",
        "decide (mistral_lite/workflow/decide.py:3);evaluate (yaql/language/expressions.py:2);<listcomp> (x.py:1) 2",
        "run (threading.py:1);wait (selectors.py:2) 1",
    ]
    assert fold(lines) == {"decide": 4, "JSON": 3, "expressions": 2, OTHER: 1}


@pytest.mark.parametrize(("rows", "count"), [(0, 2), (1, 3), (12, 2), (410, 21)])
def test_the_limit_writes_every_row_once(rows, count):
    texts = [str(number) for number in range(rows)]
    parts = [part(texts, number, count) for number in range(count)]
    assert [text for chosen in parts for text in chosen] == texts
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_small_sizes_are_never_below_what_they_are_compared_with():
    sizes = Sizes().scaled(0.001)
    assert (sizes.large, sizes.parked, sizes.chain, sizes.large_input) == (100, 100, 2, 1000)
    assert Sizes().scaled(1.0) == Sizes()


def test_a_row_of_growth_says_the_ratio():
    row = Row(title="cost", unit="ms", small=2.0, large=3.0, aim="1.3 ×", is_met=False)
    assert row.cells() == ["cost", "ms", "2.00", "3.00", "1.50 ×", "1.3 ×", "no"]
    assert row.target() == Target(name="cost: 3.00 ms (1.50 ×), aim 1.3 ×", is_met=False)


def test_only_what_is_between_the_marks_is_replaced():
    document = f"before\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\nafter\n"
    once = report.replaced(document, "new\n")
    assert once == f"before\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nafter\n"
    assert report.replaced(once, "new\n") == once
    with pytest.raises(ValueError, match="no marks"):
        report.replaced("nothing", "new")


def test_the_page_has_the_marks():
    page = Path(__file__).parents[2] / "docs" / "benchmarks.rst"
    assert report.replaced(page.read_text(encoding="utf-8"), "new")


def test_the_summary_names_what_was_missed():
    targets = [Target(name="one", is_met=True), Target(name="two", is_met=False)]
    table = Table(title="Cells", header=["a", "b"], rows=[["1", ""]])
    section = Section(title="Part", text=["Words."], tables=[table], targets=targets, elapsed_s=3.0)
    text = report.as_rst([section])
    assert "1 of 2 targets met. Not met: two." in text
    assert "Part\n----\n\nWords.\n\nCells:\n\n.. list-table::" in text
    assert "   * - 1\n     -\n" in text
    assert "The run took 3 s: Part 3 s." in report.as_text([section])


def test_words_of_servers_are_no_markup():
    section = Section(title="Part", text=["Failed: `x` *y* a_\nb|c, a_b"], tables=[])
    assert "Failed: \\`x\\` \\*y\\* a\\_ b\\|c, a_b\n" in report.as_rst([section])


def test_a_run_measures_and_writes(tmp_path, capsys):
    files = ["--folder", str(tmp_path / "state"), "--json", str(tmp_path / "all.json")]
    workloads = ["--workloads", "one,items,callbacks,latency"]
    assert main(["--only", "embedded", *workloads, "--seconds", "0", "--rounds", "1", *files]) == 0
    found = json.loads((tmp_path / "all.json").read_text())
    assert {figure["workload"] for figure in found["figures"]} == {"one", "items", "callbacks", "latency"}
    assert all(figure["value"] > 0 for figure in found["figures"])
    assert all(figure["cpu_s"].keys() == {"serve"} for figure in found["figures"])
    assert "CPU milliseconds a task" in capsys.readouterr().out

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from bazaar.analysis.audit import Report
from bazaar.control.launcher import ProcessDied
from bazaar.control.mongod import Mongod
from bazaar.control.planning import draw_plan
from bazaar.protocol.goods import ITEMS, is_seller
from bazaar.protocol.settings import UsageError, with_pace
from experiments.framework import command, sweep
from experiments.framework.command import ALL_DONE, SOME_FAILED, STOPPED, WRONG_USAGE, main
from experiments.framework.experiment import OUT, Experiment, Run, peopled
from experiments.framework.grid import again, parse_seeds
from experiments.framework.rows import Cell, Row
from experiments.report import EXPERIMENTS

Verdicts = dict[int, object]


class Sample:
    NAME = "sample"
    TITLE = "A sample"
    QUESTION = "Does it work?"
    LABELS = ("cache",)
    VALUES = ("number",)
    SEEDS = "0-1"
    REASONS = "It was made so."

    def cells(self, seeds: Sequence[int], quick: bool) -> list[Cell]:
        return [
            Cell({"cache": cache}, seed, with_pace("fast", seed=seed, cache=cache, requests=5 if quick else 50), 1.0)
            for cache in ("none", "weak")
            for seed in seeds
        ]

    def measure(self, run: Run) -> Mapping[str, float]:
        return {"number": run.processor_s}

    def table(self, rows: Sequence[Row]) -> str:
        return f"{len(rows)} rows"

    def plot(self, rows: Sequence[Row], path: Path) -> None:
        path.write_bytes(b"a picture")

    def story(self, rows: Sequence[Row]) -> str:
        return "It does."


SAMPLE: Experiment = Sample()


class FakeBazaar:
    """What the sweep sees of one, without processes."""

    verdicts: Verdicts
    """By seed: a verdict, or what is raised; held if there is none."""
    started: list[str]

    def __init__(self, settings: object, out: Path, uri: str, watch: object, pictures: bool) -> None:
        self.out = out
        self.seed = settings.seed  # type: ignore[attr-defined]
        self.plan = draw_plan(settings)  # type: ignore[arg-type]
        self.injector = self
        self.processes: dict[str, object] = {}

    def __enter__(self) -> FakeBazaar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def schedule(self, faults: object) -> None:
        self.out.mkdir()

    def start(self) -> None:
        self.started.append(self.out.name)
        if isinstance(raised := self.verdicts.get(self.seed), BaseException):
            raise raised

    def trade(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def collect(self) -> tuple[SimpleNamespace, Report]:
        said = self.verdicts.get(self.seed, "held")
        traders = list(self.plan.names[:3] if said == "others elected" else self.plan.names[-3:])
        verdict = said if said in ("violated", "unknown") else "held"
        stories = {"money_adds_up": ["a cent is gone"]} if verdict == "violated" else {}
        report = Report(verdict, {}, stories, {"traders_deposed": int(said == "deposed")})  # type: ignore[arg-type] # a word of a test
        return SimpleNamespace(traders=traders), report


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Verdicts:
    """Fill it to have runs fail."""
    FakeBazaar.verdicts, FakeBazaar.started = {}, []
    monkeypatch.setattr(sweep, "Bazaar", FakeBazaar)
    monkeypatch.setattr(sweep, "server_version", lambda uri: "6.0")
    for name, does in {"start": None, "uri": "mongodb://nowhere", "stop": None}.items():
        monkeypatch.setattr(Mongod, name, lambda self, does=does: does)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return FakeBazaar.verdicts


def run(tmp_path: Path, *arguments: str) -> int:
    return main([SAMPLE], [*arguments, "--out", str(tmp_path / "out")])


def lines_of(tmp_path: Path) -> list[str]:
    return (tmp_path / "out" / "results" / "sample.csv").read_text().splitlines()


# ---------------------------------------------------------------------------------------------- running
def test_every_cell_gets_a_row_and_the_page_is_written(tmp_path: Path, verdicts: Verdicts) -> None:
    assert run(tmp_path) == ALL_DONE
    assert [line.split(",")[:2] for line in lines_of(tmp_path)[1:]] == [
        ["none", "0"],
        ["none", "1"],
        ["weak", "0"],
        ["weak", "1"],
    ]
    results = tmp_path / "out" / "results"
    assert sorted(path.name for path in results.iterdir()) == [
        f"sample.{kind}" for kind in ("csv", "json", "md", "png")
    ]
    page = (results / "sample.md").read_text()
    for told in ("# A sample", "Does it work?", "4 rows", "](sample.png)", "It does.", "seeds 0, 1", "MongoDB 6.0"):
        assert told in page
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_is_measured_is_not_measured_again(tmp_path: Path, verdicts: Verdicts) -> None:
    assert run(tmp_path, "--seeds", "0") == ALL_DONE
    before = lines_of(tmp_path)
    FakeBazaar.started.clear()
    assert run(tmp_path) == ALL_DONE
    assert FakeBazaar.started == ["sample-cache=none,seed=1", "sample-cache=weak,seed=1"]
    assert lines_of(tmp_path)[:3] == before
    FakeBazaar.started.clear()
    assert run(tmp_path) == ALL_DONE
    assert FakeBazaar.started == []


def test_stopped_it_keeps_its_rows_and_goes_on_from_there(
    tmp_path: Path, verdicts: Verdicts, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts[1] = KeyboardInterrupt()
    assert run(tmp_path) == STOPPED
    assert len(lines_of(tmp_path)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list((tmp_path / "temporary").iterdir()) == []
    verdicts.clear()
    FakeBazaar.started.clear()
    assert run(tmp_path) == ALL_DONE
    assert "sample-cache=none,seed=0" not in FakeBazaar.started
    assert len(lines_of(tmp_path)) == 5


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        ("violated", "a cent is gone"),
        ("unknown", "unknown"),
        (ProcessDied("buyer3 ended"), "buyer3 ended"),
        ("others elected", "became traders instead of"),
        ("deposed", "1 lost the seat"),
    ],
    ids=["violated", "unknown", "died", "others elected", "deposed"],
)
def test_a_run_that_did_not_hold_is_reported_and_has_no_row(
    verdict: object, told: str, tmp_path: Path, verdicts: Verdicts, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts[1] = verdict
    assert run(tmp_path) == SOME_FAILED
    assert [line.split(",")[:2] for line in lines_of(tmp_path)[1:]] == [["none", "0"], ["weak", "0"]]
    complained = capsys.readouterr().err
    assert told in complained
    assert ".venv/bin/python -m experiments.sample --only cache=none,seed=1 --seeds 1 --out again" in complained
    kept = sorted(path.name for folder in (tmp_path / "temporary").iterdir() for path in folder.iterdir())
    assert kept == ["sample-cache=none,seed=1", "sample-cache=weak,seed=1"]


def test_only_some_cells(tmp_path: Path, verdicts: Verdicts) -> None:
    assert run(tmp_path, "--only", "cache=weak,seed=1", "--only", "cache=none,seed=0") == ALL_DONE
    assert FakeBazaar.started == ["sample-cache=none,seed=0", "sample-cache=weak,seed=1"]


def test_a_quick_run_has_one_seed_and_does_not_mix_with_others(
    tmp_path: Path, verdicts: Verdicts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--quick") == ALL_DONE
    assert len(lines_of(tmp_path)) == 3
    assert run(tmp_path) == WRONG_USAGE
    assert "was measured with other settings" in capsys.readouterr().err


def test_a_quick_run_never_goes_to_the_real_results() -> None:
    assert command.parse([SAMPLE], "sample", []).out == OUT
    assert OUT not in (out := command.parse([SAMPLE], "sample", ["--quick"]).out).parents
    assert out != OUT


# ------------------------------------------------------------------------------------------ wrong usage
WRONG: dict[str, tuple[list[str], str]] = {
    "seeds that are no numbers": (["--seeds", "one,two"], "--seeds one,two"),
    "a seed that is no whole number": (["--seeds", "1.5"], "--seeds 1.5"),
    "a negative seed": (["--seeds=-1"], "--seeds -1"),
    "a range backwards": (["--seeds", "4-0"], "--seeds 4-0"),
    "no seeds": (["--seeds", ""], "--seeds"),
    "an unknown option": (["--turbo"], "--turbo"),
    "an abbreviated option": (["--se", "1"], "--se"),
    "an argument": (["throughput"], "throughput"),
    "an unknown label": (["--only", "colour=red"], "sample has no such label; it has cache, seed"),
    "an unknown value": (["--only", "cache=strong"], "it has none, weak"),
    "a seed that is not among the seeds": (["--only", "seed=7"], "it has 0, 1"),
    "no value": (["--only", "cache"], "--only cache: give LABEL=VALUE"),
    "an option with a slip": (["--qick"], "(did you mean --quick?)"),
    "a setting with a slip": (["--set", "windw=3"], "--set windw=3: there is no such setting (did you mean window?)"),
    "a setting twice": (["--set", "window=3", "--set", "window=4"], "window is 3 already"),
    "a setting that cannot be": (["--set", "lease_s=-1"], "lease_s must be"),
    "settings that do not go together": (["--set", "heartbeat_s=9"], "heartbeat_s can be at most half"),
    "a setting that is a label": (["--set", "cache=weak"], "sample compares several values of it; choose"),
    "a setting that makes the grid": (["--set", "peers=9"], "sample decides itself who is there"),
}


@pytest.mark.parametrize(("arguments", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_and_starts_nothing(
    arguments: list[str], named: str, tmp_path: Path, verdicts: Verdicts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *arguments) == WRONG_USAGE
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert complained.startswith("experiments: ")
    assert named in complained
    assert FakeBazaar.started == []
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_written(
    tmp_path: Path, verdicts: Verdicts, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert run(tmp_path) == WRONG_USAGE
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert f"cannot write to {tmp_path / 'out'}" in complained
    assert "--out" in complained


def test_an_experiment_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(EXPERIMENTS, ["thruput"]) == WRONG_USAGE
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert "'thruput'; there are throughput, overselling" in complained


@pytest.mark.parametrize(("text", "seeds"), [("3", [3]), ("0-4", [0, 1, 2, 3, 4]), ("7, 1-2,2", [7, 1, 2])])
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


def test_what_is_measured_beside_a_run_is_in_its_row(
    tmp_path: Path, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sample, "VALUES", ("number", "beside_it"))
    monkeypatch.setattr(Sample, "beside", lambda self, uri, folder: {"beside_it": 7.0}, raising=False)
    assert run(tmp_path, "--quick") == ALL_DONE
    assert {row.values["beside_it"] for row in sweep.table_of(SAMPLE, tmp_path / "out").rows} == {7.0}


def test_only_the_benchmark_measures_its_yardsticks_beside() -> None:
    assert [experiment.NAME for experiment in EXPERIMENTS if hasattr(experiment, "beside")] == ["benchmark"]


# ------------------------------------------------------------------------------------------- other settings
def test_a_setting_is_given_to_all_cells_and_the_command_for_one_says_so(tmp_path: Path, verdicts: Verdicts) -> None:
    assert run(tmp_path, "--quick", "--set", "window=3", "--set", "push=false") == ALL_DONE
    table = sweep.table_of(SAMPLE, tmp_path / "out")
    assert [(row.settings.window, row.settings.push, row.settings.requests) for row in table.rows] == [
        (3, False, 5)
    ] * 2
    line = again(SAMPLE, table.rows[0])
    assert "experiments.sample --quick --only" in line
    assert line.endswith("--set window=3 --set push=false --out again")


def test_with_other_settings_nothing_goes_to_the_real_results() -> None:
    out = command.parse([SAMPLE], "sample", ["--set", "window=3"]).out
    assert out.parent.name == "runs"
    assert out.name.startswith("changed-")


# ---------------------------------------------------------------------------------------------- the grids
@pytest.mark.parametrize(("buyers", "sellers"), [(1, 8), (3, 6), (7, 2), (8, 1)])
def test_a_bazaar_is_peopled_with_just_these_buyers_and_sellers(buyers: int, sellers: int) -> None:
    settings = peopled(with_pace("fast", traders=3, seed=5), buyers, sellers)
    civil = draw_plan(settings).names[:-3]
    assert (len(civil), sum(map(is_seller, civil))) == (buyers + sellers, sellers)
    assert settings.seed % 1000 == 5
    assert settings == peopled(with_pace("fast", traders=3, seed=5), buyers, sellers)


def test_a_bazaar_may_have_every_item_on_sale_from_the_beginning() -> None:
    for seed in range(5):
        plan = draw_plan(peopled(with_pace("fast", traders=2, seed=seed), 4, 3, every_item=True))
        assert {plan.goods[name] for name in plan.names[:-2] if is_seller(name)} == set(ITEMS)


def test_nobody_can_be_peopled_with_more_items_than_sellers() -> None:
    with pytest.raises(AssertionError):
        peopled(with_pace("fast", traders=1), 1, 2, every_item=True)


def test_the_command_for_a_cell_of_the_quick_grid_says_so() -> None:
    full, quick = SAMPLE.cells([3], False)[0], SAMPLE.cells([3], True)[0]
    assert (
        again(SAMPLE, full) == ".venv/bin/python -m experiments.sample --only cache=none,seed=3 --seeds 3 --out again"
    )
    assert "experiments.sample --quick --only" in again(SAMPLE, quick)


def test_time_left_is_corrected_by_what_the_cells_before_have_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("experiments.framework.sweep.time.monotonic", lambda: now[0])
    left = sweep._Left(300.0)
    assert str(left) == "about 5 min left"
    now[0] = 120.0
    left.passed(100.0)  # five times as fast as expected
    assert str(left) == "about 40 s left"
    now[0] = 130.0
    assert str(left) == "about 30 s left"
    now[0] = 990.0
    assert str(left) == "about 0 s left"


def test_a_wrong_uri_is_wrong_usage(tmp_path: Path, verdicts: Verdicts, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts[0] = UsageError("the MongoDB URI is wrong")
    assert run(tmp_path) == WRONG_USAGE
    assert "the MongoDB URI is wrong" in capsys.readouterr().err

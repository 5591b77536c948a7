from __future__ import annotations

import pytest

from bazaar.protocol.faults import Fault, check_machines, parse_faults
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import UsageError
from tests.builders import some_settings

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4")


def a_plan(**values: object) -> Plan:
    """Two traders of five peers."""
    settings = some_settings(**{"peers": 5, "traders": 2, **values})
    return Plan(settings, NAMES, dict.fromkeys(NAMES, "salt"), dict.fromkeys(NAMES, ()), "weak")


def parsed(*texts: str, **settings: object) -> list[Fault]:
    return parse_faults(list(texts), a_plan(**settings))


# ------------------------------------------------------------------------------------------------- every form
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kill:buyer4@5", Fault("kill", "buyer4", 5.0)),
        ("kill:trader1@0", Fault("kill", "trader1", 0.0)),
        ("kill:warehouse@0.25", Fault("kill", "warehouse", 0.25)),
        ("kill:mongod@12", Fault("kill", "mongod", 12.0)),
        ("pause:seller1@5+8", Fault("pause", "seller1", 5.0, 8.0)),
        ("pause:trader0@1.5+0.5", Fault("pause", "trader0", 1.5, 0.5)),
        ("pause:warehouse@2+3", Fault("pause", "warehouse", 2.0, 3.0)),
        ("pause:mongod@2+3", Fault("pause", "mongod", 2.0, 3.0)),
        ("resign:trader0@5", Fault("resign", "trader0", 5.0)),
        ("resign:buyer4@5", Fault("resign", "buyer4", 5.0)),
    ],
)
def test_every_form_is_understood_and_is_said_in_the_same_words(text: str, fault: Fault) -> None:
    assert parsed(text) == [fault]
    assert str(fault) == text
    assert parsed(str(fault)) == [fault]


def test_what_was_killed_can_be_restarted_and_killed_again() -> None:
    texts = ["kill:buyer4@1", "restart:buyer4@2", "kill:buyer4@3", "restart:buyer4@4.5"]
    assert [str(fault) for fault in parsed(*texts)] == texts
    assert parsed(*texts)[3] == Fault("restart", "buyer4", 4.5)


def test_faults_come_in_the_order_of_their_time_however_they_were_given() -> None:
    faults = parsed("kill:buyer4@10", "restart:seller3@9", "pause:trader0@2+1", "kill:seller3@8.5")
    assert [fault.at_s for fault in faults] == [2.0, 8.5, 9.0, 10.0]


def test_those_of_one_moment_come_as_they_were_given() -> None:
    texts = ["kill:trader1@5", "kill:trader0@5", "kill:warehouse@5", "kill:buyer4@5", "restart:buyer4@5"]
    assert [str(fault) for fault in parsed(*texts)] == texts


def test_without_faults_there_are_none() -> None:
    assert parsed() == parsed("random:0") == []


OF_MACHINES = [
    ("kill-host:10.0.0.2@5", ["10.0.0.2"]),
    ("slow:fe80::2@1.5+3", ["fe80::2"]),
    ("cut:10.0.0.1|10.0.0.2@5+8", ["10.0.0.1", "10.0.0.2"]),
    ("cut:launcher>10.0.0.2@5+8", ["launcher", "10.0.0.2"]),
]


@pytest.mark.parametrize(("text", "machines"), OF_MACHINES)
def test_machines_can_suffer_if_there_are_some(text: str, machines: list[str]) -> None:
    (fault,) = parsed(text, hosts="dask://a:1", tls=True)
    assert (str(fault), fault.machines) == (text, machines)
    with pytest.raises(UsageError, match="there is one machine only; add --hosts"):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kill-host:10.0.0.2@5+3", "only they, have a length"),
        ("slow:10.0.0.2@5", "have a length: slow:10.0.0.2@5+SECONDS"),
        ("cut:10.0.0.2@5+3", "give kill-host:MACHINE@AT, slow:MACHINE@AT+FOR, cut:MACHINE|MACHINE@AT+FOR or"),
        ("cut:a|b|c@5+3", "give kill-host:MACHINE@AT"),
        ("cut:a|a@5+3", "no link to cut between a machine and itself"),
        ("kill-host:launcher@5", "the launcher's machine can only be cut from others"),
        ("slow:a@30+1", "the run is over after 30 s"),
    ],
)
def test_what_cannot_be_done_to_machines_is_said(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(text, duration_s=30.0, hosts="dask://a:1", tls=True)
    assert complaint in str(caught.value)


def test_a_machine_that_has_no_peer_is_refused() -> None:
    faults = parsed("cut:launcher|10.0.0.2@5+8", hosts="dask://a:1", tls=True)
    check_machines(faults, ["10.0.0.2"])
    with pytest.raises(UsageError, match=r"no peer is on 10\.0\.0\.2; the machines are 10\.0\.0\.1, launcher"):
        check_machines(faults, ["10.0.0.1"])


@pytest.mark.parametrize("name", ["warehouse", "mongod", "trader1"])
def test_what_comes_back_by_itself_or_is_somebody_else_then_can_be_killed_twice(name: str) -> None:
    assert len(parsed(f"kill:{name}@1", f"kill:{name}@2")) == 2


# ---------------------------------------------------------------------------------------- what cannot be done
WRONG: list[tuple[list[str], str]] = [
    (["kill:buyer9@5"], "--fault kill:buyer9@5: there is no buyer9; there are buyer0, seller1"),
    (["kill:nameserver@5"], "there is no nameserver"),
    (["kill:Trader0@5"], "there is no Trader0"),
    (["kill:trader2@5"], "--fault kill:trader2@5: there will be 2 traders, trader0 to trader1"),
    (["pause:trader10@5+1"], "there will be 2 traders"),
    (["kill:buyer4@30"], "--fault kill:buyer4@30: the run is over after 30 s"),
    (["pause:buyer4@31+1"], "the run is over after 30 s"),
    (["pause:buyer4@5"], "--fault pause:buyer4@5: a pause, and only a pause, has a length: pause:buyer4@5+SECONDS"),
    (["pause:buyer4@5+0"], "has a length"),
    (["kill:buyer4@5+3"], "a pause, and only a pause, has a length"),
    (["kill:buyer4@5", "kill:buyer4@6"], "--fault kill:buyer4@6: buyer4 is dead already; restart it before"),
    (["kill:buyer4@6", "kill:buyer4@5"], "--fault kill:buyer4@6: buyer4 is dead already"),
    (["kill:buyer4@1", "restart:buyer4@2", "kill:buyer4@3", "kill:buyer4@4"], "--fault kill:buyer4@4: buyer4 is dead"),
    (["restart:buyer4@5"], "--fault restart:buyer4@5: buyer4 was not killed; there is nothing to restart"),
    (["restart:buyer4@5", "kill:buyer4@6"], "was not killed"),
    (["kill:buyer4@4", "restart:buyer4@5", "restart:buyer4@6"], "--fault restart:buyer4@6: buyer4 was not killed"),
    (["kill:buyer2@4", "restart:buyer4@5"], "buyer4 was not killed"),
    (["kill:warehouse@1", "restart:warehouse@5"], "warehouse cannot restart; after a kill it is restarted by itself"),
    (["kill:mongod@1", "restart:mongod@5"], "mongod cannot restart"),
    (["resign:warehouse@5"], "warehouse cannot resign"),
    (["resign:mongod@5"], "mongod cannot resign"),
    (["kill:trader0@1", "restart:trader0@5"], "who was trader0 is known only by its own name then"),
    *(
        ([text], f"--fault {text}: give kill:NAME@AT, pause:NAME@AT+FOR, restart:NAME@AT, resign:NAME@AT or random:N")
        for text in (
            "",
            "kill",
            "kill:buyer4",
            "kill:@5",
            "kill:buyer4@",
            "kill:buyer4@soon",
            "kill:buyer4@-1",
            "kill:buyer4@nan",
            "kill:buyer4@1e3",
            "kill:buyer4@5s",
            "kill:buyer4@5+",
            "maim:buyer4@5",
            "Kill:buyer4@5",
            " kill:buyer4@5",
            "kill:buyer4@5\n",
            "kill buyer4@5",
            "random:",
            "random:x",
            "random:-1",
            "random:1.5",
        )
    ),
]


@pytest.mark.parametrize(("texts", "complaint"), WRONG, ids=[" ".join(texts) for texts, _ in WRONG])
def test_what_cannot_be_done_is_one_line_that_says_what_can(texts: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(*texts, duration_s=30.0)
    assert complaint in str(caught.value)
    if texts != ["kill:buyer4@5\n"]:
        assert "\n" not in str(caught.value)


def test_a_run_without_an_end_has_none_to_come_after() -> None:
    assert parsed("kill:buyer4@3600") == [Fault("kill", "buyer4", 3600.0)]


# -------------------------------------------------------------------------------------------- random:N
@pytest.mark.parametrize("seed", range(30))
def test_the_same_seed_draws_the_same_faults_within_the_run(seed: int) -> None:
    faults = parsed("random:6", seed=seed, duration_s=40.0)
    assert faults == parsed("random:6", seed=seed, duration_s=40.0)
    assert len(faults) == 6
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert all(0 <= fault.at_s < 40.0 for fault in faults)


@pytest.mark.parametrize("seed", range(30))
def test_what_was_drawn_can_be_given_again_word_by_word(seed: int) -> None:
    """So it stands in the run, and so it is repeated."""
    faults = parsed("random:6", seed=seed, duration_s=40.0)
    assert parsed(*map(str, faults), seed=seed, duration_s=40.0) == faults


def test_other_seeds_draw_other_faults_and_all_kinds_and_victims_have_their_turn() -> None:
    drawn = [fault for seed in range(60) for fault in parsed("random:5", seed=seed)]
    assert {fault.kind for fault in drawn} == {"kill", "pause", "resign"}
    assert {fault.name for fault in drawn} == {"trader0", "trader1", "warehouse", "mongod"}
    assert len({tuple(parsed("random:5", seed=seed)) for seed in range(60)}) > 50


def test_random_faults_of_a_run_without_an_end_come_in_its_first_ten_seconds() -> None:
    assert all(fault.at_s < 10.0 for seed in range(20) for fault in parsed("random:5", seed=seed))


def test_random_faults_and_others_go_together() -> None:
    faults = parsed("kill:buyer0@3", "random:4", seed=3, duration_s=20.0)
    assert Fault("kill", "buyer0", 3.0) in faults
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert len(faults) == 5

"""The catalogue of events, beside those who note them, those who tell them, and the judge, who has lines of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec
import pytest

from bazaar.analysis.audit import judge
from bazaar.analysis.audit.evidence import Handler, Reader
from bazaar.analysis.audit.lines import FACTS
from bazaar.analysis.audit.lines import KINDS as JUDGED
from bazaar.protocol import events
from bazaar.protocol.events import KINDS, Event
from bazaar.views.narration import MADE, SENTENCES, VARIANTS
from bazaar.views.terminal import STYLE_OF
from tests.builders import an_event
from tests.reference.events import noted_by, noted_in
from tests.trial import a_market


def test_every_event_is_noted_by_somebody() -> None:
    """What is none of the catalogue nobody can note: the types say so (`Turn.note`)."""
    assert {event.__name__ for event in KINDS.values()} - noted_in().keys() == set()


@pytest.mark.parametrize(
    ("code", "noted"),
    [
        ("turn.note(events.Left(item, 3))", ["Left"]),
        ("put(turn, events.Queued, order)", ["Queued"]),
        ("(events.Repeated if again else events.Ordered)(order)", ["Repeated", "Ordered"]),
        ("from bazaar.protocol.events import Ended\nself.note(Ended())", ["Ended"]),
        ("from bazaar.protocol.messages import Sold\nturn.send(seller, Sold(1))", []),
        ("match e:\n    case events.Left(): pass", []),
        ("x = list(only(history, events.Left))", []),
        ("isinstance(event, events.Left)", []),
        ("def offer(event: events.Left) -> events.Offered: pass", []),
    ],
)
def test_to_read_an_event_is_not_to_note_it(code: str, noted: list[str]) -> None:
    assert list(noted_by(code)) == noted


def test_a_kind_is_the_name_of_its_class() -> None:
    assert events.FoundUnavailable.kind == "found_unavailable"
    assert events.Left("salt", 3).kind == "left"
    assert {kind: event.kind for kind, event in KINDS.items()} == {kind: kind for kind in KINDS}


def test_the_bases_of_events_are_none_themselves() -> None:
    assert not {"event", "of_order", "placed", "waiting"} & KINDS.keys()


def test_each_event_says_what_happened() -> None:
    for event in KINDS.values():
        assert event.__doc__, event
        assert event.__doc__ != event.__base__.__doc__, event


@pytest.mark.parametrize("event", KINDS.values(), ids=KINDS)
def test_a_process_notes_what_an_event_holds_and_nothing_else(event: type[Event]) -> None:
    with pytest.raises(TypeError):
        an_event(event.kind, {"nonsense": 1})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"nonsense":1}', type=event)


# ------------------------------------------------------------------------------------------- the judge
def fields_of(struct: type[msgspec.Struct]) -> dict[str, bool]:
    """By its name in a history: whether a field is always there."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(struct)}


def test_the_judge_knows_every_kind_of_event() -> None:
    assert KINDS.keys() == JUDGED


@pytest.mark.parametrize("kind", FACTS)
def test_what_the_judge_reads_of_an_event_the_market_notes(kind: str) -> None:
    """The judge shares no types with the market; so it is compared here."""
    noted, read = fields_of(KINDS[kind]), fields_of(FACTS[kind])
    # Of some events the judge reads what another kind has that it treats alike.
    missing = {name for name in read.keys() - noted.keys() if read[name]}
    assert not missing
    assert read.keys() & noted.keys() or not noted
    assert {name for name, needed in read.items() if needed} <= {name for name, always in noted.items() if always}


def test_the_judge_waits_for_no_event_that_nobody_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    awaited: set[str] = set()

    def history(self: Reader, name: str, source: object, handlers: Mapping[str, Sequence[Handler]]) -> None:
        awaited.update(handlers)

    monkeypatch.setattr(Reader, "history", history)
    evidence = a_market()
    judge(msgspec.structs.replace(evidence, histories={**evidence.histories, "launcher": [], "warehouse": []}))
    assert {"ordered", "offered", "queued", "deposed", "stocked", "ended"} <= awaited <= KINDS.keys()


# ----------------------------------------------------------------------------------------- who tells them
def words_of(template: str) -> set[str]:
    return {word for _, word, _, _ in Formatter().parse(template) if word}


def test_a_sentence_has_no_word_that_its_event_lacks() -> None:
    for told, templates in SENTENCES.items():
        event = told[0] if isinstance(told, tuple) else told
        fields: tuple[str, ...] = event.__struct_fields__
        for word in set().union(*map(words_of, templates)) - {"me", "cache"}:
            assert word in fields or word in MADE, (event, word)
            if "[" in word:  # the label of a peer that stands in a field
                assert word.partition("[")[2].rstrip("]") in fields, (event, word)
        for word, needed in {
            "count": "traders",
            "traders": "traders",
            "how": "how",
            "dollars": "earned_cents",
            "seconds": "for_s",
        }.items():
            assert word not in set().union(*map(words_of, templates)) or needed in fields, (event, word)


def test_an_event_has_variants_of_its_sentences_if_it_is_said_to() -> None:
    for event, field in VARIANTS.items():
        assert hasattr(event, field)
    assert {told[0] for told in SENTENCES if isinstance(told, tuple)} == set(VARIANTS)
    assert not set(VARIANTS) & SENTENCES.keys()


def test_what_has_a_colour_has_a_sentence() -> None:
    told: set[Any] = {told[0] if isinstance(told, tuple) else told for told in SENTENCES}
    assert set(STYLE_OF) <= told

"""Makes the document of the rules in force and the open amendments, and tells changes in words."""

from collections.abc import Sequence

from p2pverify.core.contract.network import PARAM_BOUNDS, Network
from p2pverify.core.contract.rules.amend import feature_numbers
from p2pverify.core.contract.rules.changes import (
    Change,
    ClassChange,
    ManifestChange,
    ParamChange,
    RefereeChange,
    RetireChange,
)
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.machine import Machine
from p2pverify.core.state.rules.notes import OpenAmendment, newest, rules_of
from p2pverify.core.state.rules.take import shares, unreadable, why_not
from p2pverify.node.rules.documents import AmendmentDocument, RuledClass, RulesDocument, ShareDocument


def rules_document(machine: Machine, now_ms: int) -> RulesDocument:
    """The rules at the newest final cut of a node."""
    state, definition = machine.fold.latest, machine.fold.definition
    rules, held = rules_of(definition, state.rules), newest(state.rules)
    halt = machine.context.halt(now_ms)
    return RulesDocument(
        schema="p2pverify/rules/1",
        network=definition.id.hex(),
        epoch=state.epoch,
        root=rules.root.hex(),
        amendments_in_force=next(iter(state.rules), 0),
        since_epoch=0 if held is None else held.since,
        rules={name: getattr(rules.network.params, name) for name, _, _ in PARAM_BOUNDS},
        referee=rules.network.referee or None,
        features=feature_numbers(rules.features),
        classes=tuple(
            RuledClass(
                index=index,
                name=kind.name,
                engine=kind.engine,
                numeric_path=kind.numeric_path,
                manifest=kind.manifest.hex(),
                retired_epoch=rules.retired.get(index),
            )
            for index, kind in enumerate(rules.network.classes)
        ),
        amendments=tuple(_amendment(machine, key, note, now_ms) for key, note in sorted(state.amendments.items())),
        stopped=None if halt is None else str(halt),
    )


def coming_amendments(machine: Machine) -> list[str]:
    """The approved amendments that have not taken effect yet, in words."""
    state, network = machine.fold.latest, machine.network
    return [
        f"amendment {key.hex()[:16]} takes effect in epoch {note.starts}: "
        + "; ".join([*told(network, note.amendment.changes), *feature_names(note)])
        for key, note in sorted(state.amendments.items())
        if note.is_scheduled
    ]


def feature_names(note: OpenAmendment) -> list[str]:
    return [f"feature {number}" for number in feature_numbers(note.amendment.features)]


def _amendment(machine: Machine, key: bytes, note: OpenAmendment, now_ms: int) -> AmendmentDocument:
    state, definition, amendment = machine.fold.latest, machine.fold.definition, note.amendment
    network, following = state.rules_in(definition), machine.fold.following
    starts_ms = network.params.epoch_start_ms(note.starts) - now_ms
    return AmendmentDocument(
        id=key.hex(),
        author=peer_id(note.author),
        opened_epoch=note.opened_epoch,
        expiry_epoch=amendment.expiry,
        activation_epoch=amendment.activation,
        changes=tuple(told(network, amendment.changes)),
        features=feature_numbers(amendment.features),
        text=amendment.text.hex(),
        shares=tuple(
            ShareDocument(what=what, has=has, needs=needs)  # type: ignore[arg-type]  # `shares` has these names
            for what, has, needs in shares(network, state, note)
        ),
        approved_by=tuple(peer_id(peer) for peer in sorted(note.approved_by)),
        ready=tuple(peer_id(peer) for peer in sorted(note.ready)),
        starts_epoch=note.starts if note.is_scheduled else None,
        starts_s=max(0, starts_ms) // 1000 if note.is_scheduled else None,
        runs=unreadable(amendment, following.known) is None,
        refused=why_not(rules_of(definition, state.rules), amendment, state.epoch),
        accepted=not following.asks or key in following.accepted,
    )


def told(network: Network, changes: Sequence[Change]) -> list[str]:
    """Changes in words, with the values that they replace."""
    return [_told(network, change) for change in changes]


def _told(network: Network, change: Change) -> str:
    match change:
        case ParamChange(index, value) if index < len(PARAM_BOUNDS):
            name = PARAM_BOUNDS[index][0]
            return f"{name}: {getattr(network.params, name)} -> {value}"
        case ParamChange(index, value):
            return f"parameter {index}: {value}"
        case ClassChange(kind):
            return f"class {len(network.classes)} or later: {kind.name} ({kind.engine}, {kind.numeric_path})"
        case RetireChange(index):
            name = network.classes[index].name if index < len(network.classes) else "none"
            return f"class {index} ({name}) is retired"
        case ManifestChange(manifest):
            return f"manifest {manifest.hex()[:16]} is listed"
        case RefereeChange(referee):
            return f"referee: {network.referee or 'none'} -> {referee}"
    return f"a change that this program does not know: {change.value[0]!r}"

"""The registry of decoders: how to call each with bytes, its allowed errors, and how to encode its value again."""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from p2pverify.api import middleware
from p2pverify.api.metrics import Counts
from p2pverify.api.openai import parsing
from p2pverify.api.openai.errors import OpenAIError
from p2pverify.api.openai.requests import ChatRequest, CompletionRequest
from p2pverify.api.rules import RouteRule
from p2pverify.core import events
from p2pverify.core.blobs import chunks
from p2pverify.core.blobs import messages as blob
from p2pverify.core.contract import manifest, network
from p2pverify.core.contract.history import recipe, release
from p2pverify.core.contract.history.files import FileEntry, read_file_entry
from p2pverify.core.contract.output import Output
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.data import schema, texts
from p2pverify.core.data.commitments import row_proofs
from p2pverify.core.encoding import canon, peerid
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject, RemoteProtocolError
from p2pverify.core.gossip.types import GossipMessage, Rpc
from p2pverify.core.inference import canary, endpoint, question, stream
from p2pverify.core.inference.compare import Measure
from p2pverify.core.proofs import exchange, passport, segment
from p2pverify.core.proofs.passport import Refuted
from p2pverify.core.records import envelope, judge
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.kinds import KINDS
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.roles.disputes import boxes, evidence
from p2pverify.core.settle import bills, credit
from p2pverify.core.settle import exchange as settle_exchange
from p2pverify.core.settle.cheques import SignedCheque
from p2pverify.core.snapshot import messages as states
from p2pverify.core.snapshot import trust as snapshot_trust
from p2pverify.core.state import fork, view_bytes
from p2pverify.core.state.codec import sections
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.state import genesis
from p2pverify.core.sync import messages as sync
from p2pverify.core.sync import negentropy
from p2pverify.core.training import shown
from p2pverify.engine import errors as engine_errors
from p2pverify.engine.cheats import spec
from p2pverify.engine.endpoint import client
from p2pverify.engine.gguf import reader
from p2pverify.engine.llama import variants
from p2pverify.engine.lora import adapter
from p2pverify.engine.tabular import model as tabular_model
from p2pverify.engine.tabular import update as tabular_update
from p2pverify.interop import foreign, modelcard, oms, slsa
from p2pverify.interop.foreign import ForeignError
from p2pverify.net.border import framing, multistream
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.circuit import messages as circuit
from p2pverify.net.discovery import dnsaddr, mdns
from p2pverify.net.peers import book_rows, peer_list
from p2pverify.net.peers.signed_addresses import sign_addresses
from p2pverify.net.protocols import rpc_codec
from p2pverify.net.reach import dialback
from p2pverify.node import journal, messages
from p2pverify.node.clients import checking
from p2pverify.node.clients.paper import dumped
from p2pverify.node.data import making, statements, store, table
from p2pverify.node.endpoints import address, loopback
from p2pverify.node.files import (
    canaries,
    config,
    corpus,
    manifestfile,
    manifesttable,
    networkfile,
    networktable,
    shapesfile,
    textfile,
)
from p2pverify.node.files.textfile import FileError
from p2pverify.node.identity import keyfile
from p2pverify.node.identity.private import HomeError
from p2pverify.node.lines import papers
from p2pverify.node.reports.documents.jsonform import DocumentError, written
from p2pverify.node.reports.documents.receipt import ReceiptDocument
from p2pverify.node.rerun import proof
from p2pverify.node.rerun.judge import Rerun
from p2pverify.node.settle import tarifffile
from p2pverify.store import exportfile
from p2pverify.store.archive import index as archive_index
from p2pverify.store.archive import segmentfile
from p2pverify.store.errors import ExportError, NotAnExportError
from tests.fuzz import seeds
from tests.support import datasets, networks
from tests.support.canaries import TRIGGER
from tests.support.money import TARIFF
from tests.support.releases import RELEASE
from tests.support.versions import FACTS, PRIVATE, SEED

#: Functions that are no decoders of outside bytes, each with the decoder that covers it, or the reason.
EXEMPT = {
    "core.replica.base.decode_base": "reads states with decode_state, and holds them against each other",
    "node.snapshot.kept.read_leaves": "of the node's own home: each leaf is held against its hash",
    "core.state.codec.past.read_past": "a part of decode_state",
    "node.identity.private.read_private": "reads text: read_seed and others read what is in it",
    "node.identity.private.read_file": "reads bytes of the operator's own files",
    "node.identity.keyfile.read_seed": "of the operator's own key file: read_public reads the same",
    "node.identity.keyfile.read_passphrase": "of the operator's own file",
    "node.identity.papers.read_handover": "of the operator's own home: a part of import_identity",
    "node.lines.served.read_version": "of the node's own home: decode_manifest reads what it holds",
    "core.inference.question.read_question": "a part of decode_request and decode_shown_question",
    "core.inference.compare.read_measures": "a part of decode_vote and decode_duty",
    "core.contract.golden.read_golden": "a part of decode_manifest",
    "core.contract.classes.read_across": "a part of decode_network and decode_manifest",
    "core.contract.classes.read_class": "a part of decode_network",
    "core.contract.history.lines.read_lines": "a part of decode_network",
    "core.contract.history.lines.read_publishers": "a part of decode_network and decode_rotation",
    "core.contract.rules.changes.read_change": "a part of decode_amendment",
    "node.rules.accepted.read_accepted": "of the node's own home: ids of 64 digits",
    "node.rules.accepted.read_following": "reads nothing but what read_accepted does",
    "core.contract.history.lora.read_lora": "a part of decode_network",
    "core.data.schema.read_name": "a part of decode_schema and decode_row_schema",
    "core.contract.history.training.read_training": "a part of decode_network",
    "core.contract.output.read_output": "a part of whatever reads an answer",
    "core.contract.pool.read_pool": "a part of decode_network and decode_manifest",
    "core.contract.history.release.read_release": "a part of decode_statement",
    "core.encoding.canon.read_tokens": "a part of whatever reads an answer or a prompt",
    "core.records.envelope.read_fields": "how decoders of payloads begin",
    "core.records.payloads.rounds.place.read_place": "a part of all records of rounds",
    "core.training.result.read_result": "a part of decode_round_vote",
    "core.training.result.read_result_row": "a part of decode_round_vote",
    "core.training.result.read_signed": "a part of decode_round_vote",
    "core.training.terms.read_terms": "a part of decode_dataset",
    "core.proofs.passport.read_certificate": "a part of decode_passport and decode_passports",
    "core.proofs.passport.read_row_proof": "a part of decode_passport and decode_passports",
    "core.state.view_bytes.read_view_head": "a part of decode_passport",
    "core.records.payloads.lines.signatures.read_signatures": "a part of the payloads of signed statements",
    "core.records.payloads.vote.read_salts": "a part of decode_vote and decode_duty",
    "core.contract.shapes.read_shapes": "a part of decode_network",
    "core.contract.tariff.read_tariff": "a part of decode_network",
    "core.settle.cheques.read_amount": "a part of decode_pledge, decode_cheque and decode_payment",
    "core.settle.cheques.read_count": "a part of decode_cheque",
    "core.settle.cheques.read_signed_cheque": "a part of decode_sent_cheque and others",
    "engine.exact.shape.read_shape": "of weights whose digest was checked",
    "engine.exact.loader.load": "of weights whose digest was checked",
    "engine.exact.packed.read": "a cache: what is not whole by its digest is as if it were not there",
    "engine.gguf.reader.read_head": "parse_head with a file",
    "engine.gguf.writer.read_tensor": "of weights whose head was read",
    "engine.llama.bindings.load": "loads a library",
    "engine.llama.variants.load": "loads a library",
    "interop.dsse.read_envelope": "a part of read_bundle and read_provenance",
    "interop.dsse.read_statement": "a part of read_bundle and read_provenance",
    "node.reports.documents.jsonform.read_part": "of the answers of the operator's own node",
    "node.reports.documents.jsonform.parse": "of the answers of the operator's own node",
    "store.archive.index.read_index": "reads a file: parse_index",
    "store.reading.read_evidence": "reads a database: decode_stored_evidence reads each row",
    "store.snapshot.read_fold": "reads a database: judge reads each record",
    "store.window.base.read_base": "reads a database, whose digest it checks",
    "store.window.start.read_start": "reads a database: decode_state and decode_record",
    "node.clients.paper.read_receipt": "reads the node's own database: jsonform.parse",
    "node.lines.papers.load_paper": "decode_paper with a file",
    "node.lines.papers.load_seed": "64 digits in the publisher's own file",
    "node.data.statements.load_statement": "decode_open_statement with a file",
    "node.files.networkfile.load_start": "read_start with a file",
    "node.files.networkfile.read_start_file": "read_start with a file",
    "node.files.networkfile.read_network": "decodes nothing: parse_network does",
    "node.files.textfile.read_bytes": "decodes nothing: who calls it does",
    "node.files.modelfile.read_model": "a part of load_config",
    "node.files.tomlfile.load_table": "a part of load_manifest",
    "node.files.tomlfile.read_table": "a part of load_network and load_manifest",
    "node.files.networktable.read_params": "a part of load_network",
    "node.files.networkfile.parse_network": "a part of load_network",
    "node.files.tomlfile.parse_table": "a part of load_network and load_manifest",
    "node.files.tomlfile.parse_toml": "a part of load_network and load_config",
}

FRAMED_TOKENS_MAX = 30
Read = Callable[[bytes], Any]
_CHEQUE = SignedCheque(2047, 30_000, 2, bytes(64))
_OUTPUT = Output((1, 2, 3), "stop", bytes(32))
NOTHING: Callable[[], list[bytes]] = lambda: [b""]  # noqa: E731  # the seeds of decoders without vectors


@dataclass(frozen=True)
class Decoder:
    """`write` gives the bytes of a value: the read bytes if `is_canonical`, else bytes that decode to the same
    value."""

    read: Read
    errors: type[Exception] | tuple[type[Exception], ...] = DecodeError
    write: Callable[[Any], bytes] | None = None
    is_canonical: bool = True
    seeds: Callable[[], list[bytes]] = NOTHING

    def check(self, data: bytes) -> bool:
        """Try some bytes. True if they are valid. Raises forbidden errors of the decoder, and AssertionError."""
        try:
            value = self.read(data)
        except self.errors:
            return False
        if self.write is not None:
            again = self.write(value)
            assert again == data if self.is_canonical else self.read(again) == value
        return True


class Channel:
    """Bytes to read as from a stream, and nothing after them. It never waits."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read_some(self, size: int) -> bytes:
        chunk, self._data = self._data[:size], self._data[size:]
        return chunk

    async def read_exact(self, size: int) -> bytes:
        if len(self._data) < size:
            raise StreamBrokenError("the stream ended in the middle")
        return await self.read_some(size)

    async def write(self, data: bytes) -> None:
        return

    def has_buffered(self) -> bool:
        return bool(self._data)


def _finish(running: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        running.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def _streamed(reader: Callable[..., Coroutine[Any, Any, Any]], *more: object) -> Read:
    return lambda data: _finish(reader(Channel(data), *more))


def _filed(load: Callable[[Path], Any]) -> Read:
    """A decoder of files. The file is in memory if the system has such a place."""
    place = Path("/dev/shm")
    directory = place if os.access(place, os.W_OK) else None

    def read(data: bytes) -> Any:
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            file.write(data)
            file.flush()
            return load(Path(file.name))

    return read


def _text(parse: Callable[[str], Any]) -> Read:
    return lambda data: parse(data.decode("utf-8", "replace"))


def _export(data: bytes) -> tuple[exportfile.ExportHeader, list[bytes]]:
    header, found = exportfile.read_export(io.BytesIO(data))
    return header, list(found)


def _an_export() -> list[bytes]:
    """A whole export with a few records."""
    definition = seeds.vectors("network-definition", "definition")[0][: exportfile.DEFINITION_BYTES_MAX]
    held = [data for data in seeds.vectors("record", "record") if 0 < len(data) <= envelope.RECORD_BYTES_MAX]
    file = io.BytesIO()
    exportfile.write_export(file, exportfile.ExportHeader(bytes(32), definition, bytes(32)), held[:3])
    return [file.getvalue()]


def _a_header() -> segment.SegmentHeader:
    """The header of a segment that begins with the network itself."""
    definition = seeds.vectors("network-definition", "definition")[0][: exportfile.DEFINITION_BYTES_MAX]
    ids = [bytes([number]) * 32 for number in range(5)]
    return segment.SegmentHeader(ids[0], definition, ids[0], ids[1], ids[2], ids[3], ids[4], ())


def _later_header() -> segment.SegmentHeader:
    """The header of a segment that begins with a cut."""
    cuts = seeds.vectors("record", "record")[:NEAR_CARRY]
    return replace(_a_header(), first=bytes(31) + b"x", cuts=tuple(data[: envelope.RECORD_BYTES_MAX] for data in cuts))


def _segment(data: bytes) -> tuple[segment.SegmentHeader, tuple[bytes, ...], list[bytes]]:
    opened = segmentfile.read_segment(io.BytesIO(data))
    return opened.header, opened.states, list(opened.records())


def _a_segment() -> list[bytes]:
    """Whole segments with a few records."""
    held = [data for data in seeds.vectors("record", "record") if 0 < len(data) <= envelope.RECORD_BYTES_MAX]
    found = []
    for header in (_a_header(), _later_header()):
        file = io.BytesIO()
        segmentfile.write_segment(file, header, [b"a state"] * header.states, held[:3])
        found.append(file.getvalue())
    return found


def _an_index() -> list[bytes]:
    one = archive_index.IndexedSegment(
        file=archive_index.segment_name(0, 9), first="ab" * 32, first_epoch=0, last="cd" * 32, last_epoch=9, records=5,
        size=600, sha256="ef" * 32,
    )  # fmt: skip
    made = archive_index.ArchiveIndex(schema="p2pverify/archive/1", network="01" * 32, epochs=10, segments=(one, one))
    return [json.dumps(written(made)).encode()]


def _a_proof() -> bytes:
    """A proof file of a small network, with any bytes for its records."""
    of = networks.make_network(networks.seeds(3))
    answer = evidence.encode_evidence(Output((1, 2), "stop", bytes(32)))
    computed = Rerun(bytes(32), (Measure(1, 2, 3, 4), None))
    answers = (evidence.decode_evidence(answer), None)
    wrong = proof.WrongCase(b"audit", b"duty", bytes(32), bytes(32), (b"vote",), computed, answers)
    return proof.RerunProof(of.encode(), networks.MANIFEST.encode(), (wrong,)).encode()


def _rpc(data: bytes) -> Rpc:
    """The RPC without the marks of signed messages, which are never written."""
    rpc = rpc_codec.decode_rpc(data)
    return replace(rpc, publish=tuple(GossipMessage(each.topic, each.data) for each in rpc.publish))


def _gated(data: bytes) -> None:
    """A query, and one header of each name, checked by the gate before any route."""
    query, _, value = data.partition(b"\n")
    port, rule = middleware.allowed_hosts(80), RouteRule(frozenset({"limit"}))
    stood = middleware.Gate(_no_app, hosts=port, routes={"/": rule}, counts=Counts(), home_key=bytes(32))
    headers = [(b"host", b"localhost"), (b"content-length", value)]
    stood._check({"type": "http", "path": "/", "query_string": query, "headers": headers}, rule)


async def _no_app(*_: object) -> None:
    raise AssertionError("nothing comes this far")


_REPLY = (
    b'{"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "token_ids": [1, 2],'
    b' "logprobs": {"content": [{"id": 7}, {"token": "token_id:8"}]}}], "usage": {"completion_tokens": 3}}'
)


def _reply(data: bytes) -> client.ServerReply:
    """A server's answer after the checks of `engine.openai.http`: a JSON object."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = {}
    return client.read_reply(document if isinstance(document, dict) else {}, endpoint.Api.CHAT)


_CHUNKS = chunks.ChunkList(3 * 1024 * 1024 - 1, (bytes(32), b"\1" * 32, b"\2" * 32))
_FILE = FileEntry("model.gguf", _CHUNKS.size, bytes(32), _CHUNKS.digest)
_FIRST_STATE = fork.fork(genesis(networks.make_network(networks.seeds(3))))
_FORKED = fork.forked_network(networks.make_network(networks.seeds(3)), bytes(32), _FIRST_STATE)
_NETWORK = network.decode_network(seeds.vectors("record", "network")[0])
_MANIFEST = manifest.decode_manifest(envelope.decode_record(seeds.vectors("manifest", "record")[0]).payload)
_RULES = Rules(_NETWORK, _NETWORK.id, 15)


def _asked() -> tuple[question.Request, question.Question]:
    for data in seeds.vectors("response", "request"):
        try:
            return question.decode_request(data)
        except question.RequestRefused:
            continue
    raise AssertionError("no vector holds a valid request")


_REQUEST, _QUESTION = _asked()
_REFUSED = (DecodeError, question.RequestRefused)
_BROKEN = (RemoteProtocolError, StreamBrokenError)


def _joined(data: bytes) -> bytes:
    """The response of a stream whose frames begin with two bytes of length; an empty frame breaks it."""
    reader, response, at = stream.AnswerReader(FRAMED_TOKENS_MAX), b"", 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        frame = data[at + 2 : at + 2 + size]
        at += 2 + size
        if not frame:
            reader.restart()
        elif frame[0] == 2:
            assert len(reader.tokens(frame[1:])) <= FRAMED_TOKENS_MAX
        else:
            response = reader.last(frame[1:])
    return response


def _payload(rule: KindRule) -> Decoder:
    """The payload of a record kind, in a record with an arbitrary author."""
    header = envelope.Header(bytes(32), bytes(32), 0, 0, bytes(32), int(rule.kind), bytes(32))
    return Decoder(lambda data: rule.decode(header, data), write=_written, seeds=seeds.of_payloads(page_of(rule.kind)))


def _written(value: Any) -> bytes:
    """The bytes of a payload. A leave has no value, and a definition is its bytes."""
    if isinstance(value, bytes):
        return value
    written: bytes = canon.encode([]) if value is None else value.encode()
    return written


def page_of(kind: envelope.Kind) -> str:
    """The name of a kind in pages and folders of vectors."""
    return kind.name.lower().replace("_", "-")


def _receipt(data: bytes) -> ReceiptDocument:
    """The receipt in a file. It can be held against a network, whatever it shows."""
    found = checking.parse_receipt_file(data)
    with contextlib.suppress(Refuted):
        checking.check_receipt_document(_RECEIPTS_NETWORK, found)
    return found


_RECEIPTS_NETWORK = network.decode_network(seeds.vectors("client-receipt", "network")[0])

_LOCKED = b"p2pverify/key/1 %b 3 64 %b %b" % (b"11" * 32, b"22" * 16, b"33" * 72)
_SCHEMA_FILE = b"""label = "y"
labels = ["no", "yes"]
[[feature]]
name = "x"
unit = "mm"
offset = "1.5"
scale = "2"
low = "0"
high = "3"
"""
_TERMS = making.Terms("MIT", 1, (bytes(32),), None, 9)
_OWN_DATASET = making.new_dataset("rows", datasets.SCHEMA, datasets.rows(3), _TERMS, None).without([1], 1)
_PAPER = papers.new_paper(bytes(32), SignedRelease(RELEASE, ()), bytes(32))
_OPEN_STATEMENT = statements.OpenStatement(
    bytes(32), bytes(32), "dua/1", "lot 7", bytes(32), b"text", bytes(32), (bytes(32),), bytes(32), bytes(64)
)

_STATEMENT = sign_addresses(SEED, bytes(32), 1_800_000_000_000, [address.parse_address("/ip4/192.0.2.1/tcp/1")])

_GRANT = circuit.Grant(1_800_000_000, _STATEMENT.addresses, circuit.sign_voucher(SEED, _STATEMENT.peer, 1_800_000_000))

DECODERS: dict[str, Decoder] = {
    **{f"payload of {page_of(rule.kind)}": _payload(rule) for rule in KINDS.values()},
    "core.encoding.canon.decode": Decoder(
        lambda data: canon.decode(data, size_max=1 << 20), write=canon.encode, seeds=seeds.of("canon")
    ),
    "core.contract.history.files.read_file_entry": Decoder(
        lambda data: read_file_entry(canon.decode(data, size_max=1 << 12)),
        write=lambda value: canon.encode(value.to_value()),
        seeds=lambda: [canon.encode(_FILE.to_value()), canon.encode(["../a", 1, bytes(32), bytes(32)])],
    ),
    "core.blobs.chunks.decode_chunk_list": Decoder(
        chunks.decode_chunk_list, write=lambda value: value.encode(), seeds=lambda: [_CHUNKS.encode()]
    ),
    "core.blobs.chunks.read_chunk_list": Decoder(
        lambda data: chunks.read_chunk_list(_FILE, data),
        write=lambda value: value.encode(),
        seeds=lambda: [_CHUNKS.encode()],
    ),
    "core.blobs.messages.decode_blob_request": Decoder(
        blob.decode_blob_request,
        write=lambda value: value.encode(),
        seeds=lambda: [blob.BlobRequest(bytes(32), 1 << 30, 1 << 20).encode()],
    ),
    "core.blobs.messages.decode_blob_answer": Decoder(
        lambda data: blob.decode_blob_answer(data, 3), (DecodeError, blob.BlobRefused), seeds=lambda: [b"\0abc", b"\1"]
    ),
    "core.snapshot.trust.decode_certificate": Decoder(
        snapshot_trust.decode_certificate, seeds=seeds.of("passport-set", "passports")
    ),
    "core.snapshot.messages.decode_state_request": Decoder(
        states.decode_state_request,
        write=lambda value: value.encode(),
        seeds=lambda: [
            states.StateRequest(states.NEWEST).encode(),
            states.StateRequest(states.PARTS, bytes(32)).encode(),
            states.StateRequest(states.HASHES, bytes(32), "members", 7).encode(),
            states.StateRequest(states.LEAVES, hashes=(bytes(32), b"\1" * 32)).encode(),
        ],
    ),
    "core.snapshot.messages.decode_state_answer": Decoder(
        states.decode_state_answer, (DecodeError, blob.BlobRefused), seeds=lambda: [b"\0abc", b"\1"]
    ),
    "core.snapshot.messages.decode_newest": Decoder(
        states.decode_newest,
        write=lambda value: value.encode(),
        seeds=lambda: [states.NewestStates((states.ServedCut(16, 18, bytes(32)),), ((16, bytes(32)),)).encode()],
    ),
    "core.snapshot.messages.decode_parts": Decoder(
        states.decode_parts,
        write=states.encode_parts,
        seeds=lambda: [states.encode_parts([states.SectionPart("members", 2, bytes(32))])],
    ),
    "core.snapshot.messages.read_hashes": Decoder(
        states.read_hashes, write=b"".join, seeds=lambda: [bytes(32), bytes(64)]
    ),
    "core.snapshot.messages.decode_leaves": Decoder(
        states.decode_leaves,
        write=lambda value: canon.encode(list(value)),
        seeds=lambda: [canon.encode([b"a leaf", b""])],
    ),
    "core.records.envelope.decode_record": Decoder(
        envelope.decode_record,
        write=lambda record: canon.encode([record.header.to_value(), record.signature, record.payload]),
        seeds=seeds.of("record", "record"),
    ),
    "core.training.shown.decode_shown": Decoder(
        shown.decode_shown,
        write=shown.encode_shown,
        seeds=lambda: [shown.encode_shown(row_proofs([(bytes([n]) * 32, b"row") for n in range(5)], [1, 4]))],
    ),
    "core.data.texts.decode_row_schema": Decoder(
        texts.decode_row_schema, write=_written, seeds=lambda: [texts.TextSchema("note", 300).encode()]
    ),
    "engine.lora.adapter.decode_adapter": Decoder(
        adapter.decode_adapter,
        write=lambda found: found.encode(),
        seeds=lambda: [adapter.initial(bytes(32), adapter.AdapterShape(2, 2, 3, 3, 1)).encode()],
    ),
    "core.data.schema.decode_schema": Decoder(
        schema.decode_schema, write=_written, seeds=seeds.of("data-schema", "schema")
    ),
    "engine.tabular.model.decode_model": Decoder(
        tabular_model.decode_model, write=_written, seeds=seeds.of("training-model", "model")
    ),
    "engine.tabular.model.decode_rows": Decoder(
        lambda data: tabular_model.decode_rows(datasets.SCHEMA, [data[at : at + 5] for at in range(0, len(data), 5)]),
        seeds=lambda: [b"".join(datasets.rows(3))],
    ),
    "engine.tabular.update.decode_update": Decoder(
        lambda data: tabular_update.decode_update(data, 6, 1 << 16),
        write=tabular_update.encode_update,
        seeds=seeds.of("training-update", "update"),
    ),
    "node.data.table.load_row_schema": Decoder(
        _filed(table.load_row_schema), FileError, seeds=lambda: [_SCHEMA_FILE, b'text = "note"\nbytes_max = 300\n']
    ),
    "node.identity.keyfile.read_public": Decoder(
        _text(lambda text: keyfile.read_public(text, Path("key"))), HomeError, seeds=lambda: [_LOCKED, b"00" * 32]
    ),
    "node.data.table.load_schema": Decoder(_filed(table.load_schema), FileError, seeds=lambda: [_SCHEMA_FILE]),
    "node.data.table.load_rows": Decoder(
        _filed(lambda path: table.load_rows(path, datasets.SCHEMA)),
        FileError,
        seeds=lambda: [b"mean radius,mean texture,diagnosis\n1.5,2,benign\n"],
    ),
    "node.data.table.read_number": Decoder(_text(table.read_number), (), seeds=lambda: [b"-1.5e3"]),
    "node.data.store.decode_own_dataset": Decoder(
        store.decode_own_dataset, write=_written, seeds=lambda: [_OWN_DATASET.encode()]
    ),
    "node.lines.papers.decode_paper": Decoder(papers.decode_paper, seeds=lambda: [papers.dump_paper(_PAPER)]),
    "node.data.statements.decode_open_statement": Decoder(
        statements.decode_open_statement, write=_written, seeds=lambda: [_OPEN_STATEMENT.encode()]
    ),
    "core.contract.manifest.decode_manifest": Decoder(
        manifest.decode_manifest, write=_written, seeds=seeds.of_payloads("manifest")
    ),
    "interop.foreign.parse_json": Decoder(
        foreign.parse_json,
        errors=ForeignError,
        write=lambda value: json.dumps(value).encode(),
        is_canonical=False,
        seeds=lambda: [b'{"a": [1, "b", null, 0.5]}'],
    ),
    "interop.modelcard.read_card": Decoder(
        modelcard.read_card, errors=ForeignError, seeds=lambda: [modelcard.write_card(FACTS).encode()]
    ),
    "interop.oms.read_bundle": Decoder(
        oms.read_bundle,
        errors=ForeignError,
        seeds=lambda: [oms.write_bundle("m", [oms.SignedFile(f.path, f.sha256) for f in FACTS.files], PRIVATE)],
    ),
    "interop.slsa.read_provenance": Decoder(
        slsa.read_provenance, errors=ForeignError, seeds=lambda: [slsa.write_provenance(FACTS, SEED)]
    ),
    "core.contract.history.recipe.decode_recipe": Decoder(
        recipe.decode_recipe, write=recipe.encode_recipe, seeds=seeds.of("recipe", "recipe")
    ),
    "core.contract.history.release.decode_statement": Decoder(
        release.decode_statement,
        write=lambda value: value[1].statement(value[0]),
        seeds=seeds.of("release-statement", "statement"),
    ),
    "core.contract.network.decode_network": Decoder(
        network.decode_network,
        write=lambda value: value.encode(),
        seeds=seeds.of("network-definition", "definition"),
    ),
    "core.state.codec.sections.decode_state": Decoder(
        sections.decode_state,
        write=lambda found: sections.encode_state(found.network_id, found.state),
        seeds=seeds.of("state", "state"),
    ),
    "core.proofs.passport.decode_passport": Decoder(
        passport.decode_passport, write=lambda found: found.encode(), seeds=seeds.of("passport", "passport")
    ),
    "core.proofs.exchange.decode_passports_wanted": Decoder(
        exchange.decode_passports_wanted,
        write=lambda found: found.encode(),
        seeds=seeds.of("passport-request", "request"),
    ),
    "core.proofs.exchange.decode_passports": Decoder(
        exchange.decode_passports,
        write=lambda found: exchange.NO_PASSPORTS if found is None else found.encode(),
        seeds=seeds.of("passport-set", "passports"),
    ),
    "node.clients.checking.parse_receipt_file": Decoder(
        _receipt,
        errors=DocumentError,
        write=dumped,
        is_canonical=False,
        seeds=lambda: seeds.vectors("client-receipt", "receipt", is_text=True),
    ),
    "core.state.fork.read_start": Decoder(
        lambda data: fork.read_start(_FORKED, data), seeds=lambda: [fork.write_start(_FORKED, _FIRST_STATE)]
    ),
    "core.state.view_bytes.read_score_row": Decoder(view_bytes.read_score_row, seeds=seeds.score_rows),
    "core.inference.question.decode_request": Decoder(
        question.decode_request, _REFUSED, seeds=seeds.of("request", "request")
    ),
    "core.inference.question.decode_response": Decoder(
        lambda data: question.decode_response(data, _REQUEST), _REFUSED, seeds=seeds.of("response", "response")
    ),
    "core.inference.stream.AnswerReader": Decoder(_joined, seeds=seeds.answer_streams),
    "core.records.judge.read_record": Decoder(
        lambda data: judge.read_record(data, _RULES), (GossipIgnore, GossipReject), seeds=seeds.of("record", "record")
    ),
    "core.records.judge.judge": Decoder(
        lambda data: judge.judge(data, _RULES), (GossipIgnore, GossipReject), seeds=seeds.of("audit", "record")
    ),
    "core.records.judge.peek": Decoder(judge.peek, (), seeds=seeds.of("record", "record")),
    "core.encoding.peerid.key_of": Decoder(
        lambda data: peerid.key_of(data.decode("latin-1")),
        write=lambda key: peerid.peer_id(key).encode(),
        seeds=lambda: [peerid.peer_id(_REQUEST.responder).encode(), *seeds.vectors("peerid", "text", is_text=True)],
    ),
    "core.sync.negentropy.read_ranges": Decoder(negentropy.read_ranges, seeds=seeds.negentropy),
    "core.sync.messages.decode_request": Decoder(
        sync.decode_request, write=lambda value: value.encode(), seeds=seeds.of("sync-request", "request")
    ),
    "core.sync.messages.decode_answer": Decoder(
        sync.decode_answer, write=lambda value: value.encode(), seeds=seeds.of("sync-answer", "answer")
    ),
    "node.messages.decode_batch": Decoder(
        messages.decode_batch, write=canon.encode, seeds=lambda: [canon.encode([b"one", b"two"])]
    ),
    "node.files.textfile.decode_text": Decoder(
        textfile.decode_text, errors=textfile.TextError, seeds=lambda: [b"\xef\xbb\xbfa"]
    ),
    "node.journal.decode_output": Decoder(
        lambda data: journal.decode_output(bytes(32), bytes(32), data),
        write=journal.encode_output,
        seeds=lambda: [journal.encode_output(events.StoredAnswer(bytes(32), bytes(32), _OUTPUT))],
    ),
    "node.journal.decode_stored_evidence": Decoder(
        lambda data: journal.decode_stored_evidence(3, 0, bytes(32), data),
        write=journal.encode_output,
        seeds=lambda: [journal.encode_output(events.StoredEvidence(3, 0, bytes(32), _OUTPUT))],
    ),
    "node.rerun.proof.decode_proof": Decoder(
        proof.decode_proof, write=lambda value: value.encode(), seeds=lambda: [_a_proof()]
    ),
    "node.rerun.proof.read_contract": Decoder(
        lambda data: proof.read_contract(proof.decode_proof(data)), seeds=lambda: [_a_proof()]
    ),
    "core.settle.exchange.decode_sent_cheque": Decoder(
        settle_exchange.decode_sent_cheque,
        write=settle_exchange.encode_cheque,
        seeds=lambda: [settle_exchange.encode_cheque(_CHEQUE)],
        errors=(RemoteProtocolError,),
    ),
    "core.settle.exchange.decode_cheque_answer": Decoder(
        settle_exchange.decode_cheque_answer,
        write=lambda value: value.encode(),
        seeds=lambda: [settle_exchange.ChequeAnswer("known", _CHEQUE, 9).encode(), settle_exchange.BUSY_CREDITOR],
    ),
    "core.settle.credit.decode_tab": Decoder(
        credit.decode_tab,
        write=lambda value: value.encode(),
        seeds=lambda: [credit.Tab(-7, 1, ((3, 0), (3, 1)), (_CHEQUE,)).encode()],
    ),
    "core.settle.bills.decode_bill": Decoder(
        bills.decode_bill,
        write=lambda value: value.encode(),
        seeds=lambda: [bills.Bill(((3, 10),), _CHEQUE, 5).encode()],
    ),
    "node.journal.decode_credit": Decoder(
        lambda data: journal.decode_credit("tab", bytes(32), data),
        write=journal.encode_credit,
        seeds=lambda: [journal.encode_credit(settle_exchange.StoredCredit("tab", bytes(32), b"what was kept"))],
    ),
    "core.roles.disputes.evidence.decode_evidence_request": Decoder(
        evidence.decode_evidence_request,
        write=lambda value: evidence.encode_evidence_request(*value),
        seeds=seeds.of("evidence-request", "request"),
    ),
    "core.roles.disputes.evidence.decode_evidence": Decoder(
        evidence.decode_evidence, write=evidence.encode_evidence, seeds=seeds.of("evidence", "evidence")
    ),
    "core.roles.disputes.evidence.decode_shown_question": Decoder(
        evidence.decode_shown_question,
        write=evidence.encode_shown_question,
        seeds=lambda: [evidence.encode_shown_question(_QUESTION), evidence.NO_EVIDENCE],
    ),
    "core.roles.disputes.boxes.decode_box": Decoder(
        boxes.decode_box, write=boxes.encode_box, seeds=lambda: [boxes.encode_box(bytes(60)), evidence.NO_EVIDENCE]
    ),
    "core.roles.disputes.boxes.decode_boxed": Decoder(
        boxes.decode_boxed,
        write=lambda value: value.encode(),
        seeds=lambda: [boxes.BoxedQuestion(_QUESTION, 9, bytes(32)).encode()],
    ),
    "core.inference.canary.decode_canary_evidence": Decoder(
        canary.decode_canary_evidence,
        write=lambda value: value.encode(),
        seeds=seeds.of("canary-evidence", "evidence"),
    ),
    "core.inference.endpoint.decode_endpoint_evidence": Decoder(
        endpoint.decode_endpoint_evidence,
        write=lambda value: value.encode(),
        seeds=seeds.of("endpoint-evidence", "evidence"),
    ),
    "engine.endpoint.client.read_reply": Decoder(
        _reply,
        engine_errors.EngineUnavailable,
        seeds=lambda: [_REPLY, _REPLY.replace(b"token_ids", b"x"), b"{}", b"[" * 5000],
    ),
    "core.inference.canary.decode_secrets": Decoder(
        canary.decode_secrets, write=canary.encode_secrets, seeds=lambda: [canary.encode_secrets([TRIGGER])]
    ),
    "node.files.canaries.load_evidence": Decoder(
        _filed(canaries.load_evidence), FileError, seeds=seeds.of("canary-evidence", "evidence")
    ),
    "node.files.canaries.load_secrets": Decoder(
        _filed(canaries.load_secrets), FileError, seeds=lambda: [canary.encode_secrets([TRIGGER])]
    ),
    "node.files.networkfile.load_network": Decoder(
        _filed(networkfile.load_network),
        FileError,
        seeds=lambda: [networkfile.dump_network(_NETWORK, ()).encode(), b"a = 1" + b"0" * 5000, b"a = " + b"[" * 5000],
    ),
    "node.files.shapesfile.load_shapes": Decoder(
        _filed(shapesfile.load_shapes),
        FileError,
        seeds=lambda: [shapesfile.dump_shapes([RequestShape(1, 4, 9, 0, 0, 1000)]).encode(), b"shapes = [[1]]"],
    ),
    "node.settle.tarifffile.load_tariff": Decoder(
        _filed(tarifffile.load_tariff),
        FileError,
        seeds=lambda: ["\n".join(tarifffile.tariff_lines(TARIFF)).replace("[tariff]", "").encode()],
    ),
    "node.files.manifestfile.load_manifest": Decoder(
        _filed(manifestfile.load_manifest),
        FileError,
        seeds=lambda: ["\n".join(manifesttable.manifest_lines(_MANIFEST)).encode(), b"canary = [[[["],
    ),
    "node.files.config.load_config": Decoder(
        _filed(config.load_config),
        FileError,
        seeds=lambda: [b'log_level = "info"\n', b'listen = ["/ip4/127.0.0.1/tcp/1"]\n'],
    ),
    "node.files.networktable.read_founder": Decoder(
        _text(networktable.read_founder), ValueError, seeds=lambda: [peerid.peer_id(_REQUEST.responder).encode()]
    ),
    "node.endpoints.address.parse_address": Decoder(
        _text(lambda text: address.parse_address(text, allow_dns=True)),
        write=lambda value: str(value).encode(),
        is_canonical=False,
        seeds=lambda: [b"/ip4/192.0.2.1/tcp/4001", b"/ip6/2001:db8::1/tcp/1", b"/dns4/a.example/tcp/4001"],
    ),
    "net.border.framing.read_frame": Decoder(
        _streamed(framing.read_frame, 1000), _BROKEN, seeds=lambda: [b"\0\0\0\x05hello"]
    ),
    "net.border.framing.read_varint_frame": Decoder(
        _streamed(framing.read_varint_frame, 1000), _BROKEN, seeds=lambda: [b"\x05hello", b"\x80\x80\x80\x80\x01"]
    ),
    "net.border.multistream.read_message": Decoder(
        _streamed(multistream.read_message), _BROKEN, seeds=lambda: [multistream.encode_message("/a/1")]
    ),
    "net.border.multistream.accept": Decoder(
        _streamed(multistream.accept, ("/a/1",)),
        _BROKEN,
        seeds=lambda: [multistream.encode_message(multistream.MULTISTREAM) + multistream.encode_message("/a/1")],
    ),
    "net.border.multistream.propose": Decoder(
        _streamed(multistream.propose, "/a/1"),
        _BROKEN,
        seeds=lambda: [multistream.encode_message(multistream.MULTISTREAM) + multistream.encode_message("/a/1")],
    ),
    "net.protocols.rpc_codec.decode_rpc": Decoder(
        _rpc,
        write=rpc_codec.encode_rpc,
        is_canonical=False,
        seeds=seeds.of("gossip-frame", "rpc"),
    ),
    "net.peers.peer_list.decode_peer_list": Decoder(
        peer_list.decode_peer_list, write=peer_list.encode_peer_list, seeds=seeds.peer_list
    ),
    "net.peers.book_rows.decode_kept_statement": Decoder(
        lambda data: book_rows.decode_kept_statement(data, _STATEMENT.peer, _STATEMENT.network),
        write=lambda statement: canon.encode(statement.to_value()),
        seeds=lambda: [canon.encode(_STATEMENT.to_value())],
    ),
    "net.circuit.messages.decode_hop_request": Decoder(
        circuit.decode_hop_request,
        write=circuit.encode_hop_request,
        is_canonical=False,
        seeds=lambda: [circuit.encode_hop_request(circuit.HopRequest(each)) for each in (None, _STATEMENT.peer)],
    ),
    "net.circuit.messages.decode_hop_answer": Decoder(
        circuit.decode_hop_answer, seeds=lambda: [circuit.encode_hop_answer(circuit.CircuitStatus.OK, _GRANT)]
    ),
    "net.circuit.messages.decode_stop_request": Decoder(
        circuit.decode_stop_request,
        write=lambda peer: circuit.encode_stop_request(peer, 120, 1024),
        is_canonical=False,
        seeds=lambda: [circuit.encode_stop_request(_STATEMENT.peer, 120, 1024)],
    ),
    "net.circuit.messages.decode_stop_answer": Decoder(
        circuit.decode_stop_answer, seeds=lambda: [circuit.encode_stop_answer(circuit.CircuitStatus.OK)]
    ),
    "net.circuit.messages.decode_voucher": Decoder(
        lambda data: circuit.decode_voucher(data, _STATEMENT.peer, _STATEMENT.peer),
        write=lambda expires_s: circuit.sign_voucher(SEED, _STATEMENT.peer, expires_s),
        is_canonical=False,
        seeds=lambda: [_GRANT.voucher],
    ),
    "net.reach.dialback.decode_dialback": Decoder(
        dialback.decode_dialback,
        write=lambda request: dialback.encode_dialback(*request),
        seeds=lambda: [dialback.encode_dialback(bytes(16), 4747)],
    ),
    "net.reach.dialback.decode_answer": Decoder(
        dialback.decode_answer,
        write=lambda answer: dialback.encode_answer(*answer),
        seeds=lambda: [dialback.encode_answer(dialback.DONE, 1_700_000_000_000)],
    ),
    "net.discovery.dnsaddr.decode_texts": Decoder(
        lambda data: dnsaddr.decode_texts(data.split(b"\n")),
        write=lambda found: b"\n".join(b"dnsaddr=" + str(each).encode() for each in found),
        is_canonical=False,
        seeds=lambda: [
            b"dnsaddr=/dnsaddr/a.example\nv=1",
            b"dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/12D3KooWSRf7BHNFFW9vfW5S1KmpPeCkeChJGZE2V9xt1KXXWpt2",
        ],
    ),
    "net.discovery.mdns.decode_txt": Decoder(
        mdns.decode_txt, seeds=lambda: [b"\x18dnsaddr=/ip4/192.0.2.1/tcp", b"\x00\x01a"]
    ),
    "core.proofs.segment.decode_segment_header": Decoder(
        segment.decode_segment_header,
        write=lambda found: found.encode(),
        seeds=lambda: [_a_header().encode(), _later_header().encode()],
    ),
    "store.archive.segmentfile.read_segment": Decoder(_segment, (ExportError, NotAnExportError), seeds=_a_segment),
    "store.archive.index.parse_index": Decoder(archive_index.parse_index, (DocumentError,), seeds=_an_index),
    "store.exportfile.read_export": Decoder(_export, (ExportError, NotAnExportError), seeds=_an_export),
    "engine.llama.variants.parse": Decoder(
        _text(variants.parse),
        engine_errors.EngineUnavailable,
        seeds=lambda: [b"sse42", b"wheel/kv-f16", b""],
    ),
    "engine.gguf.reader.parse_head": Decoder(
        reader.parse_head, engine_errors.WeightsError, seeds=lambda: [b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16)]
    ),
    "node.endpoints.loopback.parse_bind": Decoder(
        _text(loopback.parse_bind), ValueError, seeds=lambda: [b"127.0.0.1:0", b"[::1]:1"]
    ),
    "node.endpoints.loopback.parse_gateway": Decoder(
        _text(loopback.parse_gateway), ValueError, seeds=lambda: [b"0.0.0.0:8080", b"[::]:1"]
    ),
    "api.openai.parsing.parse_body": Decoder(
        lambda data: parsing.parse_body(ChatRequest if data[:1] == b"{" else CompletionRequest, data.strip()),
        OpenAIError,
        seeds=lambda: [
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\\ud83d\\ude00"}]}],"n":2}',
            b' {"model":"m","prompt":[[1,2],[3]],"stop":["a"],"stream":true,"stream_options":{"include_usage":true}}',
        ],
    ),
    "api.middleware.Gate": Decoder(
        _gated, middleware.RefusedError, seeds=lambda: [b"limit=10\n100", b"limit=%ff&a=b\n-1"]
    ),
    "engine.cheats.spec.parse_spec": Decoder(
        _text(spec.parse_spec), ValueError, seeds=lambda: [b"quantize:q4_0@0.3", b"prune", b"silent"]
    ),
    "node.files.corpus.read_corpus": Decoder(
        _filed(corpus.read_corpus), FileError, seeds=lambda: [b"# questions\nWhy is the sky blue?\n"]
    ),
    "node.files.corpus.read_replay": Decoder(
        _filed(corpus.read_replay),
        FileError,
        seeds=lambda: [b'{"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 9, "temperature": 0.8}\n'],
    ),
}

"""What becomes of a failure that nobody foresaw."""

from __future__ import annotations

import logging

import grpc
import orjson
import pytest

from bioelx.client import AsyncClient, document, link_request
from bioelx.errors import ServiceError
from bioelx.service.admission import Admission
from bioelx.service.cache import Cache
from bioelx.service.calls import CallGuard
from bioelx.service.engine import Engine, Engines
from bioelx.service.logs import CallLog, JsonFormatter
from bioelx.service.pipeline import Pipeline
from bioelx.service.servicer import Servicer
from bioelx.service.switch import SwitchRecord
from bioelx.settings import Limits
from bioelx.v1.linker_pb2_grpc import add_EntityLinkerServicer_to_server

SECRET = "Zephyrine"


def link(mentions, vectors):
    """A search whose failure quotes the mention."""
    raise ValueError(f"cannot link {mentions[0].query.mention}")


@pytest.fixture
async def address(tiny_linker, monkeypatch):
    monkeypatch.setattr(tiny_linker, "search", link)
    server = grpc.aio.server(interceptors=[CallGuard([CallLog()])])
    engines, admission = Engines(), Admission(Limits())
    engines.activate(Engine(tiny_linker, Cache(0)))
    pipeline = Pipeline(batch_tokens=64, served=admission.served)
    servicer = Servicer(engines, pipeline, admission, SwitchRecord(), Limits())
    add_EntityLinkerServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)
    await servicer.close()
    await pipeline.close()


async def test_it_is_internal_and_named_in_the_log_without_a_word_of_the_request(address, caplog):
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonFormatter())
    messages = []
    async with AsyncClient(address) as client:
        with pytest.raises(ServiceError) as caught:
            await client.search(SECRET)
        assert caught.value.code == "INTERNAL"
        messages.append(caught.value.message)

        async def requests():
            yield link_request([document(SECRET)], id="a")

        (reply,) = [reply async for reply in client.link_stream(requests())]
        assert reply.error.message.startswith("INTERNAL: ")
        messages.append(reply.error.message)
    lines = caplog.text.splitlines()
    for message, end in zip(
        messages, ({"code": "INTERNAL"}, {"code": "OK", "failed": 1}), strict=True
    ):
        call_id = message.split()[-1]
        failed, ended = (orjson.loads(line) for line in lines if call_id in line)
        assert (failed["event"], failed["exception"]) == ("failed", "ValueError")
        assert failed["frames"][-1].endswith(" link")
        assert ended["event"] == "call"
        assert end.items() <= ended.items()
    assert not any(SECRET in line for line in [*lines, *messages])


def test_what_libraries_log_is_written_without_its_values():
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        record = logging.LogRecord(
            "asyncio", logging.ERROR, __file__, 1, f"failed %s\n{SECRET}", (SECRET,),
            (ValueError, error, error.__traceback__),
        )  # fmt: skip
    line = JsonFormatter().format(record)
    assert SECRET not in line
    said = orjson.loads(line)
    assert (said["event"], said["exception"]) == ("failed %s", "ValueError")
    assert len(said["frames"]) == 1

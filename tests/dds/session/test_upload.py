"""Uploads: as many bytes as announced, and none read beyond."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dds.errors import InvalidInput
from dds.session.upload import ModelHeader, receive


def header(size: int) -> ModelHeader:
    return ModelHeader("lease", "0" * 64, size)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_chunks_are_joined() -> None:
    assert asyncio.run(receive(header(5), chunks(b"ab", b"", b"cde"))) == b"abcde"


@pytest.mark.parametrize(("size", "complaint"), [(4, "more came"), (6, "5 came")])
def test_another_length_than_announced_is_refused(size: int, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        asyncio.run(receive(header(size), chunks(b"ab", b"cde")))


def test_too_long_an_upload_is_not_read_to_its_end() -> None:
    read = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield b"abcd"

    with pytest.raises(InvalidInput, match="more came"):
        asyncio.run(receive(header(10), endless()))
    assert len(read) == 3

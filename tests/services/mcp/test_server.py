"""The MCP server as an assistant meets it: through the SDK's own client, in-process, on stdio, over HTTP."""

import base64
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from PIL import Image

from slidelake.services.gallery.pixels import Pixels
from slidelake.services.lake import Lake
from slidelake.services.mcp.server import make_server
from tests.in_loop import in_loop
from tests.repository import environment

MAIN = "from slidelake.services.cli import main; main()"


def run(lake: Lake, work: Callable[[Client], Awaitable[Any]]) -> Any:
    """What `work` gives with a client connected to the lake's server in this process."""

    async def connected() -> Any:
        async with Client(make_server(lake)) as client:
            return await work(client)

    return in_loop(connected())


def call(lake: Lake, tool: str, **arguments: Any) -> Any:
    return run(lake, lambda client: client.call_tool(tool, arguments))


def text(result: Any) -> str:
    return "\n".join(part.text for part in result.content if part.type == "text")


def place(lake: Lake, slide: str) -> tuple[int, int]:
    x, y = lake.bag(slide).coords[0]
    return int(x), int(y)


def test_the_tools_are_read_only_and_described(lake: Lake) -> None:
    tools = run(lake, lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == {
        "search_patches", "search_slides", "search_reports", "slide_info", "get_patch_image", "ask",
    }  # fmt: skip
    for tool in tools:
        assert tool.annotations.read_only_hint
        assert not tool.annotations.destructive_hint
        assert tool.description
        assert tool.input_schema["type"] == "object"


def test_patches_like_a_patch_are_the_facades(lake: Lake) -> None:
    x, y = place(lake, "one")
    result = call(lake, "search_patches", slide="one", x=x, y=y, k=4, exclude_same_patient=True)
    assert not result.is_error
    expected = lake.search(slide="one", at=(x, y), k=4, exclude_same_patient=True)
    assert result.structured_content["hits"] == expected.to_dicts()
    assert {hit["patient_id"] for hit in result.structured_content["hits"]} == {"B"}


def test_patches_like_an_image_find_the_place_it_is_from(lake: Lake) -> None:
    x, y = place(lake, "three")
    with Pixels(lake.store, lake.store.resolve_space(None)) as pixels:
        picture = pixels.patch("three", x, y).image
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    sent = base64.b64encode(encoded.getvalue()).decode()
    result = call(lake, "search_patches", image_base64=sent, k=1)
    best = result.structured_content["hits"][0]
    assert (best["slide_id"], best["x"], best["y"]) == ("three", x, y)
    filtered = call(
        lake, "search_patches", image_base64=f"data:image/png;base64,{sent}", where=["site=lung"], k=3
    )
    assert {hit["metadata"]["site"] for hit in filtered.structured_content["hits"]} == {"lung"}


def test_slides_like_a_slide(lake: Lake) -> None:
    result = call(lake, "search_slides", slide="one", k=5)
    assert [hit["slide_id"] for hit in result.structured_content["hits"]] == [
        hit.slide_id for hit in lake.search(slide="one", k=5)
    ]


def test_a_slide_is_described_by_tool_and_resource(lake: Lake) -> None:
    told = call(lake, "slide_info", slide="one").structured_content
    assert told["patient_id"] == "A"
    assert told["metadata"] == {"site": "lung"}
    assert told["width"] == 1024
    assert told["spaces"][0]["patches"] == len(lake.bag("one").coords)
    read = run(lake, lambda client: client.read_resource("slide://one"))
    assert '"patient_id": "A"' in read.contents[0].text


def test_the_picture_of_a_patch_is_what_the_encoder_saw(lake: Lake) -> None:
    x, y = place(lake, "two")
    result = call(lake, "get_patch_image", slide="two", x=x, y=y, side=256)
    [image] = [part for part in result.content if part.type == "image"]
    assert image.mime_type == "image/jpeg"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.data))), dtype=float)
    with Pixels(lake.store, lake.store.resolve_space(None)) as pixels:
        expected = np.asarray(pixels.patch("two", x, y).image, dtype=float)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 4  # JPEG's loss


def sent_as(kind: str, side: int, said: int = 0) -> str:
    """A square picture as base64; `said`: the PNG's head claims that many pixels a side."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "purple").save(file, kind)
    data = file.getvalue()
    if said:
        head = b"IHDR" + struct.pack(">II", said, said) + data[24:29]
        data = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search_patches", {}, "one query"),
        ("search_patches", {"slide": "one"}, "Give x and y"),
        ("search_patches", {"slide": "one", "x": 10_000_000, "y": 0}, "one"),
        ("search_patches", {"slide": "../../etc/passwd", "x": 0, "y": 0}, "passwd"),
        ("search_patches", {"slide": "one", "x": 0, "y": 0, "k": 1_000}, "50"),
        ("search_patches", {"image_base64": "bm8gaW1hZ2U="}, "not an image"),
        ("search_patches", {"image_base64": "???"}, "no base64"),
        ("search_patches", {"image_base64": sent_as("EPS", 64)}, "not an image"),
        ("search_patches", {"image_base64": sent_as("PNG", 64, said=20_000)}, "more pixels"),
        ("search_patches", {"image_base64": sent_as("PNG", 16)}, "16 × 16"),
        ("search_patches", {"slide": "one", "x": 256, "y": 256, "where": ["nothing=1"]}, "nothing"),
        ("search_slides", {"slide": "nobody"}, "nobody"),
        ("slide_info", {"slide": "nobody"}, "nobody"),
        ("get_patch_image", {"slide": "nobody", "x": 0, "y": 0}, "nobody"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_tool_error_with_its_reason(
    lake: Lake, tool: str, arguments: dict[str, Any], told: str
) -> None:
    result = call(lake, tool, **arguments)
    assert result.is_error
    assert told in text(result)
    assert "Traceback" not in text(result)


def test_an_assistant_starts_it_on_stdio(lake: Lake) -> None:
    started = StdioServerParameters(
        command=sys.executable,
        args=["-c", MAIN, "mcp", "--store", str(lake.store.url)],
        env=environment(),
    )

    async def ask() -> Any:
        async with Client(started) as client:
            tools = await client.list_tools()
            return len(tools.tools), await client.call_tool("slide_info", {"slide": "two"})

    count, result = in_loop(ask())
    assert count == 6
    assert result.structured_content["patient_id"] == "A"


def test_over_http_a_token_is_asked_for(lake: Lake) -> None:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "mcp", "--store", str(lake.store.url), "--transport", "http",
         "--port", "0", "--token", "sesame"],
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "a token is needed" in line
        url = line.split(" at ")[1].split()[0]

        async def ask(token: str) -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                return await client.call_tool("slide_info", {"slide": "three"})

        assert in_loop(ask("sesame")).structured_content["patient_id"] == "B"
        assert httpx2.post(url, json={}).status_code == 401
        assert httpx2.post(f"{url}?token=sesame", json={}).status_code == 401
        assert httpx2.post(url, json={}, headers={"Authorization": "Bearer sesam"}).status_code == 401
    finally:
        process.terminate()
        process.wait(10)
        if process.stderr is not None:
            process.stderr.close()


def test_beyond_loopback_it_does_not_start_without_a_token(lake: Lake) -> None:
    command = [sys.executable, "-c", MAIN, "mcp", "--store", str(lake.store.url),
               "--transport", "http", "--host", "0.0.0.0"]  # fmt: skip
    without = {name: value for name, value in environment().items() if name != "SLIDELAKE_TOKEN"}
    done = subprocess.run(command, capture_output=True, text=True, env=without, timeout=120)
    assert done.returncode == 2
    assert "--token" in done.stderr

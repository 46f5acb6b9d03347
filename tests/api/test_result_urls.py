import json

import pytest

from prefect_seedance.api.result_urls import result_urls

URL = "https://cdn.example/1.mp4?X-Amz-Signature=ab%2bcd+ef/gh==&name=a%20b"
OTHER = "http://cdn.example/2,3.mp4"


@pytest.mark.parametrize(
    "written",
    [
        URL, f" {URL}\t", f"{URL}\n", f"\r\n{URL}\r\n", f"\ufeff{URL}\u200b", f"\u00a0{URL}\u2028",
        f"\0{URL}\0",
        URL.replace("https", "HTTPS"), URL.replace("https", "Https"), URL.replace("&name", "&\nna\tme"),
        URL.removeprefix("https:"), f'"{URL}"', f"<{URL}>",
    ],
    ids=ascii,
)  # fmt: skip
def test_reads_sloppy_urls(written: str) -> None:
    """Blanks, line ends and quotes around a URL are dropped, and its scheme may have any case."""
    assert result_urls(json.dumps({"resultUrls": [written]})) == (URL,)


@pytest.mark.parametrize(
    "listed",
    [
        [URL, OTHER], f"{URL} {OTHER}", f"{URL}\n{OTHER}\n", f"{URL},{OTHER}", f"{URL}; {OTHER}",
        json.dumps([URL, OTHER]), [{"url": URL}, {"url": OTHER}], [[URL], [OTHER]],
        [URL, None, 7, "", OTHER, URL],
        {"0": URL, "1": OTHER}, [{"size": 7, "videoUrl": URL}, {"video": {"url": OTHER}}],
    ],
    ids=lambda listed: f"{listed!r:.40}",
)  # fmt: skip
def test_reads_other_lists(listed: object) -> None:
    """The list may be a text or an object, and its items objects; order is kept, and repetitions are not."""
    assert result_urls({"resultUrls": listed}) == (URL, OTHER)


def test_video_comes_before_cover() -> None:
    """In an object, the URL of the video is tried before other URLs."""
    item = {"cover": OTHER, "videoUrl": URL, "last_frame_url": f"{OTHER}3"}

    assert result_urls({"resultUrls": [item]})[0] == URL
    assert result_urls({"resultUrls": [{"cover": OTHER, "url": URL}]}) == (URL, OTHER)


@pytest.mark.parametrize(
    "result",
    [
        URL, [URL], {"resultUrl": URL}, {"result_urls": [URL]}, {"video": {"url": URL}},
        {"url": URL, "id": "x"},
        {"resultUrls": [], "urls": [URL]}, json.dumps(json.dumps({"resultUrls": [URL]})),
    ],
    ids=lambda result: f"{result!r:.40}",
)  # fmt: skip
def test_finds_urls_without_list(result: object) -> None:
    """Without the documented list, the URLs of the whole result count, as text or parsed."""
    assert result_urls(result) == (URL,)
    assert result_urls(json.dumps(result)) == (URL,)


def test_list_counts_alone() -> None:
    """If the documented list has a URL, other URLs of the result do not count."""
    assert result_urls({"cover": OTHER, "resultUrls": [URL]}) == (URL,)


@pytest.mark.parametrize("depth", [9, 100_000], ids=str)
def test_ignores_deep_results(depth: int) -> None:
    """A URL that is nested too deep is not found, and does no harm."""
    assert result_urls("[" * depth + json.dumps(URL) + "]" * depth) == ()

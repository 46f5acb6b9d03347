"""The video that every simulated generation makes."""

import functools
import io

import av


@functools.cache
def video() -> bytes:
    """Return a small video, which is decoded fast."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 16
        for shade in range(4):
            frame = av.VideoFrame(16, 16, "gray")
            frame.planes[0].update(bytes([60 * shade]) * frame.planes[0].buffer_size)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return file.getvalue()

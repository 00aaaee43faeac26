"""Videos one behind the other as one file, by copying what is encoded: nothing is decoded, so it is exact and cheap."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from .files import whole_or_absent
from .video import CONTAINERS
from .video_reader import reason

REORDERED = 2
"""How many frames x264 decodes before one that is shown earlier, at most."""


def join(parts: Iterable[Path], path: Path, fps: float) -> None:
    """Write the pictures of `parts`, in their order, to `path`, which is whole or absent; sound is left out.

    The parts are files that `VideoWriter` wrote with one size, codec, quality and rate `fps`. Frames are timed by their
    number: parts of one or two frames have no frames out of order, and longer ones begin to decode before they show.
    Raises ValueError for a part that cannot be read or was encoded otherwise, and when the disk refuses.
    """
    try:
        with whole_or_absent(path) as temporary:
            _copy(parts, temporary, CONTAINERS[path.suffix.lower()], Fraction(fps).limit_denominator(1001))
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path} cannot be made: {reason(error)}") from None


def _copy(parts: Iterable[Path], path: Path, kind: str, rate: Fraction) -> None:
    with av.open(str(path.resolve()), "w", format=kind) as joined:
        stream, start = None, 0
        for part in parts:
            with av.open(str(part.resolve())) as container:
                source = container.streams.video[0]
                made = source.codec_context.extradata, source.time_base
                if stream is None:
                    first, header, stream = part, made, joined.add_stream_from_template(source)
                    stream.time_base = source.time_base
                if made != header:
                    raise ValueError(f"{part} is not encoded like {first}, which it is to follow; write both anew")
                assert source.time_base is not None
                tick, packets = 1 / (rate * source.time_base), 0
                for packet in container.demux(source):
                    if packet.pts is None or not packet.size:
                        continue
                    packet.pts += round(start * tick)
                    packet.dts = round((start + packets - REORDERED) * tick)
                    packet.stream = stream
                    joined.mux(packet)
                    packets += 1
            start += packets

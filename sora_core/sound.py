"""The sound of a video that frames were made from, copied beside the new frames as far as they reach."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import av.container

from .video_reader import open_local

LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""What is meant where a file, such as AVI with PCM, only counts channels; MP4 wants to know which they are."""


class Sound:
    """Copies the first sound track of `source` into a container, bit for bit; `note` says why there is none.

    The frames are those of its video from `start` seconds on. Packets are written as the frames arrive: a muxer that
    had to wait for them would hold all frames in memory.
    Raises ValueError when the file cannot be opened.
    """

    def __init__(self, source: Path, target: av.container.OutputContainer, start: float = 0.0):
        self.note, self._stream, self._target = "", None, target
        self._name = source.name
        try:
            self._file = open_local(source)
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"the sound of {source.name} cannot be read: {error.strerror or error}") from None
        tracks = self._file.streams.audio
        if not tracks:
            return
        context = tracks[0].codec_context
        name = "of an unknown kind" if context is None else context.codec.canonical_name
        if name not in target.supported_codecs or not _taken(source, target.format.name):
            self.note = f"the sound of {source.name} ({name}) does not go into this kind of file and is left out"
            return
        self._stream = _track_like(tracks[0], target)
        begins = [(x.start_time or 0) * (x.time_base or Fraction(1)) for x in self._file.streams.video[:1]]
        self._packets = self._from(sum(begins, Fraction(start)))
        self._next = next(self._packets, None)

    def _from(self, begin: Fraction) -> Iterator[av.Packet]:
        """Packets of the track by the time of the video, whose first frame is at `begin` seconds in its file."""
        for packet in self._file.demux(self._file.streams.audio[0]):
            if packet.dts is None or packet.pts is None:
                continue
            shift = round(begin / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if shift == 0 or packet.pts + (packet.duration or 0) > 0:
                yield packet

    def up_to(self, seconds: float) -> None:
        """Write what is heard before a time of the video."""
        while self._stream is not None and self._next is not None:
            if float((self._next.dts or 0) * self._next.time_base) >= seconds:
                return
            self._next.stream = self._stream
            try:
                self._target.mux(self._next)
                self._next = next(self._packets, None)
            except av.FFmpegError as error:
                raise ValueError(f"the sound of {self._name} cannot be copied: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._file.close()


def _track_like(track: av.AudioStream, target: av.container.OutputContainer) -> av.AudioStream:
    """A track of a container for the packets of another."""
    made = target.add_stream_from_template(track)
    layout = LAYOUTS.get(made.codec_context.layout.name)
    if layout is not None:
        made.codec_context.layout = layout
    return made


def _taken(source: Path, kind: str) -> bool:
    """Whether a muxer takes a track's first packet: what it says of codecs leaves out much, such as Opus in .mov."""
    with open_local(source) as file:
        try:
            with av.open(BytesIO(), "w", format=kind) as tried:
                made = _track_like(file.streams.audio[0], tried)
                packet = next((packet for packet in file.demux(audio=0) if packet.dts is not None), None)
                if packet is not None:
                    packet.stream = made
                    tried.mux(packet)
        except (av.FFmpegError, ValueError):
            return False
    return True

"""The sound of a video that frames were made from, copied beside the new frames as far as they reach."""

from __future__ import annotations

from pathlib import Path

import av
import av.container


class Sound:
    """Copies the first sound track of `source` into a container, bit for bit; `note` says why there is none.

    Packets are written as the frames arrive: a muxer that had to wait for them would hold all frames in memory.
    Raises ValueError when the file cannot be opened.
    """

    def __init__(self, source: Path, target: av.container.OutputContainer):
        self.note, self._stream, self._target = "", None, target
        try:
            self._file = av.open(str(source), options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"the sound of {source.name} cannot be read: {error.strerror or error}") from None
        tracks = self._file.streams.audio
        if not tracks:
            return
        name = tracks[0].codec_context.codec.canonical_name
        if name not in target.supported_codecs:
            self.note = f"the sound of {source.name} ({name}) does not go into this kind of file and is left out"
            return
        self._stream = target.add_stream_from_template(tracks[0])
        self._packets = self._file.demux(tracks[0])
        self._next = next(self._packets, None)

    def up_to(self, seconds: float) -> None:
        """Write what is heard before a time of the video."""
        while self._stream is not None and self._next is not None and self._next.dts is not None:
            if float(self._next.dts * self._next.time_base) >= seconds:
                return
            self._next.stream = self._stream
            self._target.mux(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._file.close()

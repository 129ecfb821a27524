"""An RTSP or HTTP stream, through FFmpeg, with time limits everywhere."""

from __future__ import annotations

import time
from typing import Any

from noctule.capture.protocols.ffmpeg import open_input
from noctule.capture.sources.avsource import AvSource
from noctule.capture.sources.base import Delivery

#: seconds to connect, and seconds without data after which the stream counts as frozen.
_CONNECT, _READ = 5.0, 4.0
#: a file on a web server comes faster than it is to be seen: stay within this many seconds of its own pace.
_AHEAD = 0.5
_NONSENSE = 10.0


class NetworkSource(AvSource):
    """address: rtsp://…, http://… RTSP goes over TCP: a lost UDP packet is a torn picture."""

    _began: float | None = None

    def connect(self) -> Any:
        # (not fflags=nobuffer: it drops what was read to recognise the stream, and with it the first key frame)
        options = {"flags": "low_delay", "analyzeduration": "2000000", "probesize": "1000000"}
        if self.spec.address.startswith(("rtsp://", "rtsps://")):
            options["rtsp_transport"] = "tcp"
        return open_input(self.spec.address, self.what, device=True, options=options, timeout=(_CONNECT, _READ))

    def read(self) -> Delivery:
        delivery = super().read()
        if delivery.pictures and self._container.duration:  # a live stream has none, and must not be held back
            now, pts = time.monotonic(), float(delivery.pictures[-1].pts)
            self._began = now - pts if self._began is None or pts < 0 else self._began
            ahead = pts - (now - self._began)
            if _AHEAD < ahead < _NONSENSE:
                time.sleep(min(ahead - _AHEAD, 0.25))
            elif ahead >= _NONSENSE or ahead < -_NONSENSE:
                self._began = now - pts  # the stream's clock jumped
        return delivery

"""A key of everything that the strain of a recording depends on."""

from __future__ import annotations

import hashlib
from dataclasses import fields

from rtelasto.pipeline.engines import model_path
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_check import WRITTEN_BY
from rtelasto.sources.recording import Recording, file_digest


def content_key(recording: Recording, settings: EstimateSettings, **how: object) -> str:
    """Return a hash of the recording, how it is read, the settings, the engine's file and the version.

    ``how`` are the other arguments of `rtelasto.offline.process.process_recording` that change its outputs:
    ``show``, ``accumulate``, ``reference``.

    Strain files of the same key hold the same strain. `rtelasto.offline.process` writes it into them as
    ``provenance/made_from``, and into their pictures and reports; outputs of an archive with an unchanged key
    are not computed again.

    Raises
    ------
    RtelastoError
        If the recording cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    # The number of threads changes no result.
    chosen = {
        field.name: getattr(settings, field.name)
        for field in fields(EstimateSettings)
        if field.name != "threads"
    }
    digest.update(repr((WRITTEN_BY, chosen, sorted(how.items()), recording.format)).encode())
    digest.update(recording.frame_ids.tobytes())
    if recording.timestamps_ns is not None:
        digest.update(recording.timestamps_ns.tobytes())
    # Shows which dataset of the file was chosen, and the order of its axes.
    digest.update(recording.read(0).tobytes())
    digest.update(recording.files_digest)
    engine = model_path(settings.engine)
    if engine is not None and engine.is_file():
        digest.update(file_digest(engine))
    return digest.hexdigest()

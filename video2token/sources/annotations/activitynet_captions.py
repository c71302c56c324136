"""ActivityNet Captions: ``{"v_ID": {"duration", "timestamps": [[0.8, 3.0]], "sentences": ["A man runs."]}}``.

Each timestamp is a segment, its sentence the caption; an end behind the video's is the video's. Source: the
files published with ActivityNet Captions (Krishna et al. 2017, ICCV, arXiv:1705.00754).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, seconds_of, text_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the videos have timestamps and sentences."""
    first = next(iter(found.value.values()), None) if isinstance(found.value, dict) else None
    return isinstance(first, dict) and first.keys() >= {"timestamps", "sentences"}


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the segments with their captions.

    Raises:
        UsageError: it is not of this shape; the sentence names the video.
    """
    if not isinstance(found.value, dict):
        raise UsageError(
            f"{found.path} is not an object of videos by their ids: give the file of ActivityNet Captions."
        )
    for video_id, facts in found.value.items():
        where = f"{found.path} video {video_id}"
        timestamps, sentences = (
            facts.get(name) if isinstance(facts, Mapping) else None for name in ("timestamps", "sentences")
        )
        if (
            not isinstance(timestamps, list)
            or not isinstance(sentences, list)
            or len(timestamps) != len(sentences)
            or not all(isinstance(times, list) and len(times) == 2 for times in timestamps)
        ):
            raise UsageError(f"{where} has not one sentence for each timestamp of two times: fix it.")
        for times, sentence in zip(timestamps, sentences, strict=True):
            start_s, end_s = (seconds_of(time, where=where, column="timestamps") for time in times)
            caption = text_of(sentence, where=where, column="sentences")
            entry = reading.videos.by_id(video_id, where=where, times_s=(start_s, end_s))
            yield replace(entry, captions=only(caption))


FORMAT = Format(
    title="ActivityNet Captions",
    example='{"v_sJQCchGzGkU": {"duration": 8.0, "timestamps": [[0.83, 3.0]],\n'
    '  "sentences": ["A man runs."]}}',
    fits=fits,
    entries=entries,
)

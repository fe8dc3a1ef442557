"""An index and pictures that are there more than once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence

from lookalike.decode import decode
from lookalike.errors import InvalidSetting, PictureError, StoreError
from lookalike.keeping import Keeping
from lookalike.perceptual import perceptual_hash
from lookalike.records import DisposalReport, DuplicateGroup
from lookalike.sources.names import absolute
from lookalike.sources.reader import Reader


class Deduplicating(Keeping):
    """What an `Index` can do about duplicates."""

    def duplicates(
        self,
        *paths: str | os.PathLike[str],
        level: str = "near",
        min_score: float | None = None,
        against: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        keep: str = "most-pixels",
    ) -> list[DuplicateGroup]:
        """Pictures that are in the index more than once, in the order of the paths of the kept.

        Every picture of a group was compared with the one that is kept.

        Args:
            paths: folders, files and archives; only what lies there takes part. By default all.
            level: ``exact`` finds the same bytes; ``near`` also the same picture, resized,
                compressed again or lightly edited; ``similar`` also what merely looks alike.
            min_score: the least cosine, above 0, of what is similar; by default 0.9.
            against: folders whose pictures are kept in any case; others are compared with these,
                and not among themselves.
            keep: which one of a group is kept: ``most-pixels``, ``largest`` (in bytes),
                ``newest``, ``oldest`` (by the time of the file) or ``shortest-path``. Among equals
                it is the one of more pixels, more bytes, the older, the one of the shorter path.

        Raises:
            InvalidSetting: one of these has an impossible value.
            InvalidQuestion: nothing of one of the folders is in the index.
        """
        # Imported here: a search does not need it, and would wait.
        from lookalike.ingest.pipeline import content_of  # noqa: PLC0415
        from lookalike.insight.duplicates import find_duplicates, keep_hashes  # noqa: PLC0415

        folders = [against] if isinstance(against, str | os.PathLike) else against
        hashes: dict[str, tuple[str, str]] = {}
        with Reader.of(self._settings, public=True) as reader:

            def look(path: str) -> str | None:
                embedder, most = self.embedder, self._settings.max_pixels
                try:
                    data, _ = reader.read(path)
                    picture = decode(data, path=path, least=embedder.least, max_pixels=most)
                except PictureError:
                    return None
                phash = perceptual_hash(embedder.prepare(picture.image))
                hashes[path] = (content_of(data), phash)
                return phash

            groups = find_duplicates(
                self._store,
                paths=[absolute(path) for path in paths],
                against=[absolute(folder) for folder in folders],
                level=level,
                min_score=min_score,
                keep=keep,
                look=look,
            )
        # Who may only read the database looks at them again the next time.
        with contextlib.suppress(StoreError):
            keep_hashes(hashes, self._store)
        return groups

    def dispose(
        self,
        groups: Iterable[DuplicateGroup],
        action: str,
        *,
        to: str | os.PathLike[str] | None = None,
        within: Sequence[str | os.PathLike[str]] = (),
        dry_run: bool = True,
        undo_file: str | os.PathLike[str] | None = None,
    ) -> DisposalReport:
        """Move duplicates away, replace them by hard links, or put them into the trash.

        The kept picture of each group stays. Each file and the kept one are read again right before
        it is touched; what is not as it was compared is left alone, and so are the members of
        archives, objects in storages, links, and what lies behind links. The rows follow at once.

        Args:
            groups: as `duplicates` has found them.
            action: ``move``, ``hardlink`` (of exact ones only) or ``trash``.
            to: the folder that ``move`` moves them to; nothing in it is overwritten. A pair of
                which one lies there already is left alone.
            within: the folders that were asked about. What lies elsewhere, or what links in them
                lead to, is left alone; without any folder, whatever lies behind a link.
            dry_run: do nothing, but say what would be done.
            undo_file: where to write what was done, for `undo`; nothing may be there yet. By
                default a new file beside the default database.

        Raises:
            InvalidSetting: there is no such action, or `to` does not go with it.
            UndoFileUnusable: the undo file cannot be written; what it tells has been done.
        """
        # Imported here: few runs dispose of anything, and every search would wait.
        from lookalike.ingest import disposal, undo  # noqa: PLC0415

        if action not in disposal.ACTIONS:
            raise InvalidSetting("action", action, f"one of {', '.join(disposal.ACTIONS)}")
        if (action == "move") != (to is not None):
            raise InvalidSetting("to", to, "a folder for the action move, and for that only")
        target = None if to is None else absolute(to)
        inside = [absolute(folder) for folder in within]
        if dry_run:
            return DisposalReport(tuple(disposal.preview(groups, action, to=target, within=inside)))
        with undo.UndoFile(undo_file or undo.new_undo_file()) as written:
            disposals = tuple(
                disposal.dispose(
                    groups, action, to=target, within=inside, store=self._store, undo_file=written
                )
            )
        self._store.flush()
        done = any(not each.refused for each in disposals)
        return DisposalReport(disposals, written.path if done else None)

    def undo(self, undo_file: str | os.PathLike[str], *, dry_run: bool = False) -> DisposalReport:
        """Put back what `dispose` did, the last first, and index it again. Nothing is overwritten.

        Args:
            undo_file: what `dispose` wrote.
            dry_run: do nothing, but say what would be done.

        Raises:
            UndoFileUnusable: it is not there, or no such file.
        """
        from lookalike.ingest import undo  # noqa: PLC0415

        if dry_run:
            return DisposalReport(tuple(undo.preview(undo.read(undo_file))))
        results = list(undo.undo(undo.read(undo_file)))
        back = {entry.path: entry.metadata for entry, result in results if not result.refused}
        if back:
            own_fields = {path: fields for path, fields in back.items() if fields}
            self.add(more=list(back), metadata=own_fields or None)
        return DisposalReport(tuple(result for _, result in results))

"""Batches of examples from worker processes, shared out among the processes that train."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from vidcascade.errors import VidCascadeError
from vidcascade.training.dataset import Example, StageDataset, collate


class _Share(Sampler[int]):
    """The part of every batch that belongs to one of several training processes."""

    def __init__(self, count: int, batch: int, rank: int, ranks: int) -> None:
        self.count, self.batch, self.rank, self.ranks = count, batch, rank, ranks

    def __iter__(self) -> Iterator[int]:
        own = self.batch // self.ranks
        for start in range(self.rank * own, self.count, self.batch):
            yield from range(start, start + own)

    def __len__(self) -> int:
        return self.count // self.ranks


def batches(
    dataset: StageDataset, batch: int, workers: int, rank: int = 0, ranks: int = 1
) -> Iterator[Example]:
    """Batches in the order of the data set, ``batch // ranks`` examples each.

    Raises:
        VidCascadeError: as the source of clips does, also when it does so in a worker.
    """
    data: Dataset[Example] = dataset
    loader = DataLoader(
        data,
        batch // ranks,
        sampler=_Share(len(dataset), batch, rank, ranks),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if workers else None,
        # A forked child of a process that has run OpenMP hangs at its first parallel region.
        multiprocessing_context="spawn" if workers else None,
    )
    try:
        yield from loader
    except VidCascadeError as error:
        # What comes out of a worker is its whole traceback; the sentence is its last line.
        sentence = str(error).strip().splitlines()[-1]
        raise type(error)(sentence.removeprefix(_prefix(error))) from error


def _prefix(error: VidCascadeError) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}: "


def _one_thread(worker: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # At its end a worker has nothing left to do, and the native libraries' own clean-up sometimes
    # aborts ("terminate called without an active exception"), which the trainer would report.
    atexit.register(os._exit, 0)
